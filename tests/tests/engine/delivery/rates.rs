//! What a hook or a tenant gets at a time and in a second. What is over waits, and nothing of it is lost.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::start::{hook_when, patch_hook};
use crate::{BINARY, engine, hook};

/// When requests arrived.
type Times = Arc<Mutex<Vec<Instant>>>;

/// A receiver that keeps times, and answers with a status that can be changed.
async fn timing() -> (Receiver, Times, Arc<AtomicU16>) {
    let (times, status) = (Times::default(), Arc::new(AtomicU16::new(200)));
    let (kept, answer) = (Arc::clone(&times), Arc::clone(&status));
    let receiver = Receiver::responding(move |arrival| {
        if arrival.method == "OPTIONS" {
            let headers = ["Origin", "Rate"].map(|what| match what {
                "Origin" => ("WebHook-Allowed-Origin", "*".to_owned()),
                _ => ("WebHook-Allowed-Rate", "600".to_owned()),
            });
            return Reply::Status(200, headers.to_vec(), Vec::new());
        }
        kept.lock().unwrap().push(Instant::now());
        Reply::status(answer.load(SeqCst))
    });
    (receiver.await, times, status)
}

/// Since `begin`, no more has arrived at any time than `rate` per second allows, and a tenth of a second's burst. That
/// requests arrive late proves nothing, and does not disturb.
fn check_rate(times: &Times, begin: Instant, rate: f64) {
    let burst = (rate / 10.0).max(1.0);
    for (index, time) in times.lock().unwrap().iter().enumerate() {
        let elapsed = *time - begin;
        let most = rate * (elapsed.as_secs_f64() + 0.021) + burst;
        assert!((index + 1) as f64 <= most, "{} within {elapsed:?}, at {rate} per second", index + 1);
    }
}

