//! Replays, and retries and cancellations in bulk.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::start::patch_hook;
use crate::{BINARY, engine, hook};

/// A time before all events.
pub(super) const START: &str = "2020-01-01T00:00:00Z";

/// Publishes `count` events of `event_type`, numbered in their data.
pub(super) async fn publish(client: &Client, event_type: &str, count: usize) {
    let lines: Vec<_> =
        (0..count).map(|number| json!({"type": event_type, "data": {"n": number}}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
}

/// Waits until a job is as `wanted`, and returns it.
pub(super) async fn job_when(client: &Client, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let job = client.get(&format!("/jobs/{id}")).await.expect(200);
        if wanted(&job) {
            return job;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "still {job:#}");
        tokio::task::yield_now().await;
    }
}

pub(super) fn has_ended(job: &Value) -> bool {
    !job["finished_at"].is_null()
}

/// Waits until so many of the tenant's deliveries are in `state`.
pub(super) async fn deliveries_in(client: &Client, state: &str, count: usize) -> Vec<Value> {
    let began = std::time::Instant::now();
    loop {
        let list = client.get(&format!("/deliveries?state={state}&limit=250")).await.expect(200);
        let data = list["data"].as_array().unwrap();
        if data.len() == count {
            return data.clone();
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{} are {state}", data.len());
        tokio::task::yield_now().await;
    }
}

pub(super) async fn start(client: &Client, path: &str, body: Value) -> String {
    let response = client.post(path, body).await;
    let location = response.headers["location"].to_str().unwrap().to_owned();
    let job = response.expect(202);
    let id = job["id"].as_str().unwrap().to_owned();
    assert_eq!(location, format!("/api/v3/jobs/{id}"));
    id
}

/// How often each event arrived, by its number, with those that are so far in `counts`.
fn count(receiver: &Receiver, counts: &mut HashMap<u64, usize>) {
    for arrival in receiver.so_far() {
        *counts.entry(arrival.json()["n"].as_u64().unwrap()).or_default() += 1;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_makes_each_delivery_once_although_the_process_is_killed() {
    const EVENTS: usize = 900;
    let receiver = Receiver::start().await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    let id = hook(&client, &receiver, json!({"enabled": false})).await;
    publish(&client, "t", EVENTS).await;
    patch_hook(&client, &id, json!({"enabled": true})).await;
    // All of them were missed, so that only the job sends.
    let replay = json!({"since": START, "missed": true, "max_per_second": 400});
    let job = start(&client, &format!("/hooks/{id}/replays"), replay).await;
    for enough in [100, 300, 600] {
        job_when(&client, &job, |job| job["made"].as_u64().unwrap() >= enough).await;
        server.kill().await;
        server = server.restart().await;
        client = client.at(server.base());
    }
    let ended = job_when(&client, &job, |job| has_ended(job) && job["outstanding"] == 0).await;
    assert_eq!((&ended["state"], &ended["made"]), (&json!("completed"), &json!(EVENTS)), "{ended:#}");
    assert_eq!((&ended["examined"], &ended["skipped"]), (&json!(EVENTS), &json!(0)));
    let mut counts = HashMap::new();
    count(&receiver, &mut counts);
    assert_eq!(counts.len(), EVENTS);
    let list = client.get("/events?limit=3").await.expect(200);
    for event in list["data"].as_array().unwrap() {
        let id = event["engine_id"].as_str().unwrap();
        let deliveries = client.finished(id).await;
        assert_eq!((deliveries.len(), &deliveries[0]["trigger"]), (1, &json!("replay")));
    }
    // Nothing is left to recover.
    let again =
        start(&client, &format!("/hooks/{id}/replays"), json!({"since": START, "missed": true})).await;
    let ended = job_when(&client, &again, has_ended).await;
    assert_eq!((&ended["made"], &ended["skipped"]), (&json!(0), &json!(EVENTS)));
}

#[tokio::test(flavor = "multi_thread")]
async fn live_deliveries_keep_going_during_a_replay() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({})).await;
    publish(&client, "t", 3_000).await;
    deliveries_in(&client, "pending,waiting,delivering", 0).await;
    let replay = json!({"since": START, "max_per_second": 1_000});
    let job = start(&client, &format!("/hooks/{id}/replays"), replay).await;
    for number in 0..3 {
        let event = client.publish("t", json!({"n": 10_000})).await;
        assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
        let running = client.get(&format!("/jobs/{job}")).await.expect(200);
        assert_eq!(running["state"], "running", "{number}: {running:#}");
    }
    let ended = job_when(&client, &job, |job| has_ended(job) && job["outstanding"] == 0).await;
    assert_eq!(ended["made"], 3_000, "events that were accepted since are left out: {ended:#}");
    deliveries_in(&client, "pending,waiting,delivering", 0).await;
    let mut counts = HashMap::new();
    count(&receiver, &mut counts);
    assert!((0..3_000).all(|number| counts[&number] == 2));
    assert_eq!(counts[&10_000], 3);
}

#[tokio::test]
async fn a_job_is_paused_resumed_and_cancelled() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({})).await;
    publish(&client, "t", 9).await;
    deliveries_in(&client, "succeeded", 9).await;
    let slow = json!({"since": START, "max_per_second": 0.1, "types": ["t"]});
    let job = start(&client, &format!("/hooks/{id}/replays"), slow.clone()).await;
    job_when(&client, &job, |job| job["made"] == 1).await;
    let change = async |to: &str| client.post(&format!("/jobs/{job}/{to}"), json!(null)).await;
    let post = async |to: &str| client.send("POST", &format!("/api/v3/jobs/{job}/{to}"), "", &[]).await;
    change("pause").await.expect(400);
    for (to, state) in
        [("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")]
    {
        assert_eq!(post(to).await.expect(200)["state"], state);
    }
    let ended = post("cancel").await.expect(200);
    assert!(has_ended(&ended) && ended["made"] == 1, "{ended:#}");
    assert_eq!(ended["filter"]["types"], json!(["t"]));
    let refused = post("resume").await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("cancelled"), "{refused}");
    post("pause").await.expect(409);
    // A paused job makes nothing, and goes on after a restart only if it is resumed.
    let fast = json!({"since": START, "max_per_second": 10_000});
    let path = format!("/hooks/{id}/replays");
    let other = start(&client, &path, slow).await;
    client.send("POST", &format!("/api/v3/jobs/{other}/pause"), "", &[]).await.expect(200);
    let list = client.get("/jobs").await.expect(200);
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|job| job["id"].clone()).collect();
    assert_eq!(ids, [json!(other), json!(job)]);
    let first = client.get("/jobs?limit=1").await.expect(200);
    let next = format!("/jobs?limit=1&cursor={}", first["next"].as_str().unwrap());
    assert_eq!(client.get(&next).await.expect(200)["data"][0]["id"], job);
    let stranger = server.tenant("globex").await;
    for to in ["pause", "resume", "cancel"] {
        stranger.send("POST", &format!("/api/v3/jobs/{other}/{to}"), "", &[]).await.expect(404);
    }
    stranger.get(&format!("/jobs/{other}")).await.expect(404);
    assert_eq!(stranger.get("/jobs").await.expect(200)["data"], json!([]));
    stranger.post(&path, fast.clone()).await.expect(404);
    for _ in 1..16 {
        let job = start(&client, &path, json!({"since": START, "max_per_second": 0.1})).await;
        client.send("POST", &format!("/api/v3/jobs/{job}/pause"), "", &[]).await.expect(200);
    }
    let refused = client.post(&path, fast.clone()).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("at most 16 jobs"), "{refused}");
    client.send("POST", &format!("/api/v3/jobs/{other}/cancel"), "", &[]).await.expect(200);
    let last = start(&client, &path, fast).await;
    let ended = job_when(&client, &last, has_ended).await;
    assert_eq!(ended["state"], "completed");
    assert!(ended["started_by"].as_str().unwrap().starts_with("key_"));
}

