//! The handshake of CloudEvents' HTTP Web Hooks for Event Delivery.

use std::sync::{Arc, Mutex};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use super::patch;
use crate::{BINARY, hook};

type Answer = Arc<Mutex<Vec<(&'static str, String)>>>;

/// A receiver that answers `OPTIONS` with these headers, and accepts deliveries.
async fn receiver() -> (Receiver, Answer) {
    let answer = Answer::default();
    let current = Arc::clone(&answer);
    let receiver = Receiver::responding(move |arrival| match arrival.method.as_str() {
        "OPTIONS" => Reply::Status(405, current.lock().unwrap().clone(), Vec::new()),
        _ => Reply::status(200),
    })
    .await;
    (receiver, answer)
}

fn allow(answer: &Answer, origin: &str, rate: &str) {
    let headers =
        vec![("WebHook-Allowed-Origin", origin.to_owned()), ("WebHook-Allowed-Rate", rate.to_owned())];
    *answer.lock().unwrap() = headers;
}

/// Waits until the hook's handshake is no longer pending, and returns its result.
async fn result(client: &Client, id: &str) -> Value {
    loop {
        let result = client.get(&format!("/hooks/{id}")).await.expect(200)["handshake_result"].clone();
        if result["state"] != "pending" {
            return result;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn nothing_is_delivered_until_the_receiver_allows_it() {
    let mut server = Server::start(BINARY).await;
    let client = server.tenant("shop.example").await;
    let (receiver, answer) = receiver().await;
    let id = hook(&client, &receiver, json!({"handshake": "cloudevents", "handshake_rate": 120})).await;
    let asked = receiver.next().await;
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("OPTIONS", "/"));
    assert_eq!(
        (asked.header("webhook-request-origin"), asked.header("webhook-request-rate")),
        ("shop.example", "120")
    );
    let refused = result(&client, &id).await;
    assert_eq!(refused["state"], "refused");
    assert_eq!(refused["reason"], "the receiver answered 405 without `WebHook-Allowed-Origin`");
    let event = client.publish("t", json!({})).await;
    client.post(&format!("/hooks/{id}/test"), json!({})).await.expect(409);
    let state = client.get(&format!("/hooks/{id}")).await.expect(200)["state"].clone();
    assert_eq!((&state["name"], &state["reason"]), (&json!("awaiting_permission"), &refused["reason"]));
    server.kill().await;
    let server = server.restart().await;
    let client = client.at(server.base());
    let deliveries = client.get(&format!("/events/{event}/deliveries")).await.expect(200);
    assert_ne!(deliveries["data"][0]["state"], "succeeded");
    assert_eq!(receiver.so_far().len(), 0, "a refusal is final");

    allow(&answer, "shop.example", "100");
    let allowed = client.post(&format!("/hooks/{id}/handshake"), json!({})).await.expect(200);
    assert_eq!(
        (&allowed["state"], &allowed["allowed_rate"], &allowed["origin"], &allowed["reason"]),
        (&json!("allowed"), &json!(100), &json!("shop.example"), &json!(null))
    );
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    let arrivals = receiver.so_far();
    assert_eq!(arrivals.iter().map(|it| it.method.as_str()).collect::<Vec<_>>(), ["OPTIONS", "POST"]);
    assert_eq!(arrivals[1].header("webhook-request-origin"), "shop.example");
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["state"]["name"], "ok");
}

#[tokio::test]
async fn a_handshake_is_made_anew_if_the_url_changes_or_the_hook_is_enabled() {
    let settings = [("HOOKWRIGHT_HANDSHAKE_ORIGIN", "hooks.example")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, answer) = receiver().await;
    allow(&answer, "*", "*");
    let id = hook(&client, &receiver, json!({"handshake": "cloudevents"})).await;
    let first = result(&client, &id).await;
    assert_eq!((&first["state"], &first["allowed_rate"]), (&json!("allowed"), &json!(null)));
    assert_eq!(receiver.next().await.header("webhook-request-origin"), "hooks.example");
    patch(&client, &id, json!({"description": "changed"})).await.expect(200);
    patch(&client, &id, json!({"enabled": false})).await.expect(200);
    assert_eq!(result(&client, &id).await, first);
    assert_eq!(receiver.so_far().len(), 0);

    allow(&answer, "other.example", "*");
    let changed = patch(&client, &id, json!({"enabled": true})).await.expect(200);
    assert_eq!(changed["handshake_result"]["state"], "pending");
    let refused = result(&client, &id).await;
    assert_eq!(refused["reason"], "the receiver allows another origin than `hooks.example`");
    receiver.next().await;
    allow(&answer, "hooks.example", "60");
    patch(&client, &id, json!({"url": receiver.url("/other")})).await.expect(200);
    assert_eq!(receiver.next().await.path, "/other");
    assert_eq!(result(&client, &id).await["allowed_rate"], 60);
    // Sent back as it was read, the hook does not change.
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    let same = client.send("PUT", &format!("/api/v3/hooks/{id}"), shown.to_string(), &[]).await.expect(200);
    assert_eq!(same["handshake_result"], shown["handshake_result"]);
    for (members, pointer) in [
        (json!({"handshake": "other"}), "/handshake"),
        (json!({"handshake_rate": 0}), "/handshake_rate"),
        (json!({"handshake": null, "handshake_rate": 5}), "/handshake_rate"),
    ] {
        assert_eq!(patch(&client, &id, members).await.expect(400)["pointer"], pointer);
    }
    let plain = patch(&client, &id, json!({"handshake": null})).await.expect(200);
    assert_eq!(plain.get("handshake_result"), None);
    client.post(&format!("/hooks/{id}/handshake"), json!({})).await.expect(409);
}
