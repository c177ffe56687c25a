//! A minimal hyper receiver: reads and counts each request, and responds with 200. Or it responds with 500 to the first request
//! of each delivery, and does not count it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Called with each body that arrives.
pub type OnArrival = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A receiver that counts requests.
#[derive(Clone)]
pub struct Sink {
    pub address: SocketAddr,
    arrived: Arc<AtomicU64>,
    /// The deliveries that have failed once, by the ids of their events; none if none is to fail.
    failed: Option<Arc<Mutex<HashSet<String>>>>,
}

impl Sink {
    /// Fails the first request of each delivery.
    pub async fn failing_first() -> Result<Self> {
        Self::listen(None, Some(Arc::default())).await
    }

    pub async fn start(on_arrival: Option<OnArrival>) -> Result<Self> {
        Self::listen(on_arrival, None).await
    }

    async fn listen(
        on_arrival: Option<OnArrival>,
        failed: Option<Arc<Mutex<HashSet<String>>>>,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self { address: listener.local_addr()?, arrived: Arc::default(), failed };
        let accepting = sink.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (sink, on_arrival) = (accepting.clone(), on_arrival.clone());
                let service = service_fn(move |request| take(request, sink.clone(), on_arrival.clone()));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(sink)
    }

    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }
}

async fn take(
    request: http::Request<Incoming>,
    sink: Sink,
    on_arrival: Option<OnArrival>,
) -> Result<http::Response<Empty<Bytes>>, Infallible> {
    let id =
        request.headers().get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    if let Ok(body) = request.into_body().collect().await
        && let Some(on_arrival) = on_arrival
    {
        on_arrival(&body.to_bytes());
    }
    if let Some(failed) = &sink.failed {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if !failed.remove(&id) {
            failed.insert(id);
            let mut response = http::Response::new(Empty::new());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            return Ok(response);
        }
    }
    sink.arrived.fetch_add(1, Ordering::Relaxed);
    Ok(http::Response::new(Empty::new()))
}
