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