/// Publishes events in one call, and returns their ids.
async fn publish(client: &Client, count: usize) -> Vec<String> {
    let lines: String =
        (0..count).map(|number| format!("{}\n", json!({"type": "t", "data": number}))).collect();
    let headers = [("content-type", "application/x-ndjson")];
    let receipt = client.send("POST", "/api/v3/events/batch", lines, &headers).await.expect(202);
    receipt["ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

/// Waits until each event has arrived, and returns how many requests there were.
async fn arrive(receiver: &Receiver, events: &[String]) -> usize {
    let (mut missing, mut requests): (HashSet<&str>, _) = (events.iter().map(String::as_str).collect(), 0);
    while !missing.is_empty() {
        missing.remove(receiver.next().await.header("webhook-id"));
        requests += 1;
    }
    requests
}

async fn limit_tenant(server: &Server, rate: Value) -> Value {
    let headers = [("content-type", "application/merge-patch+json")];
    let patch = json!({"max_per_second": rate}).to_string();
    server.operator().send("PATCH", "/api/v3/tenants/acme", patch, &headers).await.expect(200)
}

#[tokio::test]
async fn a_hooks_rate_holds_and_everything_arrives_once() {
    let (_server, client) = engine().await;
    let (receiver, times, _) = timing().await;
    let (other, _, _) = timing().await;
    let limited = hook(&client, &receiver, json!({"max_per_second": 50})).await;
    hook(&client, &other, json!({})).await;
    let begin = Instant::now();
    // More than there is room for in memory: the rest waits on disk.
    let events = publish(&client, 600).await;
    arrive(&other, &events).await;
    hook_when(&client, &limited, |hook| hook["held"].as_u64() > Some(10)).await;
    assert_eq!(arrive(&receiver, &events).await, 600);
    check_rate(&times, begin, 50.0);
    let shown = hook_when(&client, &limited, |hook| hook["held"] == 0).await;
    assert_eq!((&shown["max_per_second"], &shown["state"]), (&json!(50), &json!({"name": "ok"})));
    for event in events.iter().step_by(100) {
        let delivery = client.finished(event).await.remove(0);
        assert_eq!(delivery["attempts"].as_array().unwrap().len(), 1, "waiting uses up no attempt");
    }
}

#[tokio::test]
async fn a_change_of_a_rate_acts_on_what_waits() {
    let (_server, client) = engine().await;
    let (receiver, times, _) = timing().await;
    let id = hook(&client, &receiver, json!({"max_per_second": 0.01})).await;
    let events = publish(&client, 30).await;
    hook_when(&client, &id, |hook| hook["held"].as_u64() > Some(20)).await;
    // A test does not wait.
    let test = client.post(&format!("/hooks/{id}/test"), json!({})).await.expect(202);
    client.finished(test["event"].as_str().unwrap()).await;
    assert_eq!(receiver.so_far().len(), 2, "the first event, and the test");
    times.lock().unwrap().clear();
    let begin = Instant::now();
    let changed = patch_hook(&client, &id, json!({"max_per_second": 20.5})).await;
    assert_eq!(changed["max_per_second"], 20.5);
    arrive(&receiver, &events[1..]).await;
    check_rate(&times, begin, 20.5);
    let changed = patch_hook(&client, &id, json!({"max_per_second": null})).await;
    assert_eq!(changed["max_per_second"], json!(null));
    arrive(&receiver, &publish(&client, 30).await).await;
}

#[tokio::test]
async fn a_tenants_rate_holds_over_all_its_hooks_and_only_the_operator_sets_it() {
    let (server, client) = engine().await;
    let other = server.tenant("other").await;
    let (receiver, times, _) = timing().await;
    let (free, _, _) = timing().await;
    for _ in 0..2 {
        hook(&client, &receiver, json!({})).await;
    }
    let of_other = hook(&other, &free, json!({})).await;
    let headers = [("content-type", "application/merge-patch+json")];
    let refused = client.send("PATCH", "/api/v3/tenants/acme", r#"{"max_per_second": 1}"#, &headers).await;
    refused.expect(403);
    assert_eq!(limit_tenant(&server, json!(20)).await["max_per_second"], 20);
    assert_eq!(client.get("/tenants/acme").await.expect(200)["max_per_second"], 20);
    let begin = Instant::now();
    let events = publish(&client, 40).await;
    arrive(&free, &publish(&other, 40).await).await;
    assert_eq!(other.get(&format!("/hooks/{of_other}")).await.expect(200)["held"], json!(null));
    for _ in 0..2 * events.len() {
        receiver.next().await;
    }
    check_rate(&times, begin, 20.0);
    for event in &events {
        let deliveries = client.finished(event).await;
        assert!(deliveries.iter().all(|one| one["attempts"].as_array().unwrap().len() == 1));
    }
    limit_tenant(&server, json!(0.01)).await;
    let events = publish(&client, 20).await;
    assert_eq!(limit_tenant(&server, json!(null)).await["max_per_second"], json!(null));
    for event in &events {
        client.finished(event).await;
    }
}

#[tokio::test]
async fn retries_count_and_what_an_open_circuit_held_is_sent_at_the_rate() {
    let settings = [("HOOKWRIGHT_CIRCUIT_ATTEMPTS", "5"), ("HOOKWRIGHT_CIRCUIT_OPEN_MS", "86400000")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let (receiver, times, status) = timing().await;
    status.store(500, SeqCst);
    let schedule = json!({"schedule_s": vec![1; 20]});
    let id = hook(&client, &receiver, json!({"retry": schedule, "max_per_second": 20})).await;
    let begin = Instant::now();
    let events = publish(&client, 40).await;
    hook_when(&client, &id, |hook| hook["state"]["name"] == "circuit_open" && hook["held"] == 40).await;
    check_rate(&times, begin, 20.0);
    let failed = times.lock().unwrap().len();
    assert!(failed < 20, "{failed} requests opened the circuit");
    times.lock().unwrap().clear();
    status.store(200, SeqCst);
    let begin = Instant::now();
    patch_hook(&client, &id, json!({"description": "mended"})).await;
    for event in &events {
        assert_eq!(client.finished(event).await[0]["state"], "succeeded");
    }
    check_rate(&times, begin, 20.0);
    assert_eq!(times.lock().unwrap().len(), 40, "each arrives once more");
}

#[tokio::test]
async fn a_restart_goes_on_with_the_backlog_at_the_rate() {
    let (mut server, client) = engine().await;
    let (receiver, times, _) = timing().await;
    hook(&client, &receiver, json!({"max_per_second": 25})).await;
    let events = publish(&client, 300).await;
    for _ in 0..10 {
        receiver.next().await;
    }
    server.kill().await;
    times.lock().unwrap().clear();
    let mut arrived: HashSet<String> =
        receiver.so_far().iter().map(|it| it.header("webhook-id").to_owned()).collect();
    let begin = Instant::now();
    let server = server.restart().await;
    while arrived.len() < events.len() - 10 {
        arrived.insert(receiver.next().await.header("webhook-id").to_owned());
    }
    check_rate(&times, begin, 25.0);
    let client = client.at(server.base());
    for event in &events {
        assert_eq!(client.finished(event).await[0]["state"], "succeeded");
    }
}

#[tokio::test]
async fn a_receiver_gets_no_more_at_a_time_than_its_hook_allows() {
    let (_server, client) = engine().await;
    let (in_flight, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let receiver = Receiver::responding(move |_| {
        counted.fetch_max(in_flight.fetch_add(1, SeqCst) + 1, SeqCst);
        let gate = Arc::new(Notify::new());
        let (opens, in_flight) = (Arc::clone(&gate), Arc::clone(&in_flight));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            in_flight.fetch_sub(1, SeqCst);
            opens.notify_one();
        });
        Reply::Held(gate)
    })
    .await;
    let id = hook(&client, &receiver, json!({"max_in_flight": 3})).await;
    assert_eq!(arrive(&receiver, &publish(&client, 100).await).await, 100);
    assert!((2..=3).contains(&most.load(SeqCst)), "{most:?} at a time");
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    assert_eq!(shown["max_in_flight"], 3);
    let changed = patch_hook(&client, &id, json!({"max_in_flight": 1})).await;
    assert_eq!(changed["max_in_flight"], 1);
    let event = publish(&client, 1).await;
    arrive(&receiver, &event).await;
    most.store(0, SeqCst);
    arrive(&receiver, &publish(&client, 50).await).await;
    assert_eq!(most.load(SeqCst), 1);
}

#[tokio::test]
async fn limits_have_bounds_that_the_answer_says() {
    let settings = [("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", "8")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    for (member, value, says) in [
        ("max_in_flight", json!(9), "from 1 to 8, the engine's limit"),
        ("max_in_flight", json!(0), "from 1 to 8"),
        ("max_per_second", json!(0.009), "from 0.01 to 10,000 requests per second"),
        ("max_per_second", json!(10_001), "from 0.01 to 10,000"),
        ("max_per_second", json!(-1), "from 0.01 to 10,000"),
    ] {
        let hook = json!({"url": "https://example.com/", "types": ["*"], member: value});
        let refused = client.post("/hooks", hook).await.expect(400);
        assert!(refused["detail"].as_str().unwrap().contains(says), "{refused}");
        assert!(refused.to_string().contains(&format!("/{member}")), "{refused}");
    }
    let hook =
        json!({"url": "https://example.com/", "types": ["*"], "max_in_flight": 8, "max_per_second": 0.01});
    let hook = client.post("/hooks", hook).await.expect(201);
    assert_eq!((&hook["max_in_flight"], &hook["max_per_second"]), (&json!(8), &json!(0.01)));
    let path = format!("/api/v3/hooks/{}", hook["id"].as_str().unwrap());
    let same = client.send("PUT", &path, hook.to_string(), &[]).await.expect(200);
    assert_eq!((&same["max_in_flight"], &same["max_per_second"]), (&json!(8), &json!(0.01)));
}

#[tokio::test]
async fn the_rate_that_a_handshake_allows_holds() {
    let (_server, client) = engine().await;
    let (receiver, times, _) = timing().await;
    // Ten requests per second.
    let id = hook(&client, &receiver, json!({"handshake": "cloudevents", "max_per_second": 1_000})).await;
    let allowed = hook_when(&client, &id, |hook| hook["state"]["name"] == "ok").await;
    assert_eq!(
        (&allowed["handshake_result"]["allowed_rate"], &allowed["max_per_second"]),
        (&json!(600), &json!(1_000))
    );
    receiver.next().await;
    let begin = Instant::now();
    arrive(&receiver, &publish(&client, 25).await).await;
    check_rate(&times, begin, 10.0);
}
