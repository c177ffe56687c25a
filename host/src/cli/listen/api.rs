//! The requests that `hookwright listen` makes to the engine.

use std::collections::VecDeque;
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

use super::http::{Client, client, reason};
use super::sse::{Event, Parser};
use super::text;
use crate::api::problem::MEDIA_TYPE as PROBLEM;
use crate::cli::exit::BadInput;

/// The time limit for one request, longer than a dry run may wait.
const TIMEOUT: Duration = Duration::from_secs(75);
/// The most bytes of a response.
const MAX_RESPONSE_LEN: usize = 64 << 20;
/// The engine writes something at least every 15 seconds.
const MAX_SILENCE: Duration = Duration::from_secs(60);
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

/// A client of the engine.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    /// Without a slash at its end.
    url: String,
    authorization: HeaderValue,
    tenant: Option<HeaderValue>,
}

impl Api {
    /// # Errors
    /// Fails if the key or the tenant cannot be sent.
    pub(super) fn new(
        tls: Arc<rustls::ClientConfig>,
        url: &str,
        key: &str,
        tenant: Option<&str>,
    ) -> Result<Self> {
        let unsendable = |what: &str| BadInput(format!("{what} has characters that a header cannot carry"));
        let mut authorization =
            HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| unsendable("the key"))?;
        authorization.set_sensitive(true);
        let tenant = tenant.map(HeaderValue::from_str).transpose().map_err(|_| unsendable("--tenant"))?;
        Ok(Self { client: client(tls, IDLE_CONNECTIONS), url: url.to_owned(), authorization, tenant })
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
        self.send(Method::POST, path, body).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, ApiError> {
        let exchange = async {
            let body = self.request(method, path, body).await?.into_body();
            let body = Limited::new(body, MAX_RESPONSE_LEN).collect().await;
            let body = body.map_err(|error| self.unreachable(error.to_string()))?.to_bytes();
            serde_json::from_slice(&body)
                .map_err(|error| self.unreachable(format!("its response is not as expected: {error}")))
        };
        let exchange = tokio::time::timeout(TIMEOUT, exchange).await;
        exchange.unwrap_or_else(|_| Err(self.unreachable("no response in time".to_owned())))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, ApiError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/v3{path}", self.url))
            .header(AUTHORIZATION, &self.authorization);
        if let Some(tenant) = &self.tenant {
            request = request.header("hookwright-tenant", tenant);
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        let request = request.header(ACCEPT, "*/*").body(Full::new(body));
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

    fn unreachable(&self, why: String) -> ApiError {
        ApiError::Unreachable { url: self.url.clone(), why }
    }

    /// Opens the stream of changes.
    pub(super) async fn stream(&self, query: &str) -> Result<Stream, ApiError> {
        let path = format!("/stream?{query}");
        let opened = self.request(Method::GET, &path, None);
        let response = tokio::time::timeout(TIMEOUT, opened).await;
        let response =
            response.unwrap_or_else(|_| Err(self.unreachable("no response in time".to_owned())))?;
        let (parser, ready) = (Parser::default(), VecDeque::new());
        Ok(Stream { body: response.into_body(), parser, ready, api: self.clone() })
    }
}

/// An open stream.
pub(super) struct Stream {
    body: Incoming,
    parser: Parser,
    ready: VecDeque<Event>,
    api: Api,
}

impl Stream {
    /// The next event.
    ///
    /// # Errors
    /// Fails if the connection breaks or ends.
    pub(super) async fn next(&mut self) -> Result<Event, ApiError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let broken = |why: &str| Err(self.api.unreachable(why.to_owned()));
            let frame = match tokio::time::timeout(MAX_SILENCE, self.body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return broken(&format!("the connection broke: {error}")),
                Ok(None) => return broken("the connection was closed"),
                Err(_) => return broken("the connection is silent"),
            };
            let data = frame.into_data().unwrap_or_default();
            match self.parser.push(&data) {
                Ok(events) => self.ready.extend(events),
                Err(_) => return broken("its stream is not as expected"),
            }
        }
    }
}
