//! States of hooks whose receivers fail, and circuit breakers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::start::{hook_when, patch_hook};
use crate::{BINARY, engine, hook};

/// A receiver that answers with a status that can be changed.
async fn answering(status: u16) -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let answer = Arc::clone(&status);
    (Receiver::responding(move |_| Reply::status(answer.load(SeqCst))).await, status)
}

fn is(name: &str) -> impl Fn(&Value) -> bool {
    move |hook| hook["state"]["name"] == name
}

#[tokio::test]
async fn a_hook_is_failing_after_three_failures_also_after_a_restart_and_ok_after_a_success() {
    let (mut server, client) = engine().await;
    let (receiver, status) = answering(503).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": vec![1; 60]}})).await;
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["state"], json!({"name": "ok"}));
    let mut events = Vec::new();
    for number in 0..3 {
        events.push(client.publish("t", json!(number)).await);
    }
    let failing = hook_when(&client, &id, is("failing")).await["state"].clone();
    assert_eq!(failing["reason"], "the receiver answered with status 503", "{failing}");
    assert!(failing["failed"].as_u64() >= Some(3) && failing["failed"] == failing["attempts"], "{failing}");
    assert_eq!(server.terminate().await, Some(0));
    let server = server.restart().await;
    let client = client.at(server.base());
    let again = client.get(&format!("/hooks/{id}")).await.expect(200)["state"].clone();
    assert_eq!((&again["name"], &again["since"]), (&json!("failing"), &failing["since"]));
    status.store(200, SeqCst);
    hook_when(&client, &id, is("ok")).await;
    for event in &events {
        assert_eq!(client.finished(event).await[0]["state"], "succeeded");
    }
}

#[tokio::test]
async fn an_open_circuit_holds_deliveries_and_costs_one_probe() {
    let settings = [
        ("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", "1"),
        ("HOOKWRIGHT_CIRCUIT_ATTEMPTS", "5"),
        ("HOOKWRIGHT_CIRCUIT_OPEN_MS", "86400000"),
        ("HOOKWRIGHT_CIRCUIT_MAX_OPEN_MS", "86400000"),
    ];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, status) = answering(500).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": [1, 1, 1, 1, 1, 1, 1, 1, 1]}})).await;
    let mut events = Vec::new();
    for number in 0..10 {
        events.push(client.publish("t", json!(number)).await);
    }
    let open = hook_when(&client, &id, is("circuit_open")).await["state"].clone();
    assert!(open["since"].is_string() && open["until"].is_string(), "{open}");
    assert_eq!(open["reason"], "the receiver answered with status 500");
    let mut arrived = receiver.so_far().len();
    assert_eq!(arrived, 5);
    for number in 10..20 {
        events.push(client.publish("t", json!(number)).await);
    }
    hook_when(&client, &id, |hook| hook["held"] == 20).await;

    // A change of the hook asks for a probe at once.
    patch_hook(&client, &id, json!({"description": "still broken"})).await;
    hook_when(&client, &id, |hook| hook["state"]["until"].as_str() > open["until"].as_str()).await;
    // Tests are not held, and a failed one changes nothing.
    let test = client.post(&format!("/hooks/{id}/test"), json!({})).await.expect(202);
    client.finished(test["event"].as_str().unwrap()).await;
    arrived += receiver.so_far().len();
    assert_eq!(arrived, 7, "one probe and one test");
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["state"]["since"], open["since"]);

    status.store(200, SeqCst);
    patch_hook(&client, &id, json!({"description": "mended"})).await;
    for (number, event) in events.iter().enumerate() {
        let delivery = client.finished(event).await.remove(0);
        assert_eq!(delivery["state"], "succeeded", "{number}");
        // The first five opened the circuit. One of the others was the first probe.
        let most = if number < 10 { 3 } else { 2 };
        assert!(delivery["attempts"].as_array().unwrap().len() <= most, "{delivery}");
    }
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["state"], json!({"name": "ok"}));
    arrived += receiver.so_far().len();
    assert_eq!(arrived, 27, "5 that opened the circuit, a probe, a test, and 20 deliveries");
}

#[tokio::test]
async fn a_circuit_closes_by_itself_when_a_probe_succeeds() {
    let settings = [("HOOKWRIGHT_CIRCUIT_ATTEMPTS", "5"), ("HOOKWRIGHT_CIRCUIT_OPEN_MS", "100")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, status) = answering(500).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": vec![1; 100]}})).await;
    let mut events = Vec::new();
    for number in 0..10 {
        events.push(client.publish("t", json!(number)).await);
    }
    hook_when(&client, &id, is("circuit_open")).await;
    status.store(200, SeqCst);
    for event in &events {
        assert_eq!(client.finished(event).await[0]["state"], "succeeded");
    }
    hook_when(&client, &id, is("ok")).await;
}

/// Nothing waits when the circuit opens, so the engine sleeps. The probe is an event that comes meanwhile.
#[tokio::test]
async fn an_event_that_comes_while_the_circuit_is_open_is_the_probe_when_it_is_time() {
    let settings = [("HOOKWRIGHT_CIRCUIT_ATTEMPTS", "5"), ("HOOKWRIGHT_CIRCUIT_OPEN_MS", "3000")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, status) = answering(500).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": []}})).await;
    for number in 0..5 {
        let event = client.publish("t", json!(number)).await;
        client.finished(&event).await;
    }
    hook_when(&client, &id, is("circuit_open")).await;
    status.store(200, SeqCst);
    let event = client.publish("t", json!("the probe")).await;
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    hook_when(&client, &id, is("ok")).await;
}

#[tokio::test]
async fn a_disabled_hook_says_why() {
    let settings = [("HOOKWRIGHT_DISABLE_AFTER_MS", "1")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, status) = answering(410).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": [1, 1, 1]}})).await;
    let state = async || client.get(&format!("/hooks/{id}")).await.expect(200)["state"].clone();

    client.publish("t", json!(1)).await;
    hook_when(&client, &id, is("disabled")).await;
    let gone = state().await;
    assert_eq!((&gone["why"], &gone["reason"]), (&json!("gone"), &json!("the receiver answered 410 Gone")));

    patch_hook(&client, &id, json!({"enabled": true})).await;
    assert_ne!(state().await["name"], "disabled");
    patch_hook(&client, &id, json!({"enabled": false})).await;
    let by_hand = state().await;
    assert_eq!((&by_hand["why"], by_hand.get("reason")), (&json!("by_hand"), None));
    assert!(by_hand["since"].is_string());

    status.store(500, SeqCst);
    patch_hook(&client, &id, json!({"enabled": true})).await;
    for number in 0..3 {
        client.publish("t", json!(number)).await;
    }
    hook_when(&client, &id, is("disabled")).await;
    let failing = state().await;
    assert_eq!(failing["why"], "failing");
    assert_eq!(failing["reason"], "no attempt succeeded for too long");
}
