//! Several events in one request, for hooks that ask for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::lifecycle::verifies;
use crate::start::patch_hook;
use crate::{BINARY, engine, hook};

/// Publishes events with these data at once.
async fn publish_all(client: &Client, data: impl Iterator<Item = Value>) {
    let lines: Vec<String> = data.map(|data| json!({"type": "t", "data": data}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
}

/// What is in the array of a request.
fn parts(arrival: &Arrival) -> Vec<Value> {
    arrival.json().as_array().unwrap_or_else(|| panic!("{arrival:?}")).clone()
}

/// All requests until these numbers have arrived.
async fn until_all(receiver: &Receiver, numbers: impl Iterator<Item = u64>) -> Vec<Arrival> {
    let mut missing: BTreeSet<u64> = numbers.collect();
    let mut arrivals = Vec::new();
    while !missing.is_empty() {
        let arrival = receiver.next().await;
        for part in parts(&arrival) {
            missing.remove(&part["n"].as_u64().unwrap());
        }
        arrivals.push(arrival);
    }
    arrivals
}

/// Waits until no delivery of the hook is unfinished, and returns the deliveries.
async fn all_finished(client: &Client, hook: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let (mut found, mut path) = (Vec::new(), format!("/deliveries?hook={hook}&limit=100"));
        loop {
            let page = client.get(&path).await.expect(200);
            found.extend(page["data"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/deliveries?hook={hook}&limit=100&cursor={next}");
        }
        let unfinished = ["pending", "delivering", "waiting"];
        let is_unfinished = |delivery: &Value| unfinished.contains(&delivery["state"].as_str().unwrap());
        if found.len() == count && !found.iter().any(is_unfinished) {
            return found;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{} of {count}", found.len());
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_events_arrive_once_each_in_few_signed_requests() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let batch = json!({"max_events": 100, "max_wait_ms": 2_000, "format": "json"});
    let id = hook(&client, &receiver, json!({"batch": batch})).await;
    let secret = client.get(&format!("/hooks/{id}/secret")).await.expect(200);
    let secret = secret["secret"].as_str().unwrap();
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["batch"], batch);
    publish_all(&client, (0..1_000).map(|n| json!({"n": n}))).await;

    let arrivals = until_all(&receiver, 0..1_000).await;
    let deliveries = all_finished(&client, &id, 1_000).await;
    assert_eq!(receiver.so_far().len(), 0, "each arrives once");
    assert!((10..=20).contains(&arrivals.len()), "{} requests", arrivals.len());
    let ids: BTreeSet<&str> = arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    assert_eq!(ids.len(), arrivals.len(), "other events have another id");
    let mut numbers = Vec::new();
    for arrival in &arrivals {
        assert!(verifies(arrival, secret), "{arrival:?}");
        assert!(arrival.header("webhook-id").starts_with("batch_"));
        assert_eq!(arrival.header("hookwright-event-type"), "");
        assert_eq!(arrival.header("content-type"), "application/json");
        let parts = parts(arrival);
        assert!(parts.len() <= 100);
        numbers.extend(parts.iter().map(|part| part["n"].as_u64().unwrap()));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());

    let first = deliveries.iter().min_by_key(|delivery| delivery["id"].as_str().unwrap()).unwrap();
    let shown = client.get(&format!("/deliveries/{}", first["id"].as_str().unwrap())).await.expect(200);
    let request = &shown["attempts"][0]["request"];
    let sent =
        arrivals.iter().find(|it| it.header("webhook-id") == request["headers"]["webhook-id"]).unwrap();
    assert_eq!(request["batch"], json!({"events": parts(sent).len(), "position": 1}));
    assert_eq!(request["body_bytes"], sent.body.len());
}

#[tokio::test]
async fn an_event_waits_for_others_until_there_are_enough_and_a_test_does_not_wait() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let batch = json!({"batch": {"max_events": 3, "max_wait_ms": 60_000}});
    let id = hook(&client, &receiver, batch).await;
    client.publish("t", json!({"n": 0})).await;
    let cancelled = client.publish("t", json!({"n": 1})).await;
    let test = client.post(&format!("/hooks/{id}/test"), json!({"data": {"n": 9}})).await.expect(202);
    client.finished(test["event"].as_str().unwrap()).await;
    assert_eq!(parts(&receiver.next().await), [json!({"n": 9})]);
    // What is cancelled while it waits leaves the others.
    let list = client.get(&format!("/events/{cancelled}/deliveries")).await.expect(200);
    let path = format!("/deliveries/{}/cancel", list["data"][0]["id"].as_str().unwrap());
    client.post(&path, json!({})).await.expect(202);
    client.publish("t", json!({"n": 2})).await;
    let last = client.publish("t", json!({"n": 3})).await;
    assert_eq!(client.finished(&last).await[0]["state"], "succeeded");
    assert_eq!(parts(&receiver.next().await), [json!({"n": 0}), json!({"n": 2}), json!({"n": 3})]);
    assert_eq!(client.finished(&cancelled).await[0]["state"], "cancelled");

    // The end of the wait, too, has them sent.
    patch_hook(&client, &id, json!({"batch": {"max_wait_ms": 100}})).await;
    let waits = client.publish("t", json!({"n": 4})).await;
    client.finished(&waits).await;
    assert_eq!(parts(&receiver.next().await), [json!({"n": 4})]);
}

#[tokio::test]
async fn events_that_wait_for_others_go_alone_when_the_hook_wants_no_batches_any_more() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"batch": {"max_events": 10, "max_wait_ms": 60_000}})).await;
    let events = [client.publish("t", json!({"n": 0})).await, client.publish("t", json!({"n": 1})).await];
    let changed = patch_hook(&client, &id, json!({"batch": null})).await;
    assert_eq!(changed["batch"], json!(null));
    for event in &events {
        client.finished(event).await;
    }
    let bodies: BTreeMap<String, Value> =
        receiver.so_far().iter().map(|it| (it.header("webhook-id").to_owned(), it.json())).collect();
    let expected = events.into_iter().zip([json!({"n": 0}), json!({"n": 1})]).collect();
    assert_eq!(bodies, expected);
}

