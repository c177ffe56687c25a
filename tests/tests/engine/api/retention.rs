//! How long events are kept, and erasing their content.

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server, TIMEOUT};
use serde_json::{Value, json};

use crate::start::patch_hook;
use crate::{BINARY, engine, hook};

/// Waits until the event is gone.
async fn gone(client: &Client, event: &str) {
    let began = std::time::Instant::now();
    while client.get(&format!("/events/{event}")).await.status != 404 {
        assert!(began.elapsed() < TIMEOUT, "{event} is still there");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn events_are_deleted_with_their_deliveries_unless_one_is_held() {
    let settings = [("HOOKWRIGHT_RETAIN_EVENTS_S", "1")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    let sent = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    let paused = hook(&client, &receiver, json!({"types": ["order.held"]})).await;
    patch_hook(&client, &paused, json!({"paused": true})).await;
    let held = client.publish("order.held", json!(1)).await;
    let events = [client.publish("order.paid", json!(2)).await, client.publish("other", json!(3)).await];
    for event in &events {
        gone(&client, event).await;
    }
    let list = client.get(&format!("/deliveries?hook={sent}")).await.expect(200);
    let left: Vec<_> = list["data"].as_array().unwrap().iter().map(|one| one["event"].clone()).collect();
    assert_eq!(left, [json!(held)]);
    assert_eq!(client.get(&format!("/events/{held}")).await.expect(200)["data"], 1);
    // A repetition is known, though its event is deleted.
    let event = json!({"type": "other", "data": 1, "id": "own"});
    client.post("/events", event.clone()).await.expect(202);
    gone(&client, "own").await;
    assert_eq!(client.post("/events", event).await.expect(200)["duplicate"], true);
}

/// Waits until publishing is answered with `status`, and returns the answer.
async fn publish_until(client: &Client, status: u16) -> Value {
    let began = std::time::Instant::now();
    loop {
        let response = client.post("/events", json!({"type": "held", "data": "x"})).await;
        if response.status == status {
            return response.expect(status);
        }
        assert!(began.elapsed() < TIMEOUT, "still {}", response.status);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_kept_too_long_because_of_a_pause_counts_until_it_is_delivered() {
    let (server, client) = engine().await;
    let (receiver, operator) = (Receiver::start().await, server.operator());
    let paused = hook(&client, &receiver, json!({"types": ["held"], "paused": true})).await;
    operator.patch("/tenants/acme", json!({"retain_events_s": 1})).await.expect(200);
    let mut events = Vec::new();
    for _ in 0..20 {
        events.push(client.publish("held", json!("x".repeat(1_000))).await);
    }
    let gone_at_once = client.publish("other", json!("x".repeat(100_000))).await;
    gone(&client, &gone_at_once).await;
    // 20 events of about 1,200 bytes, all of them older than a second.
    let began = std::time::Instant::now();
    loop {
        let shown = operator.get("/tenants/acme").await.expect(200);
        let used = shown["usage"]["storage_bytes"].as_u64().unwrap();
        if (20_000..30_000).contains(&used) {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "{used}");
        tokio::task::yield_now().await;
    }
    operator.patch("/tenants/acme", json!({"limits": {"storage_bytes": 20_000}})).await.expect(200);
    let refused = publish_until(&client, 429).await;
    assert_eq!(refused["type"], "/problems/storage-full");
    assert!(refused["detail"].as_str().unwrap().contains("waits for their deliveries"), "{refused}");

    // Nothing that was accepted is lost.
    patch_hook(&client, &paused, json!({"paused": false})).await;
    for _ in &events {
        receiver.next().await;
    }
    for event in &events {
        gone(&client, event).await;
    }
    publish_until(&client, 202).await;
}

#[tokio::test]
async fn a_tenant_has_a_time_of_its_own() {
    let (server, client) = engine().await;
    let other = server.tenant("other").await;
    server.operator().patch("/tenants/acme", json!({"retain_events_s": 1})).await.expect(200);
    let kept = other.publish("a", json!(1)).await;
    let event = client.publish("a", json!(1)).await;
    gone(&client, &event).await;
    other.get(&format!("/events/{kept}")).await.expect(200);
}

/// Looks for a marker in all files and tables.
#[tokio::test]
async fn nothing_of_an_erased_event_is_left() {
    let marker = "Marker8472";
    let (server, client) = engine().await;
    let echo = |arrival: &Arrival| Reply::Status(500, Vec::new(), arrival.body.to_vec());
    let receiver = Receiver::responding(echo).await;
    let failing = hook(&client, &receiver, json!({"retain_bodies_s": 3600})).await;
    let event = json!({"type": "order.paid", "id": "own", "data": {"name": marker}, "ordering_key": marker});
    client.post("/events", event.clone()).await.expect(202);
    client.deliveries_when("own", |delivery| delivery["state"] == "waiting").await;
    assert_ne!(server.stored_with(marker.as_bytes()).await, Vec::<String>::new());
    let erased = client.send("DELETE", "/api/v3/events/own", "", &[]).await.expect(200);
    assert_eq!(erased["deliveries"], json!({"cancelled": 1}));
    assert_eq!(erased["attempted"], 1);
    let again = client.send("DELETE", "/api/v3/events/own", "", &[]).await.expect(200);
    assert_eq!(again["erased_at"], erased["erased_at"]);
    let shown = client.get("/events/own").await.expect(200);
    assert_eq!((&shown["data"], &shown["erased_at"]), (&Value::Null, &erased["erased_at"]));
    assert_eq!(client.get("/events").await.expect(200)["data"][0]["id"], "own");
    let delivery = &client.get("/events/own/deliveries").await.expect(200)["data"][0];
    let delivery = delivery["id"].as_str().unwrap();
    let shown = client.get(&format!("/deliveries/{delivery}")).await.expect(200);
    assert!(!shown.to_string().contains(marker), "{shown:#}");
    client.post(&format!("/deliveries/{delivery}/retry"), json!({})).await.expect(409);
    client.post("/events/own/deliveries", json!({"hook": failing})).await.expect(409);
    let mut other = event;
    other["data"] = json!("other");
    assert_eq!(client.post("/events", other).await.expect(200)["duplicate"], true);
    client.send("DELETE", "/api/v3/events/another", "", &[]).await.expect(404);
    // The write-ahead log is emptied soon; PostgreSQL's vacuum is asked for.
    let began = std::time::Instant::now();
    loop {
        let left = server.stored_with(marker.as_bytes()).await;
        if left.is_empty() {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "in {left:?}");
        tokio::task::yield_now().await;
    }
}
