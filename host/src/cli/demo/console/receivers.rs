//! The demo's receivers. Most of them misbehave, each in its own way.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::hmac;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::super::api::{Api, text};
use super::super::receiver::{is_signed, signing_key};
use super::tenants::SampleHook;

/// A secret that no hook has.
const OTHER_SECRET: &str = "whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhlIGhvb2s=";
/// How long the one takes that hangs.
const HANGS: Duration = Duration::from_secs(4);
/// How long the others take at most.
const USUAL_MS: u64 = 120;

/// All receivers, on one address.
pub(super) struct Receivers {
    listener: TcpListener,
    receiver: Arc<Receiver>,
}

#[derive(Default)]
struct Receiver {
    keys: Mutex<HashMap<String, hmac::Key>>,
    requests: AtomicU64,
}

impl Receivers {
    /// Listens on a free port of loopback. Connections wait until [`Self::serve`] runs.
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { listener, receiver: Arc::default() })
    }

    pub(super) fn base(&self) -> io::Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Creates a hook, whose requests one of them expects then.
    pub(super) async fn expect(&self, api: &Api, hook: &SampleHook) -> Result<()> {
        let made = api.post("/hooks", &hook.request).await?;
        let secret = api.get(&format!("/hooks/{}/secret", text(&made, "id")?)).await?;
        let secret =
            if hook.path.ends_with("/other-secret") { OTHER_SECRET } else { text(&secret, "secret")? };
        let mut keys = self.receiver.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.insert(hook.path.to_owned(), signing_key(secret)?);
        Ok(())
    }

    /// Serves until it is dropped.
    pub(super) async fn serve(self) -> Result<()> {
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = tokio::select! {
                accepted = self.listener.accept() => accepted.context("cannot accept a connection")?,
                Some(_) = connections.join_next() => continue,
            };
            let receiver = Arc::clone(&self.receiver);
            let service = service_fn(move |request| {
                let receiver = Arc::clone(&receiver);
                async move { Ok::<_, Infallible>(receiver.respond(request).await) }
            });
            connections.spawn(async move {
                // If a connection breaks, the engine sends the request again.
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }
}

impl Receiver {
    async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let number = self.requests.fetch_add(1, Relaxed);
        let key = self.keys.lock().unwrap_or_else(PoisonError::into_inner).get(head.uri.path()).cloned();
        let (Some(key), Ok(body)) = (key, body.collect().await) else {
            return answer(StatusCode::NOT_FOUND, "nothing here");
        };
        if !is_signed(&key, &head.headers, &body.to_bytes()) {
            return answer(StatusCode::UNAUTHORIZED, "the signature does not match the secret that I have");
        }
        tokio::time::sleep(Duration::from_millis(number * 37 % USUAL_MS)).await;
        match head.uri.path() {
            "/shop/flaky" if number.is_multiple_of(4) => {
                answer(StatusCode::INTERNAL_SERVER_ERROR, "database is locked; try again")
            }
            "/shop/slow" if !number.is_multiple_of(3) => {
                tokio::time::sleep(HANGS).await;
                answer(StatusCode::OK, "")
            }
            "/shop/gone" => answer(StatusCode::GONE, "the newsletter has moved for good"),
            "/calls/down" => answer(StatusCode::SERVICE_UNAVAILABLE, "down for maintenance"),
            _ => answer(StatusCode::OK, "thanks"),
        }
    }
}

fn answer(status: StatusCode, said: &'static str) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "text/plain");
    response.body(Full::new(Bytes::from_static(said.as_bytes()))).unwrap_or_default()
}
