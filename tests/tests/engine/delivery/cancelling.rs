//! A cancelled delivery is not sent.

use std::sync::Arc;

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{engine, hook};

/// A hook whose first event is being sent to a receiver that does not respond yet, while two more wait in memory.
struct Waiting {
    _server: Server,
    client: Client,
    receiver: Receiver,
    hook: String,
    /// Lets the receiver respond.
    gate: Arc<Notify>,
    events: Vec<String>,
}

impl Waiting {
    async fn start() -> Self {
        let (server, client) = engine().await;
        let gate = Arc::new(Notify::new());
        let held = Arc::clone(&gate);
        let receiver = Receiver::responding(move |arrival| match arrival.json().as_u64() {
            Some(0) => Reply::Held(Arc::clone(&held)),
            _ => Reply::status(200),
        })
        .await;
        let hook = hook(&client, &receiver, json!({})).await;
        let mut events = vec![client.publish("t", json!(0)).await];
        receiver.next().await;
        // The receiver has not responded yet, so these deliveries wait for its first response.
        for number in [1, 2] {
            events.push(client.publish("t", json!(number)).await);
        }
        Self { _server: server, client, receiver, hook, gate, events }
    }

    /// Returns the only delivery of an event.
    async fn delivery(&self, event: usize) -> Value {
        let path = format!("/events/{}/deliveries", self.events[event]);
        self.client.get(&path).await.expect(200)["data"][0].clone()
    }

    async fn change(&self, event: usize, what: &str, status: u16) -> Value {
        let id = self.delivery(event).await["id"].as_str().unwrap().to_owned();
        self.client.post(&format!("/deliveries/{id}/{what}"), json!({})).await.expect(status)
    }

    async fn state_at_the_end(&self, event: usize) -> Value {
        self.client.finished(&self.events[event]).await[0]["state"].clone()
    }

    /// Returns the events that have arrived since the first one.
    fn arrived(&self) -> Vec<Value> {
        self.receiver.so_far().iter().map(Arrival::json).collect()
    }
}

#[tokio::test]
async fn a_delivery_that_waits_in_memory_is_not_sent_after_it_is_cancelled() {
    let waiting = Waiting::start().await;
    assert_eq!(waiting.change(1, "cancel", 202).await["state"], "cancelled");
    waiting.gate.notify_one();
    for (event, state) in [(2, "succeeded"), (1, "cancelled"), (0, "succeeded")] {
        assert_eq!(waiting.state_at_the_end(event).await, state, "{event}");
    }
    assert_eq!(waiting.arrived(), [2]);
    assert_eq!(waiting.delivery(1).await["attempt_count"], 0);
}

#[tokio::test]
async fn a_delivery_that_is_being_attempted_cannot_be_cancelled() {
    let waiting = Waiting::start().await;
    let problem = waiting.change(0, "cancel", 409).await;
    assert!(problem["detail"].as_str().unwrap().contains("an attempt is in progress"), "{problem}");
    waiting.gate.notify_one();
    assert_eq!(waiting.state_at_the_end(0).await, "succeeded");
}

#[tokio::test]
async fn a_delivery_that_is_cancelled_and_retried_is_sent_once() {
    let waiting = Waiting::start().await;
    waiting.change(1, "cancel", 202).await;
    waiting.change(1, "retry", 202).await;
    waiting.gate.notify_one();
    for event in [0, 1, 2] {
        assert_eq!(waiting.state_at_the_end(event).await, "succeeded");
    }
    let mut arrived = waiting.arrived();
    arrived.sort_by_key(Value::as_u64);
    assert_eq!(arrived, [1, 2]);
}

#[tokio::test]
async fn waiting_deliveries_of_a_deleted_hook_are_cancelled_and_sent_ones_keep_their_state() {
    let waiting = Waiting::start().await;
    waiting.client.send("DELETE", &format!("/api/v3/hooks/{}", waiting.hook), "", &[]).await.expect(204);
    waiting.gate.notify_one();
    waiting.client.deliveries_when(&waiting.events[0], |delivery| delivery["state"] == "succeeded").await;
    for event in [1, 2] {
        assert_eq!(waiting.state_at_the_end(event).await, "cancelled");
    }
    assert_eq!(waiting.arrived(), [0; 0]);
}

#[tokio::test]
async fn waiting_deliveries_of_a_disabled_hook_are_sent_after_it_is_enabled() {
    let waiting = Waiting::start().await;
    let path = format!("/api/v3/hooks/{}", waiting.hook);
    waiting.client.send("PATCH", &path, r#"{"enabled": false}"#, &[]).await.expect(200);
    waiting.gate.notify_one();
    for event in [1, 2] {
        let pending = |delivery: &Value| delivery["state"] == "pending";
        waiting.client.deliveries_when(&waiting.events[event], pending).await;
    }
    assert_eq!(waiting.state_at_the_end(0).await, "succeeded");
    assert_eq!(waiting.arrived(), [0; 0]);
    waiting.client.send("PATCH", &path, r#"{"enabled": true}"#, &[]).await.expect(200);
    for event in [1, 2] {
        assert_eq!(waiting.state_at_the_end(event).await, "succeeded");
    }
}