#[tokio::test]
async fn what_failed_together_is_sent_again_in_halves_until_a_bad_event_is_alone() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(move |arrival| match parts(arrival).contains(&json!({"n": 5})) {
        true => Reply::status(413),
        false => Reply::status(200),
    })
    .await;
    let more = json!({"retry": {"schedule_s": [1, 1, 1]}, "batch": {"max_events": 8, "max_wait_ms": 10_000},
        "pipeline": [{"plugin": "javascript", "settings": {"script": "request.body = event.data;"}}]});
    let id = hook(&client, &receiver, more).await;
    publish_all(&client, (0..8).map(|n| json!({"n": n}))).await;
    let deliveries = all_finished(&client, &id, 8).await;
    let arrivals = receiver.so_far();
    let sizes: Vec<usize> = arrivals.iter().map(|arrival| parts(arrival).len()).collect();
    assert_eq!((sizes[0], sizes.len()), (8, 7), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 8 + 8 + 4 + 2, "{sizes:?}");
    let ids: BTreeSet<&str> = arrivals.iter().map(|arrival| arrival.header("webhook-id")).collect();
    assert_eq!(ids.len(), arrivals.len(), "other events have another id");
    let mut of_attempts = Vec::new();
    for delivery in &deliveries {
        let shown =
            client.get(&format!("/deliveries/{}", delivery["id"].as_str().unwrap())).await.expect(200);
        let attempts = shown["attempts"].as_array().unwrap();
        assert_eq!(attempts[0]["request"]["batch"]["events"], 8);
        assert_eq!(attempts[0]["steps"].as_array().unwrap().len(), 1);
        assert_eq!(attempts[1]["steps"], json!([]), "what the plugin wrote is stored");
        let last = attempts.last().unwrap();
        let is_bad = last["response"]["status"] == 413;
        assert_eq!(shown["state"], if is_bad { "exhausted" } else { "succeeded" });
        of_attempts.push((attempts.len(), last["request"]["batch"]["events"].as_u64(), is_bad));
    }
    of_attempts.sort_unstable();
    let (four, two, one) = ((2, Some(4), false), (3, Some(2), false), (4, Some(1), false));
    assert_eq!(of_attempts, [four, four, four, four, two, two, one, (4, Some(1), true)]);
}

