//! Publishes at a steady rate, independent of response times.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;

use crate::times::Times;

/// Connections, each with one request at a time.
const CONNECTIONS: usize = 64;
/// A request that begins later than this after its time waited for a connection: its wait counts.
const LATE: Duration = Duration::from_millis(2);
pub const EVENT_TYPE: &str = "order.paid";

/// About 0.9 KB of JSON.
pub fn event(number: u64) -> Bytes {
    json!({"type": EVENT_TYPE, "data": {"number": number, "note": "x".repeat(850)}}).to_string().into()
}

/// Publishes as many events as `times` has. `published` counts them.
pub async fn publish(
    (address, key): (SocketAddr, &str),
    (rate, events): (u64, u64),
    times: &Times,
    published: &Arc<AtomicU64>,
) -> Result<()> {
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (key, times) = (key.to_owned(), times.clone());
        let (next, published) = (Arc::clone(&next), Arc::clone(published));
        tasks.push(tokio::spawn(async move {
            let mut sender = connect(address).await?;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= events {
                    return Ok::<_, anyhow::Error>(());
                }
                let due = began + Duration::from_secs_f64(number as f64 / rate as f64);
                tokio::time::sleep_until(due.into()).await;
                let now = Instant::now();
                times.sent(number, if now > due + LATE { due } else { now });
                send(&mut sender, &key, number).await?;
                times.accepted(number);
                published.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    for task in tasks {
        task.await.context("a connection of the load ended badly")??;
    }
    Ok(())
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(sender: &mut SendRequest<Full<Bytes>>, key: &str, number: u64) -> Result<()> {
    sender.ready().await?;
    let request = http::Request::post("/api/v3/events")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {key}"))
        .body(Full::new(event(number)))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
