//! A client of the engine's API for commands.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::exit::BadInput;
use super::http_client::{Client, client, reason};
use super::text;
use crate::api::problem::MEDIA_TYPE as PROBLEM;

/// The time limit for one request, longer than a dry run may wait.
const TIMEOUT: Duration = Duration::from_secs(75);
/// The most bytes of a response.
const MAX_RESPONSE_LEN: usize = 64 << 20;
/// How many connections are kept.
const IDLE_CONNECTIONS: usize = 4;

/// Why a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum ApiError {
    #[error("cannot reach the engine at {url}: {why}")]
    Unreachable { url: String, why: String },
    /// `is_problem`: whether it is the engine that answered, and not something between.
    #[error("the engine answered {status}: {detail}{}", advice(*status))]
    Refused { status: u16, detail: String, is_problem: bool },
}

/// What to do about a response.
fn advice(status: u16) -> &'static str {
    match status {
        401 => ". Set HOOKWRIGHT_KEY, or --key-file, to a key that is valid; `POST /api/v3/keys` makes keys",
        403 => {
            ". Use a key with the scopes `deliveries:read`, for --forward also `hooks:read` and `events:read`, to retry \
             `deliveries:write`"
        }
        404 => ". Check --url, --tenant and --hook",
        _ => "",
    }
}

impl ApiError {
    /// Whether the engine refuses the same request again until something is changed. What a load balancer answers while
    /// the engine is deployed is not final.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Refused { is_problem: true, .. }) && self.is_refusal()
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { status, .. } if *status < 500 && !matches!(status, 408 | 429))
    }

    /// As the error of the command.
    pub(super) fn into_error(self) -> anyhow::Error {
        if self.is_refusal() { BadInput(self.to_string()).into() } else { self.into() }
    }
}

/// A client with one key.
#[derive(Clone)]
pub(super) struct EngineApi {
    client: Client,
    /// Without a slash at its end.
    url: String,
    authorization: HeaderValue,
    tenant: Option<HeaderValue>,
}

impl EngineApi {
    /// A client of the engine at `url`; `tls` is `None` only if that is plain HTTP.
    ///
    /// # Errors
    /// Fails if the key cannot be sent.
    pub(super) fn new(tls: Option<Arc<rustls::ClientConfig>>, url: &str, key: &str) -> Result<Self> {
        let client = client(tls, IDLE_CONNECTIONS);
        Ok(Self { client, url: url.to_owned(), authorization: authorization(key)?, tenant: None })
    }

    /// Makes the operator act for this tenant.
    ///
    /// # Errors
    /// Fails if the tenant cannot be sent.
    pub(super) fn for_tenant(self, tenant: &str) -> Result<Self> {
        let tenant = HeaderValue::from_str(tenant).map_err(|_| unsendable("the tenant"))?;
        Ok(Self { tenant: Some(tenant), ..self })
    }

    /// The same with another key, for its own tenant.
    ///
    /// # Errors
    /// Fails if the key cannot be sent.
    pub(super) fn with_key(self, key: &str) -> Result<Self> {
        Ok(Self { authorization: authorization(key)?, tenant: None, ..self })
    }

    /// The address of the engine.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// GETs `path` below `/api/v3`.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ApiError> {
        self.send(Method::GET, path, None).await
    }

    /// POSTs to `path` below `/api/v3`.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ApiError> {
        self.send(Method::POST, path, body.map(|body| body.to_string().into())).await
    }

    /// Sends a request, with a body of JSON. That of a PATCH is a merge patch.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<T, ApiError> {
        let exchange = async {
            let body = self.request(method, path, body).await?.into_body();
            let body = Limited::new(body, MAX_RESPONSE_LEN).collect().await;
            let body = body.map_err(|error| self.unreachable(error.to_string()))?.to_bytes();
            serde_json::from_slice(&body)
                .map_err(|error| self.unreachable(format!("its response is not as expected: {error}")))
        };
        self.in_time(exchange).await
    }

    /// GETs `path` below `/api/v3`, and leaves the body unread.
    pub(super) async fn open(&self, path: &str) -> Result<Incoming, ApiError> {
        let response = self.in_time(self.request(Method::GET, path, None)).await?;
        Ok(response.into_body())
    }

    async fn in_time<T>(&self, exchange: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let exchange = tokio::time::timeout(TIMEOUT, exchange).await;
        exchange.unwrap_or_else(|_| Err(self.unreachable("no response in time".to_owned())))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Response<Incoming>, ApiError> {
        let content_type =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v3{path}", self.url))
            .header(AUTHORIZATION, &self.authorization);
        if let Some(tenant) = &self.tenant {
            request = request.header("hookwright-tenant", tenant);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let request = request.header(ACCEPT, "*/*").body(Full::new(body.unwrap_or_default()));
        let request = request.context("a request").map_err(|error| self.unreachable(format!("{error:#}")))?;
        let response = self.client.request(request).await.map_err(|error| self.unreachable(reason(error)))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let is_problem =
            response.headers().get(CONTENT_TYPE).is_some_and(|it| it.as_bytes() == PROBLEM.as_bytes());
        let body = Limited::new(response.into_body(), MAX_RESPONSE_LEN).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let problem: Value = serde_json::from_slice(&body).unwrap_or_default();
        let detail = problem["detail"].as_str().or_else(|| problem["title"].as_str());
        // It is shown on terminals.
        let detail = text::clean(detail.unwrap_or("it is not the API of Hookwright that answers"));
        Err(ApiError::Refused { status: status.as_u16(), detail, is_problem })
    }

    /// The error of a request without a usable response.
    pub(super) fn unreachable(&self, why: String) -> ApiError {
        ApiError::Unreachable { url: self.url.clone(), why }
    }
}

fn authorization(key: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| unsendable("the key"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unsendable(what: &str) -> BadInput {
    BadInput(format!("{what} has characters that a header cannot carry"))
}
