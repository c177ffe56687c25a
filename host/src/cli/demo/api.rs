//! The client of the engine's API for the demo.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::Method;
use serde::Serialize;
use serde_json::Value;

use crate::cli::engine_api::EngineApi;

/// The time limit for all deliveries of one event. The first event waits until the plugins are compiled.
pub(super) const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// How often states are polled: not everything that happens arrives at the receiver.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A client with one key, whose errors name the request.
pub(super) struct Api {
    engine: EngineApi,
    key: String,
}

impl Api {
    pub(super) fn new(address: SocketAddr, key: &str) -> Result<Self> {
        let engine = EngineApi::new(None, &format!("http://{address}"), key)?;
        Ok(Self { engine, key: key.to_owned() })
    }

    /// Makes the operator act for this tenant.
    pub(super) fn for_tenant(self, tenant: &str) -> Result<Self> {
        Ok(Self { engine: self.engine.for_tenant(tenant)?, ..self })
    }

    /// Changes the key.
    pub(super) fn with_key(self, key: &str) -> Result<Self> {
        Ok(Self { engine: self.engine.with_key(key)?, key: key.to_owned() })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value> {
        self.send(Method::POST, path, Some(serde_json::to_vec(body)?)).await
    }

    /// A merge patch.
    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, Some(serde_json::to_vec(body)?)).await
    }

    async fn send(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Value> {
        let answer = self.engine.send::<Value>(method.clone(), path, body.map(Into::into)).await;
        answer.with_context(|| format!("{method} {path}"))
    }
}

/// The string member `name` of a response.
pub(super) fn text<'v>(response: &'v Value, name: &str) -> Result<&'v str> {
    response[name].as_str().with_context(|| format!("a response has no string `{name}`: {response}"))
}
