//! Publishes events to Hookwright, so that each is accepted exactly once.
//!
//! `202` means that the event is on disk. Without an answer, the sender cannot know. So every event has an
//! `Idempotency-Key` and is sent again with the same key until there is an answer. Hookwright accepts it at most once.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// For one request and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Publishes to one engine with one API key.
pub struct Publisher {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: String,
    key: String,
    waits: Vec<Duration>,
}

/// An event as it is posted. The data is sent unchanged: parsing could change its numbers.
#[derive(Serialize)]
struct Event<'a> {
    r#type: &'a str,
    data: &'a RawValue,
}

/// The result of one request.
enum Answer {
    /// The event is on disk.
    Accepted(Value),
    /// A later attempt may succeed: there was no answer, or the server failed.
    TryAgain(anyhow::Error),
}

impl Publisher {
    /// Publishes to the engine at `url`, such as `http://127.0.0.1:8080`, with the API key `key`.
    #[must_use]
    pub fn new(url: &str, key: &str) -> Self {
        let connector =
            HttpsConnectorBuilder::new().with_webpki_roots().https_or_http().enable_http1().build();
        Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: format!("{}/api/v3/events", url.trim_end_matches('/')),
            key: key.to_owned(),
            waits: [100, 500, 2_000, 5_000].map(Duration::from_millis).to_vec(),
        }
    }

    /// Sets the wait before each further attempt.
    #[must_use]
    pub fn retrying_after(mut self, waits: &[Duration]) -> Self {
        self.waits = waits.to_vec();
        self
    }

    /// Publishes an event. Returns the engine's answer, with its `id` and the number of `deliveries`.
    ///
    /// # Errors
    /// Fails if the engine refuses the event, or does not accept it after all attempts.
    pub async fn publish(&self, event_type: &str, data: &RawValue) -> anyhow::Result<Value> {
        let body = Bytes::from(serde_json::to_vec(&Event { r#type: event_type, data })?);
        let idempotency_key = format!("{:032x}", rand::random::<u128>());
        let mut waits = self.waits.iter();
        loop {
            let answer = tokio::time::timeout(TIMEOUT, self.attempt(&idempotency_key, body.clone())).await;
            let failure = match answer {
                Ok(answer) => match answer? {
                    Answer::Accepted(answer) => return Ok(answer),
                    Answer::TryAgain(failure) => failure,
                },
                Err(elapsed) => elapsed.into(),
            };
            let Some(wait) = waits.next() else {
                return Err(failure.context("the event was not accepted"));
            };
            tokio::time::sleep(*wait).await;
        }
    }

    async fn attempt(&self, idempotency_key: &str, body: Bytes) -> anyhow::Result<Answer> {
        let request = Request::post(&self.url)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key)
            .body(Full::new(body))
            .context("the URL or the key is malformed")?;
        let response = match self.client.request(request).await {
            Ok(response) => response,
            Err(error) => return Ok(Answer::TryAgain(error.into())),
        };
        let status = response.status();
        let answer = match Limited::new(response.into_body(), MAX_ANSWER).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return Ok(Answer::TryAgain(anyhow::anyhow!(error))),
        };
        let said = String::from_utf8_lossy(&answer);
        if status.is_success() {
            let answer = serde_json::from_slice(&answer).with_context(|| format!("not JSON: {said}"))?;
            return Ok(Answer::Accepted(answer));
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            return Ok(Answer::TryAgain(anyhow::anyhow!("{status}: {said}")));
        }
        bail!("{status}: {said}")
    }
}
