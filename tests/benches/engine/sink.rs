//! A minimal hyper receiver: reads and counts each request, and responds with 200.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl Sink {
    pub async fn start(on_arrival: Option<OnArrival>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let sink = Self { address: listener.local_addr()?, arrived: Arc::default() };
        let arrived = Arc::clone(&sink.arrived);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let (arrived, on_arrival) = (Arc::clone(&arrived), on_arrival.clone());
                let service =
                    service_fn(move |request| take(request, Arc::clone(&arrived), on_arrival.clone()));
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
    arrived: Arc<AtomicU64>,
    on_arrival: Option<OnArrival>,
) -> Result<http::Response<Empty<Bytes>>, Infallible> {
    if let Ok(body) = request.into_body().collect().await
        && let Some(on_arrival) = on_arrival
    {
        on_arrival(&body.to_bytes());
    }
    arrived.fetch_add(1, Ordering::Relaxed);
    Ok(http::Response::new(Empty::new()))
}
