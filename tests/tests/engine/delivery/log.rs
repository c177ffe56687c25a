//! When the engine's own log cannot be written, or nobody reads it.
#![cfg(target_os = "linux")]

use std::fs::File;

use hookwright_tests::{PATIENCE, Receiver, Reply, Server};
use serde_json::json;

use crate::{BINARY, hook};

/// As where the log is on the disk that is full: the lines are lost, and that is all.
#[tokio::test]
async fn what_cannot_be_logged_stops_nothing() {
    // Every write to it fails as on a full disk.
    let full = File::options().write(true).open("/dev/full").unwrap();
    // A warning at the start, that there is no such setting.
    let server = Server::start_logging_to(BINARY, &[("HOOKWRIGHT_NO_SETTING", "1")], full).await;
    let client = server.tenant("acme").await;
    // A warning on the way of a delivery, that the hook is disabled.
    let receiver = Receiver::answering(|_| Reply::status(410)).await;
    let id = hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!({})).await;
    assert_eq!(client.settled(&event).await[0]["state"], "exhausted");
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["enabled"], false);
}

/// As with a service manager that has stopped: the pipe is full, and stays so.
#[tokio::test]
async fn a_log_that_nobody_reads_stops_nothing() {
    let (unread, log) = std::io::pipe().unwrap();
    let server = Server::start_logging_to(BINARY, &[("HOOKWRIGHT_LOG", "trace")], log);
    let mut server = tokio::time::timeout(PATIENCE, server).await.unwrap();
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    for n in 0..100 {
        let event = tokio::time::timeout(PATIENCE, client.publish("t", json!(n))).await.unwrap();
        assert_eq!(client.settled(&event).await[0]["state"], "succeeded");
    }
    assert_eq!(server.terminate().await, Some(0));
    drop(unread);
}
