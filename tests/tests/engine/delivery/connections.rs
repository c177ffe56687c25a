//! Reuse of connections to receivers.

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::json;

use crate::{BINARY, engine, hook};

/// Maximum number of concurrent requests of a hook.
const CONCURRENCY: usize = 64;

#[tokio::test]
async fn tls_connections_are_reused() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(200)).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority).unwrap();
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_CA_FILE", file.to_str().unwrap())]).await;
    let client = server.tenant("acme").await;
    let url = format!("https://{}/", receiver.address());
    client.post("/hooks", json!({"url": url, "types": ["*"]})).await.expect(201);
    for n in 0..4 {
        let event = client.publish("t", json!(n)).await;
        assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    }
    assert_eq!((receiver.so_far().len(), receiver.connections()), (4, 1));
}

#[tokio::test]
async fn there_are_no_more_connections_than_concurrent_requests() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let lines: Vec<String> = (0..1_000).map(|n| json!({"type": "t", "data": n}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
    for _ in 0..lines.len() {
        receiver.next().await;
    }
    assert!((1..=CONCURRENCY).contains(&receiver.connections()), "{}", receiver.connections());
}
