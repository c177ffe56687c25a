//! An orderly end.

use std::sync::Arc;

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::json;
use tokio::sync::Notify;

use crate::{BINARY, hook};

#[tokio::test]
async fn a_shutdown_lets_what_is_under_way_finish_and_loses_nothing() {
    let mut server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let receiver = Receiver::answering(move |arrival| match arrival.json().as_u64() {
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
    let delivery = client.settled(&event).await.remove(0);
    assert_eq!(
        (&delivery["state"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("succeeded"), 1)
    );
}

#[tokio::test]
async fn a_shutdown_does_not_wait_longer_than_its_grace() {
    let mut server = Server::start_with(BINARY, &[("HOOKWRIGHT_SHUTDOWN_GRACE_MS", "200")]).await;
    let client = server.tenant("acme").await;
    let stuck = std::sync::atomic::AtomicBool::new(true);
    let receiver =
        Receiver::answering(move |_| match stuck.swap(false, std::sync::atomic::Ordering::SeqCst) {
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
    assert_eq!(client.settled(&event).await[0]["state"], "succeeded");
}
