//! Graceful shutdown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::{BINARY, hook};

#[tokio::test]
async fn a_shutdown_waits_for_attempts_and_loses_nothing() {
    let mut server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let receiver = Receiver::responding(move |arrival| match arrival.json().as_u64() {
        Some(0) => Reply::Held(Arc::clone(&held)),
        _ => Reply::status(200),
    })
    .await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!(0)).await;
    receiver.next().await;
    let (code, ()) = tokio::join!(server.terminate(), async { gate.notify_one() });
    assert_eq!(code, Some(0));

    let server = server.restart().await;
    let client = client.at(server.base());
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!(
        (&delivery["state"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("succeeded"), 1)
    );
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_grace_period() {
    let mut server = Server::start_with(BINARY, &[("HOOKWRIGHT_SHUTDOWN_GRACE_MS", "200")]).await;
    let client = server.tenant("acme").await;
    let stuck = std::sync::atomic::AtomicBool::new(true);
    let receiver =
        Receiver::responding(move |_| match stuck.swap(false, std::sync::atomic::Ordering::SeqCst) {
            true => Reply::Never,
            false => Reply::status(200),
        })
        .await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!(0)).await;
    receiver.next().await;
    assert_eq!(server.terminate().await, Some(0));

    let server = server.restart().await;
    let client = client.at(server.base());
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
}

/// A request without its body and an attempt without a response share one grace period.
#[tokio::test]
async fn a_shutdown_has_one_grace_period_for_everything() {
    const GRACE: Duration = Duration::from_secs(5);
    let grace = GRACE.as_millis().to_string();
    let mut server = Server::start_with(BINARY, &[("HOOKWRIGHT_SHUTDOWN_GRACE_MS", grace.as_str())]).await;
    let key = server.tenant_key("acme").await;
    let client = Client::new(server.base(), &key);
    let receiver = Receiver::responding(|_| Reply::Never).await;
    hook(&client, &receiver, json!({})).await;
    client.publish("t", json!(0)).await;
    receiver.next().await;
    let mut half_sent = TcpStream::connect(server.base().trim_start_matches("http://")).await.unwrap();
    let head = format!(
        "POST /api/v3/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\nExpect: 100-continue\r\n\
        Content-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    );
    half_sent.write_all(head.as_bytes()).await.unwrap();
    // The engine waits for the body.
    half_sent.read_exact(&mut [0; 25]).await.unwrap();
    let began = Instant::now();
    assert_eq!(server.terminate().await, Some(0));
    assert!(began.elapsed() < 2 * GRACE, "{:?}", began.elapsed());
}
