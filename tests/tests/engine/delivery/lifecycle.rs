//! Successful deliveries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use hookwright_tests::{Arrival, Receiver};
use serde_json::json;
use sha2::Sha256;

use crate::{engine, hook};

/// Verifies a signature of Standard Webhooks like a receiver, without code of the engine.
pub(super) fn verifies(arrival: &Arrival, secret: &str) -> bool {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("a secret is base64");
    let content = [
        arrival.header("webhook-id").as_bytes(),
        b".",
        arrival.header("webhook-timestamp").as_bytes(),
        b".",
        &arrival.body,
    ]
    .concat();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
    mac.update(&content);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    arrival.header("webhook-signature").split(' ').any(|signature| signature == expected)
}

#[tokio::test]
async fn an_event_arrives_unchanged_and_signed() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let hook =
        hook(&client, &receiver, json!({"types": ["order.*"], "headers": {"X-Team": "billing"}})).await;
    let secret = client.get(&format!("/hooks/{hook}/secret")).await.expect(200);

    let text = r#"{"type": "order.paid", "data": {"z": 1, "a": [1.0, 9007199254740993, "\u00e9"], "nested": {"b": null}}}"#;
    let accepted = client.send("POST", "/api/v3/events", text, &[]).await.expect(202);
    let arrival = receiver.next().await;

    assert_eq!(arrival.method, "POST");
    assert_eq!(arrival.body, r#"{"z": 1, "a": [1.0, 9007199254740993, "\u00e9"], "nested": {"b": null}}"#);
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("x-team"), "billing");
    assert_eq!(arrival.header("webhook-id"), accepted["id"].as_str().unwrap());
    assert!(verifies(&arrival, secret["secret"].as_str().unwrap()), "{arrival:?}");
    assert!(!verifies(&arrival, "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"));

    let deliveries = client.finished(accepted["id"].as_str().unwrap()).await;
    let attempt = &deliveries[0]["attempts"][0];
    assert_eq!(deliveries[0]["state"], "succeeded");
    assert_eq!(attempt["response"]["status"], 200);
    assert_eq!(attempt["request"]["method"], "POST");
    assert_eq!(attempt["request"]["url"], receiver.url("/"));
}

#[tokio::test]
async fn each_hook_receives_the_events_of_its_subscription_once() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    for (path, types) in [
        ("/all", json!(["*"])),
        ("/prefix", json!(["session.*", "session.update"])),
        ("/exact", json!(["session.update", "session.update"])),
        ("/other", json!(["session.create"])),
    ] {
        client.post("/hooks", json!({"url": receiver.url(path), "types": types})).await.expect(201);
    }
    let disabled = json!({"url": receiver.url("/disabled"), "types": ["*"], "enabled": false});
    client.post("/hooks", disabled).await.expect(201);

    let body = json!({"type": "session.update", "data": 1});
    let accepted = client.post("/events", body).await.expect(202);
    assert_eq!(accepted["deliveries"], 3);
    client.finished(accepted["id"].as_str().unwrap()).await;
    let mut paths: Vec<_> = receiver.so_far().into_iter().map(|arrival| arrival.path).collect();
    paths.sort();
    assert_eq!(paths, ["/all", "/exact", "/prefix"]);
}

#[tokio::test]
async fn a_duplicate_event_gets_the_same_response_and_is_delivered_once() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;

    let event = json!({"id": "order-7", "type": "order.paid", "data": {"n": 7}});
    let first = client.post("/events", event.clone()).await.expect(202);
    let again = client.post("/events", event).await.expect(200);
    assert_eq!((&first["id"], &first["duplicate"]), (&json!("order-7"), &json!(false)));
    assert_eq!(
        (&again["id"], &again["duplicate"], &again["deliveries"]),
        (&json!("order-7"), &json!(true), &json!(1))
    );
    client
        .post("/events", json!({"id": "order-7", "type": "order.paid", "data": {"n": 8}}))
        .await
        .expect(409);

    let keyed = [("idempotency-key", "k-1")];
    let body = r#"{"type": "order.paid", "data": {"n": 9}}"#;
    let first = client.send("POST", "/api/v3/events", body, &keyed).await.expect(202);
    let again = client.send("POST", "/api/v3/events", body, &keyed).await.expect(200);
    assert_eq!((&again["id"], &again["duplicate"]), (&first["id"], &json!(true)));
    let other = r#"{"type": "order.paid", "data": {"n": 10}}"#;
    client.send("POST", "/api/v3/events", other, &keyed).await.expect(409);

    client.finished("order-7").await;
    client.finished(first["id"].as_str().unwrap()).await;
    assert_eq!(receiver.so_far().len(), 2);
}

#[tokio::test]
async fn a_batch_is_accepted_as_a_whole_and_delivered() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let lines: Vec<String> = (0..3_000).map(|n| json!({"type": "t", "data": n}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let response = client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
    assert_eq!((&response["accepted"], response["ids"].as_array().unwrap().len()), (&json!(3_000), 3_000));
    let mut arrived = vec![false; lines.len()];
    while arrived.iter().any(|there| !there) {
        let number = receiver.next().await.json().as_u64().unwrap();
        arrived[usize::try_from(number).unwrap()] = true;
    }
}
