//! What is paused is held, and nothing of it is lost.

use hookwright_tests::{Client, Receiver, Server};
use serde_json::{Value, json};

use crate::start::{hook_when, patch_hook};
use crate::{BINARY, hook};

async fn patch(client: &Client, path: &str, paused: bool) -> Value {
    let headers = [("content-type", "application/merge-patch+json")];
    let body = json!({"paused": paused}).to_string();
    client.send("PATCH", &format!("/api/v3{path}"), body, &headers).await.expect(200)
}

/// Publishes events with the numbers from 0, and returns their ids.
async fn publish(client: &Client, count: usize) -> Vec<String> {
    let mut events = Vec::new();
    for number in 0..count {
        events.push(client.publish("t", json!(number)).await);
    }
    events
}

#[tokio::test]
async fn a_pause_of_a_hook_its_tenant_or_the_engine_holds_deliveries_in_the_order_of_acceptance() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", "1")]).await;
    let client = server.tenant("acme").await;
    let operator = server.operator();
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({})).await;
    let of_hook = format!("/hooks/{id}");
    for (what, who, path) in [
        ("hook", &client, of_hook.as_str()),
        ("tenant", &operator, "/tenants/acme"),
        ("engine", &operator, "/engine"),
    ] {
        patch(who, path, true).await;
        let events = publish(&client, 20).await;
        let shown = client.get(&of_hook).await.expect(200);
        assert_eq!((&shown["state"]["name"], &shown["state"]["paused"]), (&json!("paused"), &json!(what)));
        assert!(shown["state"]["since"].is_string(), "{shown}");
        assert_eq!(shown["held"], 20, "{what}");
        // A test is sent all the same, and shows that the others are not.
        let test = client.post(&format!("{of_hook}/test"), json!({})).await.expect(202);
        client.finished(test["event"].as_str().unwrap()).await;
        assert_eq!(receiver.so_far().len(), 1, "{what}");
        let held = client.get(&format!("/deliveries?hook={id}&state=pending")).await.expect(200);
        assert_eq!(held["data"].as_array().unwrap().len(), 20, "{what}");

        patch(who, path, false).await;
        for event in &events {
            let delivery = client.finished(event).await.remove(0);
            assert_eq!(delivery["state"], "succeeded");
            assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1, "holding uses up no attempt");
        }
        let arrived: Vec<_> = receiver.so_far().iter().map(|one| one.json()).collect();
        assert_eq!(arrived, (0..20).map(Value::from).collect::<Vec<_>>(), "{what}");
        assert_eq!(client.get(&of_hook).await.expect(200)["state"], json!({"name": "ok"}));
    }
}

#[tokio::test]
async fn the_engine_stays_paused_across_restarts_until_it_is_resumed() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_PAUSED", "true")]).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!(1)).await;
    let mut server = server;
    server.kill().await;
    let server = server.restart_with(&[]).await;
    let (client, operator) = (client.at(server.base()), server.operator());
    let paused = operator.get("/engine").await.expect(200);
    assert_eq!(paused["paused"], true);
    assert!(paused["paused_since"].is_string());
    client.get("/engine").await.expect(403);
    assert_eq!(patch(&operator, "/engine", false).await, json!({"paused": false, "paused_since": null}));
    client.finished(&event).await;
    assert_eq!(receiver.so_far().len(), 1);
}

#[tokio::test]
async fn only_the_operator_pauses_a_tenant_and_a_hook_can_be_made_paused() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let headers = [("content-type", "application/merge-patch+json")];
    let refused = client.send("PATCH", "/api/v3/tenants/acme", r#"{"paused": true}"#, &headers).await;
    refused.expect(403);
    let shown = client.get("/tenants/acme").await.expect(200);
    assert_eq!(shown["paused_since"], json!(null));
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"paused": true})).await;
    let event = client.publish("t", json!(1)).await;
    hook_when(&client, &id, |hook| hook["held"] == 1).await;
    let resumed = patch_hook(&client, &id, json!({"paused": null})).await;
    assert_eq!(resumed["paused"], false);
    client.finished(&event).await;
}