#[tokio::test]
async fn events_wait_for_a_slow_receiver_and_no_other_hook_waits_for_it() {
    let (_server, client) = engine().await;
    let gate = Arc::new(Notify::new());
    let held = Arc::clone(&gate);
    let slow = Receiver::responding(move |_| Reply::Held(Arc::clone(&held))).await;
    let quick = Receiver::start().await;
    let more = |kind: &str, ms: u64| json!({"types": [kind], "batch": {"max_events": 9, "max_wait_ms": ms}});
    for max_wait_ms in [0, 50] {
        let kind = format!("slow{max_wait_ms}");
        hook(&client, &slow, more(&kind, max_wait_ms)).await;
        hook(&client, &quick, more(&format!("quick{max_wait_ms}"), 100)).await;
        client.publish(&kind, json!({"n": 0})).await;
        slow.next().await;
        client.publish(&kind, json!({"n": 1})).await;
        // Another hook's event, which waits for longer.
        client.publish(&format!("quick{max_wait_ms}"), json!({"n": 0})).await;
        quick.next().await;
        client.publish(&kind, json!({"n": 2})).await;
        gate.notify_one();
        assert_eq!(parts(&slow.next().await), [json!({"n": 1}), json!({"n": 2})]);
        gate.notify_one();
    }
}

#[tokio::test]
async fn different_requests_of_a_batch_are_sent_as_the_rate_allows() {
    let (_server, client) = engine().await;
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&times);
    let receiver = Receiver::responding(move |_| {
        noted.lock().unwrap().push(Instant::now());
        Reply::status(200)
    })
    .await;
    let script = "request.headers['x-n'] = String(event.data.n); request.body = event.data;";
    let more = json!({"max_per_second": 2, "batch": {"max_events": 4, "max_wait_ms": 10_000},
        "pipeline": [{"plugin": "javascript", "settings": {"script": script}}]});
    let id = hook(&client, &receiver, more).await;
    publish_all(&client, (0..4).map(|n| json!({"n": n}))).await;
    all_finished(&client, &id, 4).await;
    let times = times.lock().unwrap();
    assert_eq!(times.len(), 4);
    let all = times[3] - times[0];
    assert!(all >= Duration::from_millis(1_200), "of 1,500 ms that the rate wants: {all:?}");
}

#[tokio::test]
async fn an_event_whose_plugin_fails_drops_it_or_writes_something_else_leaves_the_others() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let script = r#"
        const { n } = event.data;
        if (n === 2) throw new Error("two");
        if (n === 3) return null;
        if (n === 4) return "not json";
        if (n === 5) { delete request.body; return; }
        if (n === 6) request.url += "elsewhere";
        if (n === 7) request.headers["x-kind"] = "seven";
        request.body = { n };"#;
    let more = json!({"retry": {"schedule_s": []}, "batch": {"max_events": 9, "max_wait_ms": 10_000},
        "pipeline": [{"plugin": "javascript", "settings": {"script": script}}]});
    let id = hook(&client, &receiver, more).await;
    publish_all(&client, (0..9).map(|n| json!({"n": n}))).await;
    all_finished(&client, &id, 9).await;
    let mut arrived: Vec<(String, String, Vec<u64>)> = receiver
        .so_far()
        .iter()
        .map(|it| {
            let numbers = parts(it).iter().map(|part| part["n"].as_u64().unwrap()).collect();
            (it.path.clone(), it.header("x-kind").to_owned(), numbers)
        })
        .collect();
    arrived.sort();
    let expected = [("/", "", vec![0, 1, 8]), ("/", "seven", vec![7]), ("/elsewhere", "", vec![6])];
    assert_eq!(arrived, expected.map(|(path, kind, numbers)| (path.to_owned(), kind.to_owned(), numbers)));

    let events = client.get("/events?type=t&limit=100").await.expect(200);
    for event in events["data"].as_array().unwrap() {
        let event = event["id"].as_str().unwrap();
        let n = client.get(&format!("/events/{event}")).await.expect(200)["data"]["n"].as_u64().unwrap();
        let delivery = client.finished(event).await.remove(0);
        let fault = &delivery["attempts"][0]["fault"];
        let says = |words: &str| fault["message"].as_str().is_some_and(|message| message.contains(words));
        match n {
            2 => assert!(says("two"), "{delivery}"),
            3 => assert_eq!(delivery["state"], "dropped"),
            4 => assert!(says("not JSON"), "{delivery}"),
            5 => assert!(says("no body"), "{delivery}"),
            _ => assert_eq!(delivery["state"], "succeeded", "{delivery}"),
        }
        let is_faulted = delivery["attempts"][0]["outcome"] == "faulted" && delivery["state"] == "exhausted";
        assert_eq!(is_faulted, matches!(n, 2 | 4 | 5), "{delivery}");
    }
}

