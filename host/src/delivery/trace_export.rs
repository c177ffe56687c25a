//! Exports spans by OTLP over HTTP, with the engine's own client.
//!
//! The collector is the operator's, so the egress policy does not limit where it is. A collector that is slow or away costs spans,
//! which are counted, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio_util::sync::CancellationToken;

use super::client::{Connector, DeliveryClient, Sender};
use super::decision::retry_after;
use super::header_values::USER_AGENT;
use super::reason::reason;
use crate::domain::{Outcome, Response, TenantId, UnixMillis};
use crate::log_limiter::LogLimiter;
use crate::traces::{Resource, Traces, encode, rejected};

/// How long spans wait for others at most.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Before the second, third and fourth try. The last failure drops the spans.
const WAITS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// The longest wait that a collector can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Exports the spans that `traces` takes.
pub struct TraceExporter {
    traces: Traces,
    resource: Resource,
    client: DeliveryClient,
    url: Uri,
    headers: HeaderMap,
    failures: LogLimiter,
}

impl TraceExporter {
    /// One that posts to `url`, with these headers.
    ///
    /// # Panics
    /// Panics outside of a tokio runtime.
    #[must_use]
    pub fn new(
        traces: Traces,
        resource: Resource,
        connector: &Arc<Connector>,
        (url, mut headers): (Uri, HeaderMap),
    ) -> Self {
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let client = DeliveryClient::siblings(connector, 1, 1).remove(0);
        Self { traces, resource, client, url, headers, failures: LogLimiter::new() }
    }

    /// Exports until `stop`, and then what is left, once.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.traces.batch_is_full() => {}
                () = tokio::time::sleep(INTERVAL) => {}
            }
            loop {
                let batch = self.traces.take_batch();
                if batch.is_empty() {
                    break;
                }
                let count = batch.len();
                let body = Bytes::from(encode(&self.resource, batch));
                if let Err(why) = self.export(&body, &stop).await {
                    self.failed(count, &why);
                }
            }
        }
    }

    /// Sends the request until it is accepted or refused, or has been tried often enough.
    async fn export(&self, body: &Bytes, stop: &CancellationToken) -> Result<(), String> {
        let mut waits = WAITS.iter();
        loop {
            let (why, asked_for) = match self.send(body).await {
                Ok(Outcome::Response(response)) if response.is_success() => {
                    if let Some((count, why)) = rejected(&response.body) {
                        self.failed(count, &why);
                    }
                    return Ok(());
                }
                Ok(outcome) => match &outcome {
                    // The specification names them, and says that no other status is worth a retry.
                    Outcome::Response(response) if ![429, 502, 503, 504].contains(&response.status) => {
                        return Err(reason(&outcome));
                    }
                    Outcome::Response(response) => (reason(&outcome), asked_for(response)),
                    _ => (reason(&outcome), None),
                },
                Err(own) => (own, None),
            };
            let Some(wait) = waits.next() else { return Err(why) };
            let wait = asked_for.unwrap_or_default().clamp(*wait, LONGEST_WAIT);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                return Err(why);
            }
        }
    }

    async fn send(&self, body: &Bytes) -> Result<Outcome, String> {
        let request = || {
            let mut request = http::Request::new(Full::new(body.clone()));
            *request.method_mut() = Method::POST;
            *request.uri_mut() = self.url.clone();
            *request.headers_mut() = self.headers.clone();
            request
        };
        // The same spans twice are the same spans. A collector is no receiver.
        let sender = Sender { is_repeatable: true, is_counted: false, ..Sender::from(TenantId(0)) };
        self.client.send(sender, request(), &|| Some(request()), TIMEOUT).await.map_err(|own| own.to_string())
    }

    fn failed(&self, spans: usize, why: &str) {
        Traces::count_dropped(spans);
        if let Some(unlogged) = self.failures.permit() {
            tracing::warn!(
                spans,
                why,
                unlogged,
                "spans could not be exported; see the setting `otlp_endpoint`"
            );
        }
    }
}

/// For how long the collector wants to be left alone. Dates count from an unknown time, so they are ignored.
fn asked_for(response: &Response) -> Option<Duration> {
    retry_after(response, UnixMillis::MAX)
}
