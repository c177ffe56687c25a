//! What the engine tells a tenant about its hooks.

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::start::hook_when;
use crate::{BINARY, hook};

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
