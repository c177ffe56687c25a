//! A log that cannot be written or is not read.
#![cfg(target_os = "linux")]

use std::fs::File;

use hookwright_tests::{Receiver, Reply, Server, TIMEOUT};
use serde_json::json;

use crate::{BINARY, hook};

/// A log on a full disk: only the lines are lost.
#[tokio::test]
async fn failed_writes_to_the_log_do_not_stop_the_engine() {
    // Every write to this device fails like on a full disk.
    let full = File::options().write(true).open("/dev/full").unwrap();
    // The unknown setting causes a warning at the start.
    let server = Server::start_logging_to(BINARY, &[("HOOKWRIGHT_NO_SETTING", "1")], full).await;
    let client = server.tenant("acme").await;
    // The disabled hook causes a warning during a delivery.
    let receiver = Receiver::responding(|_| Reply::status(410)).await;
    let id = hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!({})).await;
    assert_eq!(client.finished(&event).await[0]["state"], "exhausted");
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["enabled"], false);
}

/// A pipe that is full because the service manager has stopped reading.
#[tokio::test]
async fn a_log_that_is_not_read_does_not_stop_the_engine() {
    let (unread, log) = std::io::pipe().unwrap();
    let server = Server::start_logging_to(BINARY, &[("HOOKWRIGHT_LOG", "trace")], log);
    let mut server = tokio::time::timeout(TIMEOUT, server).await.unwrap();
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    for n in 0..100 {
        let event = tokio::time::timeout(TIMEOUT, client.publish("t", json!(n))).await.unwrap();
        assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    }
    assert_eq!(server.terminate().await, Some(0));
    drop(unread);
}
