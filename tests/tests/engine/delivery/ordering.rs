//! Hooks whose deliveries are sent one after the other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::start::patch_hook;
use crate::{BINARY, engine, hook};

/// What arrived of each key.
#[derive(Default)]
struct Score {
    /// How many events were answered with 200: those before this position.
    positions: HashMap<u64, u64>,
    requests: u64,
    out_of_order: Vec<(u64, u64)>,
}

/// A receiver that fails at times, and notes what comes before an earlier event of its key has succeeded.
async fn judge() -> (Receiver, Arc<Mutex<Score>>) {
    let score = Arc::new(Mutex::new(Score::default()));
    let kept = Arc::clone(&score);
    let receiver = Receiver::responding(move |arrival| {
        let body = arrival.json();
        let (key, position) = (body["key"].as_u64().unwrap(), body["position"].as_u64().unwrap());
        let mut score = kept.lock().unwrap();
        score.requests += 1;
        let next = score.positions.get(&key).copied().unwrap_or(0);
        if position > next {
            score.out_of_order.push((key, position));
        }
        if score.requests.is_multiple_of(9) {
            return Reply::status(500);
        }
        score.positions.insert(key, next.max(position + 1));
        Reply::status(200)
    });
    (receiver.await, score)
}

async fn publish(client: &Client, key: u64, position: u64) -> String {
    let data = json!({"key": key, "position": position});
    let event = json!({"type": "t", "ordering_key": format!("key {key}"), "data": data});
    client.post("/events", event).await.expect(202)["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_key_arrive_in_order_although_attempts_fail_and_the_process_is_killed() {
    const KEYS: u64 = 25;
    const EACH: u64 = 8;
    let (receiver, score) = judge().await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    let retry = json!({"schedule_s": [1, 1, 1, 1, 1, 1, 1, 1]});
    hook(&client, &receiver, json!({"ordering": "key", "retry": retry})).await;
    for position in 0..EACH {
        for key in 0..KEYS {
            publish(&client, key, position).await;
        }
        if position == 2 || position == 5 {
            server.kill().await;
            server = server.restart().await;
            client = client.at(server.base());
        }
    }
    let has_all = || {
        let score = score.lock().unwrap();
        score.positions.len() as u64 == KEYS && score.positions.values().all(|count| *count == EACH)
    };
    while !has_all() {
        receiver.next().await;
    }
    let score = score.lock().unwrap();
    assert_eq!(score.out_of_order, []);
    assert!(score.requests > KEYS * EACH, "some failed");
}

/// A receiver that refuses what has `data` 0, and its arrivals.
async fn refusing_zero() -> Receiver {
    let answer = |zero: bool| Reply::status(if zero { 500 } else { 200 });
    Receiver::responding(move |arrival| answer(arrival.json() == json!(0))).await
}

async fn delivery_of(client: &Client, event: &str) -> Value {
    let listed = client.get(&format!("/events/{event}/deliveries")).await.expect(200);
    let id = listed["data"][0]["id"].as_str().unwrap().to_owned();
    client.get(&format!("/deliveries/{id}")).await.expect(200)
}

async fn until_it_waits(client: &Client, event: &str) -> String {
    let waits = |delivery: &Value| delivery["state"] == "waiting";
    let delivery = client.deliveries_when(event, waits).await.remove(0);
    delivery["id"].as_str().unwrap().to_owned()
}

async fn next_number(receiver: &Receiver) -> Value {
    receiver.next().await.json()
}

#[tokio::test]
async fn a_delivery_that_fails_holds_those_behind_it_until_it_is_final() {
    let (_server, client) = engine().await;
    let receiver = refusing_zero().await;
    let retry = json!({"schedule_s": [3600]});
    hook(&client, &receiver, json!({"ordering": "hook", "retry": retry})).await;
    let mut events = Vec::new();
    for number in 0..4 {
        events.push(client.publish("t", json!(number)).await);
    }
    let first = until_it_waits(&client, &events[0]).await;
    let second = delivery_of(&client, &events[1]).await;
    assert_eq!((&second["state"], &second["next_attempt_at"]), (&json!("pending"), &json!(null)));
    // By hand, it keeps its place.
    let id = second["id"].as_str().unwrap();
    client.post(&format!("/deliveries/{id}/retry"), json!({})).await.expect(202);
    let third = delivery_of(&client, &events[2]).await["id"].as_str().unwrap().to_owned();
    client.post(&format!("/deliveries/{third}/cancel"), json!({})).await.expect(202);
    assert_eq!(next_number(&receiver).await, 0);
    client.post(&format!("/deliveries/{first}/cancel"), json!({})).await.expect(202);
    client.finished(&events[3]).await;
    let arrived: Vec<_> = receiver.so_far().iter().map(|one| one.json()).collect();
    assert_eq!(arrived, [1, 3]);
}

#[tokio::test]
async fn a_delivery_that_is_skipped_is_retried_beside_those_behind_it() {
    let (_server, client) = engine().await;
    let receiver = refusing_zero().await;
    let more = json!({"ordering": "key", "ordering_skip_after": 2, "retry": {"schedule_s": [1, 3600]}});
    hook(&client, &receiver, more).await;
    let keyed = async |number: u64| {
        let event = json!({"type": "t", "ordering_key": "k", "data": number});
        client.post("/events", event).await.expect(202)["id"].as_str().unwrap().to_owned()
    };
    let (zero, one) = (keyed(0).await, keyed(1).await);
    // An event without a key does not wait.
    client.finished(&client.publish("t", json!(7)).await).await;
    client.finished(&one).await;
    let mut arrived = Vec::new();
    for _ in 0..4 {
        arrived.push(next_number(&receiver).await);
    }
    arrived.retain(|number| *number != json!(7));
    assert_eq!(arrived, [0, 0, 1]);
    let skipped = delivery_of(&client, &zero).await;
    assert_eq!((&skipped["state"], &skipped["ordering_key"]), (&json!("waiting"), &json!("k")));
    assert_eq!(client.get(&format!("/events/{one}")).await.expect(200)["ordering_key"], "k");
}

#[tokio::test]
async fn a_change_of_the_order_holds_for_what_is_accepted_from_then_on() {
    let (_server, client) = engine().await;
    let receiver = refusing_zero().await;
    let retry = json!({"schedule_s": [3600]});
    let id = hook(&client, &receiver, json!({"ordering": "hook", "retry": retry})).await;
    let first = client.publish("t", json!(0)).await;
    let waiting = until_it_waits(&client, &first).await;
    let mut behind = Vec::new();
    for number in 1..4 {
        behind.push(client.publish("t", json!(number)).await);
    }
    let shown = patch_hook(&client, &id, json!({"ordering": null})).await;
    assert_eq!(shown["ordering"], json!(null));
    let free = client.publish("t", json!(4)).await;
    client.finished(&free).await;
    assert_eq!(delivery_of(&client, &behind[0]).await["state"], "pending");
    assert_eq!(patch_hook(&client, &id, json!({"ordering": "hook"})).await["ordering"], "hook");
    behind.push(client.publish("t", json!(5)).await);
    client.post(&format!("/deliveries/{waiting}/cancel"), json!({})).await.expect(202);
    for event in &behind {
        client.finished(event).await;
    }
    let arrived: Vec<_> = receiver.so_far().iter().map(|one| one.json()).collect();
    assert_eq!(arrived, [0, 4, 1, 2, 3, 5]);
}

#[tokio::test]
async fn members_about_the_order_are_checked() {
    let (_server, client) = engine().await;
    let long = "k".repeat(129);
    for (key, taken) in [("k", true), ("", false), ("a\u{0}", false), (&*long, false)] {
        let answer = client.post("/events", json!({"type": "t", "data": 1, "ordering_key": key})).await;
        if taken {
            answer.expect(202);
        } else {
            assert_eq!(answer.expect(400)["pointer"], "/ordering_key");
        }
    }
    for (more, pointer) in [
        (json!({"ordering": "keys"}), "/ordering"),
        (json!({"ordering": "key", "ordering_skip_after": 0}), "/ordering_skip_after"),
        (json!({"ordering": "key", "ordering_skip_after": 101}), "/ordering_skip_after"),
    ] {
        let mut body = json!({"url": "https://example.com/", "types": ["*"]});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        assert_eq!(client.post("/hooks", body).await.expect(400)["pointer"], pointer, "{more}");
    }
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"ordering": "key", "ordering_skip_after": 3})).await;
    let shown = patch_hook(&client, &id, json!({"ordering": "none"})).await;
    assert_eq!((&shown["ordering"], &shown["ordering_skip_after"]), (&json!(null), &json!(null)));
}
