//! The receiver of all hooks. A hook's path is `/` and its number.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::score::Score;
use super::{FAILING, HELD, ORDERED, SLOW};

/// The duration of a request to the slow hook.
const SLOW_RESPONSE: Duration = Duration::from_millis(30);
/// One of this many requests to the failing hook fails.
const FAILS_EVERY: u64 = 7;

/// A receiver on loopback. Its tasks end with the runtime.
pub struct Receiver {
    pub address: SocketAddr,
    holds: watch::Sender<bool>,
}

struct Rules {
    score: Arc<Score>,
    holds: watch::Receiver<bool>,
    requests: AtomicU64,
}

impl Receiver {
    pub async fn start(score: Arc<Score>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, holds) = (listener.local_addr()?, watch::Sender::new(false));
        let rules = Arc::new(Rules { score, holds: holds.subscribe(), requests: AtomicU64::new(0) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let rules = Arc::clone(&rules);
                let service = service_fn(move |request| respond(request, Arc::clone(&rules)));
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, holds })
    }

    /// Whether requests to the held hook get no response for now.
    pub fn hold(&self, holds: bool) {
        self.holds.send_replace(holds);
    }
}

async fn respond(
    request: http::Request<Incoming>,
    rules: Arc<Rules>,
) -> Result<http::Response<Empty<Bytes>>, Infallible> {
    let hook: usize = request.uri().path()[1..].parse().unwrap_or(usize::MAX);
    // If the connection ends, this future is dropped, and so is the permit.
    let in_progress = rules.score.begins(hook);
    let mut response = http::Response::new(Empty::new());
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    let Ok(body) = request.into_body().collect().await else { return Ok(response) };
    let body: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    let Some(number) = body["number"].as_u64() else { return Ok(response) };
    if let (Some(key), Some(position)) = (body["key"].as_u64(), body["position"].as_u64()) {
        rules.score.begins_in_order(key, position);
    }
    match hook {
        HELD => drop(rules.holds.clone().wait_for(|holds| !holds).await),
        SLOW => tokio::time::sleep(SLOW_RESPONSE).await,
        FAILING | ORDERED if rules.requests.fetch_add(1, Ordering::Relaxed).is_multiple_of(FAILS_EVERY) => {
            return Ok(response);
        }
        _ => {}
    }
    *response.status_mut() = http::StatusCode::OK;
    drop(in_progress);
    if let (Some(key), Some(position)) = (body["key"].as_u64(), body["position"].as_u64()) {
        rules.score.delivered_in_order(key, position);
    }
    rules.score.delivered((number, hook));
    Ok(response)
}