#[tokio::test]
async fn a_dry_run_tells_how_many_events_and_what_would_differ() {
    let (_server, client) = engine().await;
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let receiver = Receiver::responding(move |_| match failing.load(Ordering::SeqCst) {
        true => Reply::status(500),
        false => Reply::status(200),
    })
    .await;
    let id = hook(&client, &receiver, json!({"retry": {"schedule_s": []}, "headers": {"x-a": "1"}})).await;
    publish(&client, "order.paid", 2).await;
    deliveries_in(&client, "exhausted", 2).await;
    fails.store(false, Ordering::SeqCst);
    publish(&client, "order.paid", 23).await;
    deliveries_in(&client, "succeeded", 23).await;
    let path = format!("/hooks/{id}/replays");
    let dry = json!({"since": START, "states": ["exhausted"], "dry_run": true});
    let shown = client.post(&path, dry.clone()).await.expect(200);
    assert_eq!((&shown["events"], &shown["at_least"]), (&json!(2), &json!(false)), "{shown:#}");
    let first = &shown["first"][0];
    assert_eq!((&first["type"], &first["former_state"]), (&json!("order.paid"), &json!("exhausted")));
    assert_eq!(
        (&first["now"]["verdict"], &first["now"]["request"]["body"]),
        (&json!("keep"), &json!(r#"{"n":0}"#))
    );
    assert_eq!((&first["differs"], &first["sent"]["method"]), (&json!([]), &json!("POST")));
    let change = json!({"headers": {"x-a": "2"}, "url": receiver.url("/other")});
    patch_hook(&client, &id, change).await;
    let shown = client.post(&path, dry).await.expect(200);
    assert_eq!(shown["first"][1]["differs"], json!(["url"]), "the header's value is masked: {shown:#}");
    patch_hook(&client, &id, json!({"headers": {"x-b": "2"}})).await;
    let all = json!({"since": START, "dry_run": true});
    let shown = client.post(&path, all.clone()).await.expect(200);
    assert_eq!((&shown["events"], shown["first"].as_array().unwrap().len()), (&json!(25), 20));
    assert_eq!(shown["first"][19]["differs"], json!(["url", "headers"]));
    assert_eq!(shown["filter"]["hook"], id);
    let later = json!({"since": START, "missed": true, "dry_run": true});
    assert_eq!(client.post(&path, later).await.expect(200)["events"], 0);
    assert_eq!(client.get("/jobs").await.expect(200)["data"], json!([]), "nothing has begun");
    let exhausted = json!({"since": START, "states": ["exhausted"]});
    let job = start(&client, &path, exhausted).await;
    let ended = job_when(&client, &job, has_ended).await;
    assert_eq!((&ended["made"], &ended["skipped"]), (&json!(2), &json!(23)));
    deliveries_in(&client, "succeeded", 25).await;
    // The newest delivery of each has succeeded.
    let job = start(&client, &path, json!({"since": START, "states": ["exhausted"]})).await;
    assert_eq!(job_when(&client, &job, has_ended).await["made"], 0);
}

#[tokio::test]
async fn exhausted_deliveries_are_retried_and_waiting_ones_cancelled() {
    let (_server, client) = engine().await;
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let receiver = Receiver::responding(move |_| match failing.load(Ordering::SeqCst) {
        true => Reply::status(500),
        false => Reply::status(200),
    })
    .await;
    // The circuit stays closed: fewer than twenty attempts.
    let ending = hook(&client, &receiver, json!({"types": ["a.*"], "retry": {"schedule_s": []}})).await;
    let waiting =
        hook(&client, &receiver, json!({"types": ["b.*"], "retry": {"schedule_s": [604_800]}})).await;
    publish(&client, "a.1", 9).await;
    publish(&client, "b.1", 5).await;
    publish(&client, "b.2", 4).await;
    deliveries_in(&client, "exhausted", 9).await;
    deliveries_in(&client, "waiting", 9).await;
    fails.store(false, Ordering::SeqCst);
    let job = start(&client, "/deliveries/retries", json!({"hook": ending, "type": "a.*"})).await;
    let ended = job_when(&client, &job, has_ended).await;
    assert_eq!(
        (&ended["kind"], &ended["made"], &ended["max_per_second"]),
        (&json!("retry"), &json!(9), &json!(500.0))
    );
    assert_eq!(ended["filter"]["states"], json!(["exhausted"]));
    deliveries_in(&client, "succeeded", 9).await;
    let job = start(&client, "/deliveries/cancellations", json!({"type": "b.1"})).await;
    let ended = job_when(&client, &job, has_ended).await;
    assert_eq!((&ended["kind"], &ended["made"]), (&json!("cancel"), &json!(5)), "{ended:#}");
    assert_eq!(ended.get("max_per_second"), None);
    let cancelled = deliveries_in(&client, "cancelled", 5).await;
    assert!(cancelled.iter().all(|delivery| delivery["type"] == "b.1"));
    let job =
        start(&client, "/deliveries/retries", json!({"hook": waiting, "states": ["waiting", "cancelled"]}))
            .await;
    assert_eq!(job_when(&client, &job, has_ended).await["made"], 9);
    deliveries_in(&client, "succeeded", 18).await;
    let event = cancelled[0]["event"].as_str().unwrap();
    let one = json!({"event": event, "states": ["succeeded", "exhausted"]});
    let job = start(&client, "/deliveries/retries", one).await;
    assert_eq!(job_when(&client, &job, has_ended).await["made"], 1);
}

#[tokio::test]
async fn bad_filters_say_what_is_wrong() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({})).await;
    let replays = format!("/hooks/{id}/replays");
    for (path, body, pointer, detail) in [
        (replays.as_str(), json!({}), "", "missing member `since`"),
        (&replays, json!({"since": "yesterday"}), "/since", "RFC 3339"),
        (&replays, json!({"since": "2100-01-01T00:00:00Z"}), "/since", "not in the past"),
        (&replays, json!({"since": START, "until": START}), "/until", "later than `since`"),
        (&replays, json!({"since": START, "types": []}), "/types", "1 to 100"),
        (&replays, json!({"since": START, "types": ["a", "b c"]}), "/types/1", "pattern"),
        (&replays, json!({"since": START, "states": ["waiting"]}), "/states/0", "succeeded, exhausted"),
        (&replays, json!({"since": START, "states": []}), "/states", "empty"),
        (&replays, json!({"since": START, "max_per_second": 0.01}), "/max_per_second", "from 0.1 to 10000"),
        (&replays, json!({"since": START, "max_per_second": "5"}), "/max_per_second", "string"),
        (&replays, json!({"since": START, "plugins": []}), "/plugins", "unknown member"),
        (
            &replays,
            json!({"since": START, "pipeline": [{"plugin": "gone@1"}]}),
            "/pipeline/0/plugin",
            "no plugin",
        ),
        (
            &replays,
            json!({"since": START, "pipeline": [{"plugin": "javascript", "settings": {"script": "("}}]}),
            "/pipeline/0/settings",
            "javascript",
        ),
        ("/deliveries/retries", json!({"hook": "x"}), "/hook", "hook_"),
        ("/deliveries/retries", json!({"states": ["pending"]}), "/states/0", "due or in progress"),
        ("/deliveries/retries", json!({"type": "a b"}), "/type", "pattern"),
        ("/deliveries/retries", json!({"event": "x".repeat(129)}), "/event", "1 to 128"),
        ("/deliveries/cancellations", json!({"states": ["delivering"]}), "/states/0", "one by one"),
        ("/deliveries/cancellations", json!({"max_per_second": 1}), "/max_per_second", "unknown member"),
    ] {
        let problem = client.post(path, body.clone()).await.expect(400);
        assert_eq!(problem["pointer"].as_str().unwrap_or_default(), pointer, "{body} {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{body} {problem}");
    }
    client.get("/jobs/job_0000000000001").await.expect(404);
    client.get("/jobs/x").await.expect(404);
    patch_hook(&client, &id, json!({"enabled": false})).await;
    let refused = client.post(&replays, json!({"since": START})).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("disabled"), "{refused}");
    let key = json!({"name": "k", "scopes": ["deliveries:read", "events:read"]});
    let key = client.post("/keys", key).await.expect(201);
    let reader = Client::new(server.base(), key["key"].as_str().unwrap());
    for path in [replays.as_str(), "/deliveries/retries", "/deliveries/cancellations"] {
        reader.post(path, json!({"since": START})).await.expect(403);
    }
    reader.get("/jobs").await.expect(200);
}

#[tokio::test]
async fn a_job_of_a_deleted_hook_fails() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"paused": true})).await;
    publish(&client, "t", 200).await;
    client.post("/deliveries/cancellations", json!({})).await.expect(202);
    deliveries_in(&client, "cancelled", 200).await;
    let replay = json!({"since": START, "max_per_second": 10_000});
    let job = start(&client, &format!("/hooks/{id}/replays"), replay).await;
    // What is held counts: a job has few deliveries outstanding.
    let held = job_when(&client, &job, |job| job["outstanding"].as_u64().unwrap() >= 50).await;
    assert_eq!((&held["state"], &held["made"]), (&json!("running"), &held["outstanding"]));
    client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await.expect(204);
    let ended = job_when(&client, &job, has_ended).await;
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("failed"), &json!("its hook was deleted")));
    let retry = json!({"hook": id, "states": ["cancelled"]});
    let retried = start(&client, "/deliveries/retries", retry).await;
    let ended = job_when(&client, &retried, has_ended).await;
    assert_eq!(
        (&ended["made"], &ended["skipped"]),
        (&json!(0), &json!(200 + held["made"].as_u64().unwrap()))
    );
}
