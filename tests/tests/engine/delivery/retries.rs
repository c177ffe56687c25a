//! Failing receivers and retries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookwright_tests::{Receiver, Reply};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::{engine, hook};

/// Starts a receiver that sends these responses in order, and 200 after them.
async fn responding_in_order(replies: Vec<Reply>) -> Receiver {
    let next = AtomicUsize::new(0);
    Receiver::responding(move |_| {
        replies.get(next.fetch_add(1, Ordering::SeqCst)).cloned().unwrap_or_else(|| Reply::status(200))
    })
    .await
}

fn statuses(delivery: &Value) -> Vec<u64> {
    let attempts = delivery["attempts"].as_array().into_iter().flatten();
    attempts.filter_map(|attempt| attempt["response"]["status"].as_u64()).collect()
}

#[tokio::test]
async fn a_failed_attempt_is_retried_with_the_same_id_and_body() {
    let (_server, client) = engine().await;
    let receiver = responding_in_order(vec![Reply::status(500), Reply::status(302)]).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [1, 1, 1]}})).await;
    let event = client.publish("t", json!({"n": 1})).await;
    let deliveries = client.finished(&event).await;
    assert_eq!(deliveries[0]["state"], "succeeded");
    assert_eq!(statuses(&deliveries[0]), [500, 302, 200]);
    let number = |value: &Value| value["id"].as_str().unwrap()[4..].to_owned();
    let attempts: Vec<_> = deliveries[0]["attempts"].as_array().unwrap().iter().map(number).collect();
    assert_eq!(attempts[0], number(&deliveries[0]), "the first attempt has the number of its delivery");
    assert!(attempts.is_sorted_by(|a, b| a < b), "{attempts:?}");
    let arrivals = receiver.so_far();
    assert_eq!(arrivals.len(), 3);
    for arrival in &arrivals {
        assert_eq!((arrival.header("webhook-id"), &arrival.body), (event.as_str(), &arrivals[0].body));
    }
}

#[tokio::test]
async fn a_delivery_is_exhausted_after_its_schedule_and_can_be_retried_by_hand() {
    let (_server, client) = engine().await;
    let receiver = responding_in_order(vec![Reply::status(503), Reply::status(404)]).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [1]}})).await;
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!((&delivery["state"], statuses(&delivery)), (&json!("exhausted"), vec![503, 404]));

    let path = format!("/deliveries/{}/retry", delivery["id"].as_str().unwrap());
    client.post(&path, json!({})).await.expect(202);
    let delivery =
        client.deliveries_when(&event, |delivery| delivery["state"] == "succeeded").await.remove(0);
    assert_eq!(statuses(&delivery), [503, 404, 200]);
}

#[tokio::test]
async fn the_response_410_disables_the_hook() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(410)).await;
    let id = hook(&client, &receiver, json!({})).await;
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!((&delivery["state"], statuses(&delivery)), (&json!("exhausted"), vec![410]));
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["enabled"], false);
}

#[tokio::test]
async fn an_attempt_without_a_response_ends_after_the_timeout() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::Never).await;
    hook(&client, &receiver, json!({"timeout_ms": 200, "retry": {"schedule_s": []}})).await;
    let event = client.publish("t", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!(
        (&delivery["state"], &delivery["attempts"][0]["outcome"]),
        (&json!("exhausted"), &json!("timed-out"))
    );
}

#[tokio::test]
async fn a_refused_connection_is_reported() {
    let (_server, client) = engine().await;
    // A port that was just free.
    let url = Receiver::start().await.url("/");
    let hook = json!({"url": url, "types": ["*"], "retry": {"schedule_s": []}});
    client.post("/hooks", hook).await.expect(201);
    let event = client.publish("t", json!({})).await;
    let attempt = client.finished(&event).await[0]["attempts"][0].clone();
    assert_eq!(
        (&attempt["outcome"], &attempt["error"]["kind"]),
        (&json!("unreachable"), &json!("connect")),
        "{attempt}"
    );
}

