//! A minimal client of the engine's API for the demo.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::Value;

/// The time limit for one request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit for all deliveries of one event. The first event waits until the plugins are compiled.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// How often states are polled: not everything that happens arrives at the receiver.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A client with one key.
pub(super) struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    key: String,
    tenant: Option<String>,
}

impl Api {
    pub(super) fn new(address: SocketAddr, key: &str) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, base: format!("http://{address}/api/v3"), key: key.to_owned(), tenant: None }
    }

    /// Makes the operator act for this tenant.
    pub(super) fn for_tenant(mut self, tenant: &str) -> Self {
        self.tenant = Some(tenant.to_owned());
        self
    }

    /// Changes the key.
    pub(super) fn with_key(self, key: &str) -> Self {
        Self { key: key.to_owned(), tenant: None, ..self }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await
    }

    /// A merge patch.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, serde_json::to_vec(body)?.into()).await
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<Value> {
        let content_type = match method {
            Method::PATCH => "application/merge-patch+json",
            _ => "application/json",
        };
        let request = Request::builder()
            .method(method.clone())
            .uri(format!("{}{path}", self.base))
            .header("authorization", format!("Bearer {}", self.key));
        let request = match &self.tenant {
            Some(tenant) => request.header("hookwright-tenant", tenant),
            None => request,
        };
        let request = request.header("content-type", content_type).body(Full::new(body))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let response = tokio::time::timeout(TIMEOUT, exchange).await.context("no response in time").flatten();
        let (status, body) = response.with_context(|| format!("{method} {path}"))?;
        if !status.is_success() {
            bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| format!("{method} {path}: the response is not JSON"))
    }
}

/// The string member `name` of a response.
pub(super) fn text<'v>(response: &'v Value, name: &str) -> Result<&'v str> {
    response[name].as_str().with_context(|| format!("a response has no string `{name}`: {response}"))
}