#[tokio::test]
async fn cloudevents_are_sent_as_a_batch_of_cloudevents() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let batch = json!({"max_events": 3, "max_wait_ms": 10_000, "format": "cloudevents"});
    let url = receiver.url("/");
    let without = json!({"url": url, "types": ["*"], "batch": batch});
    let refused = client.post("/hooks", without).await.expect(400);
    assert_eq!(refused["pointer"], "/batch/format", "{refused}");
    let ordered = json!({"url": url, "types": ["*"], "ordering": "key",
        "batch": {"max_events": 3, "max_wait_ms": 0}});
    let refused = client.post("/hooks", ordered).await.expect(400);
    assert_eq!(refused["pointer"], "/batch", "{refused}");
    let settings = json!({"mode": "structured", "source": "https://shop.example/"});
    let pipeline = json!([{"plugin": "cloudevents", "settings": settings}]);
    let id = hook(&client, &receiver, json!({"batch": batch, "pipeline": pipeline})).await;
    let mut events = Vec::new();
    for n in 0..3 {
        events.push(client.publish(&format!("order.{n}"), json!({"n": n})).await);
    }
    let arrival = receiver.next().await;
    assert_eq!(arrival.header("content-type"), "application/cloudevents-batch+json");
    for (n, (part, event)) in parts(&arrival).iter().zip(&events).enumerate() {
        assert_eq!((&part["specversion"], &part["id"]), (&json!("1.0"), &json!(event)));
        assert_eq!((&part["type"], &part["data"]), (&json!(format!("order.{n}")), &json!({"n": n})));
    }
    assert_eq!(parts(&arrival).len(), 3);

    // Events in binary mode are no parts of such a request.
    let settings = json!({"mode": "binary", "source": "https://shop.example/"});
    let patch = json!({"pipeline": [{"plugin": "cloudevents", "settings": settings}],
        "batch": {"max_wait_ms": 0}, "retry": {"schedule_s": []}});
    patch_hook(&client, &id, patch).await;
    let event = client.publish("order.4", json!({})).await;
    let delivery = client.finished(&event).await.remove(0);
    let message = delivery["attempts"][0]["fault"]["message"].as_str().unwrap();
    assert!(message.contains("structured mode"), "{message}");
}

#[tokio::test]
async fn a_preview_shows_a_request_with_one_event() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"batch": {"max_events": 3, "max_wait_ms": 0}})).await;
    let event = json!({"event": {"type": "t", "data": {"n": 1}}});
    let shown = client.post(&format!("/hooks/{id}/preview"), event).await.expect(200);
    let request = &shown["request"];
    let body: Value = serde_json::from_str(request["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!([{"n": 1}]), "{shown}");
    assert!(request["headers"]["webhook-id"].as_str().unwrap().starts_with("batch_"), "{shown}");
}

#[tokio::test]
async fn a_request_has_a_limited_number_of_bytes() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"batch": {"max_events": 8, "max_wait_ms": 1_000}})).await;
    let long = "x".repeat(150_000);
    publish_all(&client, (0..8).map(|n| json!({"n": n, "long": long}))).await;
    let arrivals = until_all(&receiver, 0..8).await;
    all_finished(&client, &id, 8).await;
    for arrival in &arrivals {
        assert!(arrival.body.len() <= (512 << 10) + 2, "{}", arrival.body.len());
        assert!(parts(arrival).len() <= 3);
    }
    assert!(arrivals.len() < 8, "some go together");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_the_process_is_killed_while_events_wait_or_are_sent_together() {
    let count = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| match count.fetch_add(1, Ordering::SeqCst) % 5 {
        0 => Reply::status(503),
        _ => Reply::status(200),
    })
    .await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    let more = json!({"retry": {"schedule_s": [1, 1, 1, 1, 1, 1]},
        "batch": {"max_events": 20, "max_wait_ms": 1_000}});
    let id = hook(&client, &receiver, more).await;
    for round in 0..4_u64 {
        publish_all(&client, (0..150).map(|n| json!({"n": 150 * round + n}))).await;
        // Some are on their way, and some wait.
        receiver.next().await;
        server.kill().await;
        server = server.restart().await;
        client = client.at(server.base());
    }
    for delivery in all_finished(&client, &id, 600).await {
        assert_eq!(delivery["state"], "succeeded");
    }
}
