//! What the engine tells a tenant about its hooks.

use std::time::Duration;

use hookwright_tests::{Client, Receiver, Reply, Server, from_now};
use serde_json::{Value, json};

use crate::start::hook_when;
use crate::{BINARY, engine, hook};

/// Each kind once, so that a test can count them.
const SETTINGS: [(&str, &str); 1] = [("HOOKWRIGHT_OPERATIONAL_EVENT_INTERVAL_MS", "86400000")];

#[tokio::test]
async fn a_hook_that_names_them_is_told_of_failures_and_others_are_not() {
    let server = Server::start_with(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    let receiver = Receiver::responding(|arrival| match arrival.json().as_u64() {
        Some(number) if number < 5 => Reply::status(500),
        Some(5) => Reply::status(200),
        _ => Reply::status(410),
    })
    .await;
    let broken = hook(&client, &receiver, json!({"types": ["*"], "retry": {"schedule_s": []}})).await;
    let monitor = Receiver::start().await;
    hook(&client, &monitor, json!({"types": ["hookwright.*"]})).await;
    for number in 0..7 {
        client.finished(&client.publish("t", json!(number)).await).await;
    }
    let mut told = Vec::new();
    for _ in 0..4 {
        let mut body = monitor.next().await.json();
        assert_eq!(body["hook"], broken, "{body}");
        // Times and ids differ from run to run.
        for member in ["hook", "since", "delivery", "event"] {
            body.as_object_mut().unwrap().remove(member);
        }
        told.push(body);
    }
    told.sort_by_key(Value::to_string);
    let reason = "the receiver answered with status 500";
    let mut expected = [
        json!({"attempts": 1, "event_type": "t", "reason": reason, "suppressed": 0}),
        json!({"failed": 3, "attempts": 3, "reason": reason, "suppressed": 0}),
        json!({"suppressed": 0}),
        json!({"why": "gone", "reason": "the receiver answered 410 Gone", "suppressed": 0}),
    ];
    expected.sort_by_key(Value::to_string);
    assert_eq!(told, expected);
    assert_eq!(receiver.so_far().len(), 7, "it subscribes to `*`, which does not name them");
}

#[tokio::test]
async fn failures_of_operational_events_make_none() {
    let server = Server::start_with(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    let broken = Receiver::responding(|_| Reply::status(500)).await;
    let types = json!({"types": ["t", "hookwright.*"], "retry": {"schedule_s": []}});
    let first = hook(&client, &broken, types.clone()).await;
    let second = hook(&client, &broken, types).await;
    for number in 0..5 {
        client.finished(&client.publish("t", json!(number)).await).await;
    }
    for id in [&first, &second] {
        hook_when(&client, id, |hook| hook["state"]["name"] == "failing").await;
    }
    // Each hook is told of two kinds about the other one: that it fails, and that a delivery is exhausted.
    let began = std::time::Instant::now();
    let mut told = Vec::new();
    while told.len() < 4 {
        told.extend(broken.so_far().iter().map(|one| one.json()).filter(Value::is_object));
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "{told:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(told.len(), 4, "{told:?}");
    for id in [&first, &second] {
        assert_eq!(told.iter().filter(|body| body["hook"] == **id).count(), 2);
        let of_hook = client.get(&format!("/deliveries?hook={id}&limit=250")).await.expect(200);
        assert_eq!(of_hook["data"].as_array().unwrap().len(), 7, "5 events and 2 about the other hook");
    }
}

#[tokio::test]
async fn the_types_of_operational_events_are_reserved() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let refused =
        client.post("/events", json!({"type": "hookwright.hook.failing", "data": 1})).await.expect(400);
    assert_eq!(refused["pointer"], "/type");
    assert!(refused["detail"].as_str().unwrap().contains("reserved"), "{refused}");
    client.post("/events", json!({"type": "hookwright", "data": 1})).await.expect(202);
}

#[tokio::test]
async fn a_tenant_is_told_of_a_plugin_that_fails_and_of_a_quota_that_is_nearly_used_up() {
    let settings = [SETTINGS[0], ("HOOKWRIGHT_MAX_HOOKS_PER_TENANT", "2")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let monitor = Receiver::start().await;
    hook(&client, &monitor, json!({"types": ["hookwright.quota.near", "hookwright.plugin.*"]})).await;
    let script = json!([{"plugin": "javascript", "settings": {"script": "throw new Error(event.type);"}}]);
    let made = json!({"types": ["t"], "pipeline": script, "retry": {"schedule_s": []}});
    let faulty = hook(&client, &monitor, made).await;
    let near = monitor.next().await.json();
    let expected = json!({"quota": "max_hooks_per_tenant", "used": 2, "limit": 2, "suppressed": 0});
    assert_eq!(near, expected);
    client.finished(&client.publish("t", json!(1)).await).await;
    let told = monitor.next().await.json();
    assert_eq!(
        (&told["hook"], &told["plugin"], &told["step"]),
        (&json!(faulty), &json!("javascript"), &json!(0))
    );
    assert!(told["kind"].is_string() && told["reason"].is_string(), "{told}");
}

/// Creates a key that expires after some hours.
async fn key_for(client: &Client, name: &str, hours: u64) -> Value {
    let end = from_now(Duration::from_secs(hours * 3_600));
    let key = json!({"name": name, "expires_at": end.to_string()});
    client.post("/keys", key).await.expect(201)
}

/// As if all keys had been made a month ago.
const AGE_KEYS: &str = "UPDATE api_keys SET created_at = created_at - 2592000000";

#[tokio::test]
async fn a_tenant_is_told_once_of_each_key_that_expires_soon() {
    let (mut server, client) = engine().await;
    let monitor = Receiver::start().await;
    hook(&client, &monitor, json!({"types": ["hookwright.key.expiring"]})).await;
    let mut expected = Vec::new();
    for (name, hours, told) in [("days", 72, true), ("hours", 12, true), ("weeks", 400, false)] {
        let key = key_for(&client, name, hours).await;
        expected.extend(told.then_some(key));
    }
    server.terminate().await;
    server.execute(AGE_KEYS).await;
    let mut server = server.restart().await;
    let client = client.at(server.base());
    let mut told = [monitor.next().await.json(), monitor.next().await.json()];
    told.sort_by_key(|one| one["name"].to_string());
    for (told, key) in told.iter().zip(&expected) {
        let of_key = |member: &str| key[member].clone();
        let data = json!({"key": of_key("id"), "name": of_key("name"), "prefix": of_key("prefix"),
            "expires_at": of_key("expires_at"), "suppressed": 0});
        assert_eq!(*told, data);
    }
    // Keys are looked at in the order of their ids: after this one, the others would have been told again.
    key_for(&client, "last", 24).await;
    server.terminate().await;
    server.execute(AGE_KEYS).await;
    let _server = server.restart().await;
    assert_eq!(monitor.next().await.json()["name"], "last");
    assert_eq!(monitor.so_far().len(), 0);
}

#[tokio::test]
async fn a_tenant_is_told_that_its_rate_its_storage_or_its_fuel_is_nearly_used_up() {
    let server = Server::start_with(BINARY, &SETTINGS).await;
    let client = server.tenant("acme").await;
    let monitor = Receiver::start().await;
    hook(&client, &monitor, json!({"types": ["hookwright.quota.near"]})).await;
    let limits = json!({"events_per_s": 1, "storage_bytes": 10_000, "fuel_per_min": 1_000_000});
    server.operator().patch("/tenants/acme", json!({"limits": limits})).await.expect(200);
    let script = json!([{"plugin": "javascript", "settings": {"script": "return {};"}}]);
    hook(&client, &monitor, json!({"types": ["t"], "pipeline": script})).await;
    let line = json!({"type": "t", "data": "x".repeat(1_000)}).to_string();
    let lines = vec![line; 9].join("\n");
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines, &headers).await.expect(202);
    let mut told = std::collections::BTreeMap::new();
    while told.len() < 3 {
        let arrival = monitor.next().await;
        let body = arrival.json();
        if let Some(quota) = body["quota"].as_str() {
            assert!(told.insert(quota.to_owned(), body.clone()).is_none(), "told twice: {body}");
        }
    }
    for (quota, limit) in [
        ("max_events_per_second_per_tenant", 1),
        ("max_storage_bytes_per_tenant", 10_000),
        ("max_plugin_fuel_per_minute_per_tenant", 1_000_000),
    ] {
        let near = &told[quota];
        assert_eq!(near["limit"], limit);
        assert!(near["used"].as_u64().unwrap() * 10 >= limit * 9, "{near}");
    }
}
