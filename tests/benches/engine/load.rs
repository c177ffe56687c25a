//! A minimal hyper client: connections that each send one request after another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::sink::Sink;
use crate::{CONNECTIONS, MEASURED, WARM_UP, WINDOW};

/// The posts: address, path, headers and bodies.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub bodies: Arc<Vec<Bytes>>,
    /// Number of connections. Each has one request at a time.
    pub connections: usize,
    /// Number of unfinished deliveries at which the load waits.
    pub window: u64,
    /// Keys of tenants that take turns; none if the key is among the headers.
    pub keys: Arc<Vec<String>>,
}

/// Interval at which a waiting connection checks whether it may continue.
const PAUSE: Duration = Duration::from_millis(1);

impl Target {
    pub fn new(address: SocketAddr, path: &str, bodies: Vec<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let bodies = Arc::new(bodies);
        Self {
            address,
            path: path.to_owned(),
            headers,
            bodies,
            connections: CONNECTIONS,
            window: WINDOW,
            keys: Arc::default(),
        }
    }

    pub async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// The request with this number.
    pub fn request(&self, number: usize) -> Result<http::Request<Full<Bytes>>> {
        let body = self.bodies[number % self.bodies.len()].clone();
        let mut request = http::Request::post(&self.path).header("host", "127.0.0.1");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        if !self.keys.is_empty() {
            let key = &self.keys[number % self.keys.len()];
            request = request.header("authorization", format!("Bearer {key}"));
        }
        Ok(request.body(Full::new(body))?)
    }
}

/// Posts to `target` as fast as possible and returns the deliveries per second. Each request causes `deliveries`
/// deliveries.
///
/// The load waits while more than [`Target::window`] deliveries are unfinished, so that the measured rate is
/// sustainable and no backlog grows.
pub async fn saturate(target: &Target, sink: &Sink, deliveries: u64) -> Result<f64> {
    saturate_all(std::slice::from_ref(target), sink, deliveries).await
}

/// Like [`saturate`], with the connections of each target. All have the window of the first.
pub async fn saturate_all(targets: &[Target], sink: &Sink, deliveries: u64) -> Result<f64> {
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(sink.arrived())));
    let mut tasks = Vec::new();
    let window = targets.first().map_or(0, |target| target.window);
    for (target, connection) in targets.iter().flat_map(|it| (0..it.connections).map(move |n| (it, n))) {
        let (target, sink) = (target.clone(), sink.clone());
        let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
        tasks.push(tokio::spawn(async move {
            let mut sender = target.connect().await?;
            let mut next = connection;
            while !stop.load(Ordering::Relaxed) {
                if sent.load(Ordering::Relaxed) >= sink.arrived() + window {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                sent.fetch_add(deliveries, Ordering::Relaxed);
                let request = target.request(next)?;
                next += target.connections;
                send(&mut sender, request).await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    tokio::time::sleep(WARM_UP).await;
    let (began, before) = (Instant::now(), sink.arrived());
    tokio::time::sleep(MEASURED).await;
    let rate = (sink.arrived() - before) as f64 / began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.context("a connection of the load ended badly")??;
    }
    Ok(rate)
}

/// Posts `total` bodies at `rate` per second, independent of response times. Calls `accepted` with the number of each
/// body after its response.
pub async fn paced(
    target: &Target,
    rate: f64,
    total: u64,
    accepted: Arc<dyn Fn(u64) + Send + Sync>,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..target.connections {
        let (target, next, accepted) = (target.clone(), Arc::clone(&next), Arc::clone(&accepted));
        tasks.push(tokio::spawn(async move {
            let mut sender = target.connect().await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return Ok::<_, anyhow::Error>(());
                }
                let due = began + Duration::from_secs_f64(number as f64 / rate);
                tokio::time::sleep_until(due.into()).await;
                send(&mut sender, target.request(number as usize)?).await?;
                accepted(number);
            }
        }));
    }
    for task in tasks {
        task.await.context("a connection of the load ended badly")??;
    }
    Ok(())
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, request: http::Request<Full<Bytes>>) -> Result<()> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
