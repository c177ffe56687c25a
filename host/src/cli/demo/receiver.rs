//! The demo's receiver: verifies the signature of every request and passes the request to a channel.
//!
//! Receivers also check that the timestamp is recent and drop duplicates; see `examples/receiver`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac::{self, HMAC_SHA256};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A request that arrived.
pub(super) struct Arrival {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether the signature is that of the path's hook.
    pub(super) is_verified: bool,
}

/// Receives the requests of hooks, each on a path of its own.
pub(super) struct Receiver {
    listener: TcpListener,
    keys: HashMap<String, hmac::Key>,
    delay: Duration,
}

impl Receiver {
    /// Listens on a free port of loopback. Connections wait until [`Self::serve`] runs.
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener, keys: HashMap::new(), delay: Duration::ZERO })
    }

    /// Responds so long after a request has arrived.
    pub(super) fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Expects requests to `path` that are signed with `secret`: `whsec_` and base64.
    pub(super) fn expect(&mut self, path: String, secret: &str) -> Result<()> {
        self.keys.insert(path, signing_key(secret)?);
        Ok(())
    }

    /// Serves until `arrivals` is closed.
    pub(super) async fn serve(self, arrivals: mpsc::Sender<Arrival>) -> io::Result<()> {
        let (keys, delay) = (Arc::new(self.keys), self.delay);
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = tokio::select! {
                accepted = self.listener.accept() => accepted?,
                Some(_) = connections.join_next() => continue,
                () = arrivals.closed() => return Ok(()),
            };
            let (keys, arrivals) = (Arc::clone(&keys), arrivals.clone());
            let service = service_fn(move |request| {
                let (keys, arrivals) = (Arc::clone(&keys), arrivals.clone());
                async move {
                    let response = respond(request, &keys, &arrivals).await;
                    tokio::time::sleep(delay).await;
                    Ok::<_, Infallible>(response)
                }
            });
            connections.spawn(async move {
                // If a connection breaks, the engine sends the request again.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

async fn respond(
    request: Request<Incoming>,
    keys: &HashMap<String, hmac::Key>,
    arrivals: &mpsc::Sender<Arrival>,
) -> Response<Empty<Bytes>> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let status = match (keys.get(&path), body.collect().await) {
        (None, _) => StatusCode::NOT_FOUND,
        (_, Err(_)) => StatusCode::BAD_REQUEST,
        (Some(key), Ok(body)) => {
            let body = body.to_bytes();
            let is_verified = is_signed(key, &head.headers, &body);
            let arrival = Arrival { path, headers: head.headers, body, is_verified };
            match arrivals.send(arrival).await {
                Ok(()) if is_verified => StatusCode::NO_CONTENT,
                Ok(()) => StatusCode::UNAUTHORIZED,
                Err(_) => StatusCode::SERVICE_UNAVAILABLE,
            }
        }
    };
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    response
}

/// The key of a secret: `whsec_` and base64.
pub(super) fn signing_key(secret: &str) -> Result<hmac::Key> {
    let encoded = secret.strip_prefix("whsec_").context("a secret lacks the prefix `whsec_`")?;
    let key = STANDARD.decode(encoded).context("a secret is not base64")?;
    Ok(hmac::Key::new(HMAC_SHA256, &key))
}

/// Whether one of the signatures covers id, timestamp and body (Standard Webhooks 1.0).
pub(super) fn is_signed(key: &hmac::Key, headers: &HeaderMap, body: &[u8]) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let mut signatures = text("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1,"));
    signatures
        .any(|encoded| STANDARD.decode(encoded).is_ok_and(|tag| hmac::verify(key, &signed, &tag).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_published_vector_of_standard_webhooks_is_verified_and_a_changed_one_is_not() {
        let mut receiver = Receiver::bind().await.unwrap();
        receiver.expect("/a".to_owned(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let headers: HeaderMap = [
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let key = &receiver.keys["/a"];
        assert!(is_signed(key, &headers, br#"{"test": 2432232314}"#));
        assert!(!is_signed(key, &headers, br#"{"test":2432232314}"#));
        assert!(!is_signed(key, &HeaderMap::new(), br#"{"test": 2432232314}"#));
    }
}
