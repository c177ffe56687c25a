//! Sends deliveries to a local address, each as the request that its hook would send.
//!
//! The engine writes the request: `POST /hooks/{id}/preview` runs the hook's pipeline for the stored event. The same
//! event, plugins and settings give the same bytes, unless a plugin looks at the trigger, which is `test` in a preview.
//! For a hook that sends batches it is a batch of this one event.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::options::Target;
use super::signature::Headers;
use super::update::Outcome;
use super::wire::Delivery;
use crate::cli::engine_api::{ApiError, EngineApi};
use crate::cli::http_client::{Client, reason};
use crate::clock;

/// The time limit for the local receiver.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a response is shown.
const MAX_SHOWN: usize = 4 << 10;
/// Headers that belong to a connection, or that the client adds.
const OF_CONNECTION: [&str; 6] =
    ["connection", "content-length", "host", "keep-alive", "transfer-encoding", "upgrade"];

/// See the module's head.
pub(super) struct Forwarder {
    api: EngineApi,
    client: Client,
    target: Target,
}

/// The request that a pipeline wrote.
struct Written {
    method: String,
    headers: Headers,
    body: Bytes,
}

impl Forwarder {
    pub(super) fn new(api: EngineApi, client: Client, target: Target) -> Self {
        Self { api, client, target }
    }

    /// Checks that the key may ask for requests.
    ///
    /// # Errors
    /// Fails if it lacks a scope.
    pub(super) async fn check(&self) -> Result<(), ApiError> {
        let lists = ["/hooks?limit=1", "/events?limit=1"];
        for list in lists {
            self.api.get::<Value>(list).await?;
        }
        Ok(())
    }

    /// The address and the secret that nobody knows yet.
    pub(super) fn describe(&self) -> (String, Option<String>) {
        (self.target.url.to_string(), self.target.signer.new_secret())
    }

    /// Forwards a delivery.
    ///
    /// # Errors
    /// Fails if the engine is busy or not there, and was not asked successfully. Nothing was sent then.
    pub(super) async fn forward(&self, delivery: &Delivery) -> Result<Outcome, ApiError> {
        let path = format!("/hooks/{}", delivery.hook);
        let (preview_path, input) = (format!("{path}/preview"), json!({"event": delivery.event}));
        let hook = self.api.get::<Value>(&path);
        let preview = self.api.post::<Value>(&preview_path, Some(&input));
        let (hook, preview) = match tokio::try_join!(hook, preview) {
            Ok(both) => both,
            Err(error) if error.is_final() => return Ok(Outcome::Failed(error.to_string())),
            Err(error) => return Err(error),
        };
        Ok(match self.signed(&hook, &preview) {
            Ok(written) => self.send(written).await,
            Err(outcome) => outcome,
        })
    }

    fn signed(&self, hook: &Value, preview: &Value) -> Result<Written, Outcome> {
        let mut written = Written::of(preview)?;
        let signed = self.target.signer.sign(hook, &mut written.headers, &written.body);
        signed.map(|()| written).map_err(Outcome::Failed)
    }

    async fn send(&self, written: Written) -> Outcome {
        let mut request = Request::builder().method(written.method.as_str()).uri(self.target.url.as_str());
        for (name, value) in &written.headers {
            if !OF_CONNECTION.iter().any(|other| name.eq_ignore_ascii_case(other)) {
                request = request.header(name, value);
            }
        }
        let request = match request.body(Full::new(written.body)) {
            Ok(request) => request,
            Err(error) => return Outcome::Failed(format!("the request cannot be sent: {error}")),
        };
        let began = clock::monotonic();
        let exchange = async {
            let response = self.client.request(request).await.map_err(reason)?;
            let status = response.status().as_u16();
            Ok::<_, String>((status, beginning(response.into_body()).await))
        };
        match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Ok((status, body))) => {
                let duration_ms = u64::try_from(clock::elapsed(began).as_millis()).unwrap_or(u64::MAX);
                Outcome::Response { status, duration_ms, body }
            }
            Ok(Err(why)) => Outcome::Failed(format!("{}: {why}", self.target.url)),
            Err(_) => Outcome::Failed(format!(
                "{}: no complete response within {} seconds",
                self.target.url,
                TIMEOUT.as_secs()
            )),
        }
    }
}

impl Written {
    /// The request of a preview; what became of it if there is none.
    fn of(preview: &Value) -> Result<Self, Outcome> {
        let request = &preview["request"];
        let (Some(method), Some(headers)) = (request["method"].as_str(), request["headers"].as_object())
        else {
            if preview["verdict"] == "drop" {
                return Err(Outcome::Dropped);
            }
            let steps = preview["steps"].as_array();
            let fault = steps.and_then(|steps| steps.last()).map(|step| &step["fault"]);
            let part = |name| fault.and_then(|fault| fault[name].as_str()).unwrap_or("unknown");
            return Err(Outcome::Faulted(format!("{}: {}", part("kind"), part("message"))));
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers = headers.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let body = match request["body_base64"].as_str() {
            Some(encoded) => STANDARD.decode(encoded).unwrap_or_default(),
            None => text(&request["body"]).into_bytes(),
        };
        Ok(Self { method: method.to_owned(), headers, body: body.into() })
    }
}

/// The beginning of a response. The rest is not read.
async fn beginning(mut body: Incoming) -> String {
    let mut read = Vec::new();
    while read.len() < MAX_SHOWN
        && let Some(Ok(frame)) = body.frame().await
    {
        read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
    }
    read.truncate(MAX_SHOWN);
    String::from_utf8_lossy(&read).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_what_the_pipeline_wrote() {
        let request = |body: Value| {
            let mut request = json!({"method": "PUT", "url": "https://x/", "headers": {"a": "b"}});
            request.as_object_mut().unwrap().extend(body.as_object().cloned().unwrap());
            json!({"verdict": "keep", "request": request, "steps": []})
        };
        for (body, expected) in [
            (json!({"body": "{\"n\": 1.50}"}), &b"{\"n\": 1.50}"[..]),
            (json!({"body": null, "body_base64": "/w=="}), b"\xff"),
            (json!({"body": null}), b""),
        ] {
            let written = Written::of(&request(body)).ok().unwrap();
            assert_eq!((written.method.as_str(), &written.body[..]), ("PUT", expected));
            assert_eq!(written.headers, [("a".to_owned(), "b".to_owned())]);
        }
    }

    #[test]
    fn without_a_request_the_verdict_says_why() {
        let fault = json!({"kind": "trap", "message": "division by zero"});
        for (verdict, fault, expected) in [
            ("drop", Value::Null, Outcome::Dropped),
            ("fault", fault, Outcome::Faulted("trap: division by zero".to_owned())),
        ] {
            let preview = json!({"verdict": verdict, "request": null, "steps": [{"fault": fault}]});
            assert_eq!(Written::of(&preview).err(), Some(expected));
        }
    }
}
