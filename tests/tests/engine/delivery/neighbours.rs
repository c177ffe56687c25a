//! Effects of hanging receivers on other tenants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::json;
use tokio::sync::Notify;

use crate::{BINARY, hook};

/// Maximum number of concurrent requests: enough for one per tenant, but not for all deliveries.
const CONCURRENCY: &str = "64";
const TENANTS: usize = 24;
const EVENTS: usize = 4;

#[tokio::test]
async fn a_hanging_receiver_gets_one_request_and_delays_no_other_tenant() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_MAX_IN_FLIGHT", CONCURRENCY)]).await;
    let (gate, open) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (held, back) = (Arc::clone(&gate), Arc::clone(&open));
    let hanging = Receiver::responding(move |_| match back.load(Ordering::SeqCst) {
        true => Reply::status(200),
        false => Reply::Held(Arc::clone(&held)),
    })
    .await;
    for number in 0..TENANTS {
        let tenant = server.tenant(&format!("hangs-{number}")).await;
        hook(&tenant, &hanging, json!({"timeout_ms": 60_000})).await;
        for event in 0..EVENTS {
            tenant.publish("t", json!([number, event])).await;
        }
    }
    for _ in 0..TENANTS {
        hanging.next().await;
    }

    let (other, receiver) = (server.tenant("answers").await, Receiver::start().await);
    hook(&other, &receiver, json!({})).await;
    for number in 0..20 {
        let event = other.publish("t", json!(number)).await;
        assert_eq!(receiver.next().await.json(), number);
        assert_eq!(other.finished(&event).await[0]["state"], "succeeded");
    }
    assert_eq!(hanging.so_far().len(), 0, "a hanging receiver gets at most one request");

    // The receivers respond again and get the other deliveries.
    open.store(true, Ordering::SeqCst);
    gate.notify_waiters();
    for _ in TENANTS..TENANTS * EVENTS {
        hanging.next().await;
    }
}