#[tokio::test]
async fn the_first_16_kib_of_a_response_are_recorded() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|arrival| {
        let length = usize::try_from(arrival.json().as_u64().unwrap()).unwrap();
        Reply::Status(200, vec![("x-answer", "yes".to_owned())], vec![b'a'; length])
    })
    .await;
    hook(&client, &receiver, json!({})).await;
    for (length, kept, truncated) in
        [(10, 10, false), (16_384, 16_384, false), (16_385, 16_384, true), (5_000_000, 16_384, true)]
    {
        let event = client.publish("t", json!(length)).await;
        let response = client.finished(&event).await[0]["attempts"][0]["response"].clone();
        assert_eq!(response["body"].as_str().unwrap().len(), kept, "{length}");
        assert_eq!(response["body_truncated"], truncated, "{length}");
        assert_eq!(response["headers"]["x-answer"], "yes", "{length}");
    }
}

#[tokio::test]
async fn a_slow_receiver_does_not_delay_other_tenants() {
    let (server, slow) = engine().await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let stuck = Receiver::responding(move |_| Reply::Held(Arc::clone(&held))).await;
    let quick = Receiver::start().await;
    hook(&slow, &stuck, json!({})).await;
    let other = server.tenant("globex").await;
    hook(&other, &quick, json!({})).await;
    // More than the tenant's limit of concurrent requests, so that the rest waits.
    let lines: Vec<String> = (0..2_000).map(|n| json!({"type": "t", "data": n}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    slow.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
    stuck.next().await;

    let event = other.publish("t", json!("quick")).await;
    assert_eq!(other.finished(&event).await[0]["state"], "succeeded");
    assert_eq!(quick.next().await.json(), "quick");
}

#[tokio::test]
async fn a_cancelled_delivery_is_not_attempted_again() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [3600]}})).await;
    let event = client.publish("t", json!({})).await;
    let delivery = client.deliveries_when(&event, |delivery| delivery["state"] == "waiting").await.remove(0);
    assert!(delivery["next_attempt_at"].is_string(), "{delivery}");
    let path = format!("/deliveries/{}/cancel", delivery["id"].as_str().unwrap());
    client.post(&path, json!({})).await.expect(202);
    let delivery = client.finished(&event).await.remove(0);
    assert_eq!((&delivery["state"], &delivery["next_attempt_at"]), (&json!("cancelled"), &Value::Null));
    client.post(&path, json!({})).await.expect(409);
}

#[tokio::test]
async fn deliveries_of_a_disabled_hook_wait_until_it_is_enabled() {
    let (_server, client) = engine().await;
    let receiver = responding_in_order(vec![Reply::status(500)]).await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": [1]}})).await;
    let event = client.publish("t", json!({})).await;
    receiver.next().await;
    let path = format!("/api/v3/hooks/{id}");
    client.send("PATCH", &path, r#"{"enabled": false}"#, &[]).await.expect(200);
    client.deliveries_when(&event, |delivery| delivery["state"] == "waiting").await;
    client.send("PATCH", &path, r#"{"enabled": true}"#, &[]).await.expect(200);
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
}

#[tokio::test]
async fn waiting_deliveries_use_the_new_url_of_a_changed_hook() {
    let (_server, client) = engine().await;
    let (wrong, right) = (Receiver::responding(|_| Reply::status(404)).await, Receiver::start().await);
    let id = hook(&client, &wrong, json!({"retry": {"schedule_s": [1, 1]}})).await;
    let event = client.publish("t", json!({"n": 1})).await;
    wrong.next().await;
    let patch = json!({"url": right.url("/"), "headers": {"x-mended": "yes"}}).to_string();
    client.send("PATCH", &format!("/api/v3/hooks/{id}"), patch, &[]).await.expect(200);
    let arrival = right.next().await;
    assert_eq!((arrival.header("x-mended"), arrival.json()), ("yes", json!({"n": 1})));
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
}
