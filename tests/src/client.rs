//! A client of the engine's HTTP API.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// What a node answers before it does anything if it has not reached its database for some seconds, as happens when a busy
/// machine held it up. It is safe to ask again.
const OUT_OF_DATE: &str = "its configuration may be out of date";

/// A client with an API key.
#[derive(Clone)]
pub struct Client {
    http: HttpClient<HttpConnector, Full<Bytes>>,
    base: String,
    headers: Vec<(String, String)>,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: http::HeaderMap,
    /// The body.
    pub bytes: Bytes,
}

impl Response {
    /// The body as JSON; null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Checks the status and returns the body as JSON.
    ///
    /// # Panics
    /// If the status differs. The message contains the body.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }
}

impl Client {
    /// Creates a client of the engine at `base`, such as `http://127.0.0.1:8080`, with `key`.
    #[must_use]
    pub fn new(base: &str, key: &str) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HttpClient::builder(TokioExecutor::new()).build(connector);
        let headers = vec![("authorization".to_owned(), format!("Bearer {key}"))];
        Self { http, base: base.to_owned(), headers }
    }

    /// Adds a header to every request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the address of the engine, for use after a restart.
    #[must_use]
    pub fn at(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// Removes the key.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        self.headers.retain(|(name, _)| name != "authorization");
        self
    }

    /// Sends a request. `path` begins with a slash. Without a content type in `headers`, a body is JSON, or
    /// WebAssembly for an upload of a plugin.
    ///
    /// # Errors
    /// If there is no response.
    pub async fn try_send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = body.into();
        if !body.is_empty() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            let is_upload = method == "PUT" && path.starts_with("/api/v3/plugins/");
            let kind = if is_upload { "application/wasm" } else { "application/json" };
            request = request.header("content-type", kind);
        }
        let response = self.http.request(request.body(Full::new(body))?).await?;
        let (head, body) = response.into_parts();
        let bytes = body.collect().await?.to_bytes();
        Ok(Response { status: head.status.as_u16(), headers: head.headers, bytes })
    }

    /// Like [`Self::try_send`], and again while the response is [`OUT_OF_DATE`].
    ///
    /// # Panics
    /// If there is no response, or that lasts longer than [`crate::TIMEOUT`].
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Response {
        self.send_while(method, path, body.into(), headers, |response| {
            String::from_utf8_lossy(&response.bytes).contains(OUT_OF_DATE)
        })
        .await
    }

    /// GETs `path` under `/api/v3`.
    pub async fn get(&self, path: &str) -> Response {
        self.send("GET", &format!("/api/v3{path}"), "", &[]).await
    }

    /// POSTs JSON to `path` under `/api/v3`.
    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send(
            "POST",
            &format!("/api/v3{path}"),
            body.to_string(),
            &[("content-type", "application/json")],
        )
        .await
    }

    /// PATCHes `path` under `/api/v3` with a merge patch.
    pub async fn patch(&self, path: &str, patch: Value) -> Response {
        let headers = [("content-type", "application/merge-patch+json")];
        self.send("PATCH", &format!("/api/v3{path}"), patch.to_string(), &headers).await
    }

    /// Sends a request that may be repeated, and does so while the response is a 503 that says when to try again.
    ///
    /// # Panics
    /// If that lasts longer than [`crate::TIMEOUT`].
    pub async fn send_again(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Response {
        let is_refused = |response: &Response| response.headers.contains_key("retry-after");
        self.send_while(method, path, body.into(), headers, is_refused).await
    }

    async fn send_while(
        &self,
        method: &str,
        path: &str,
        body: Bytes,
        headers: &[(&str, &str)],
        is_refused: impl Fn(&Response) -> bool,
    ) -> Response {
        let began = std::time::Instant::now();
        loop {
            let response = self
                .try_send(method, path, body.clone(), headers)
                .await
                .unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
            if response.status != 503 || !is_refused(&response) {
                return response;
            }
            assert!(began.elapsed() < crate::TIMEOUT, "{method} {path}: still {response:?}");
            tokio::task::yield_now().await;
        }
    }

    /// GETs `path` under `/api/v3` as [`Self::send_again`] does.
    pub async fn get_again(&self, path: &str) -> Response {
        self.send_again("GET", &format!("/api/v3{path}"), "", &[]).await
    }

    /// Uploads a plugin that must be accepted.
    pub async fn upload(&self, name: &str, wasm: Vec<u8>) -> Value {
        let path = format!("/api/v3/plugins/{name}");
        self.send("PUT", &path, wasm, &[("content-type", "application/wasm")]).await.expect(201)
    }

    /// Posts an event that must be accepted, and returns its id.
    pub async fn publish(&self, event_type: &str, data: Value) -> String {
        let response = self.post("/events", json!({"type": event_type, "data": data})).await.expect(202);
        response["id"].as_str().expect("an accepted event has an id").to_owned()
    }

    /// Waits until all deliveries of an event are in a final state, and returns them.
    ///
    /// # Panics
    /// If that does not happen within [`crate::TIMEOUT`].
    pub async fn finished(&self, event: &str) -> Vec<Value> {
        let last = ["succeeded", "exhausted", "dropped", "cancelled"];
        self.deliveries_when(event, |delivery| last.contains(&delivery["state"].as_str().unwrap_or_default()))
            .await
    }

    /// Waits until `wanted` holds for all deliveries of an event, with their attempts, and returns them.
    ///
    /// # Panics
    /// If that does not happen within [`crate::TIMEOUT`].
    pub async fn deliveries_when(&self, event: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let began = std::time::Instant::now();
        loop {
            let list = self.get_again(&format!("/events/{event}/deliveries")).await.expect(200);
            let mut shown = Vec::new();
            for delivery in list["data"].as_array().into_iter().flatten() {
                let id = delivery["id"].as_str().unwrap_or_default();
                shown.push(self.get_again(&format!("/deliveries/{id}")).await.expect(200));
            }
            if !shown.is_empty() && shown.iter().all(&wanted) {
                return shown;
            }
            assert!(began.elapsed() < crate::TIMEOUT, "still {shown:#?}");
            tokio::task::yield_now().await;
        }
    }
}

/// A page of keys without the times of their last use, which each request may change.
#[must_use]
pub fn without_last_use(mut keys: Value) -> Value {
    for key in keys["data"].as_array_mut().into_iter().flatten() {
        if let Some(key) = key.as_object_mut() {
            key.remove("last_used_at");
        }
    }
    keys
}
