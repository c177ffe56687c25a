//! Requests with several events that a plugin writes.

use std::collections::BTreeSet;

use hookwright_tests::{Client, Receiver};
use serde_json::{Value, json};

use crate::start::patch_hook;
use crate::{engine, hook};

fn steps(script: &str) -> Value {
    json!([{"plugin": "javascript", "settings": {"script": script}}])
}

/// Publishes events with these numbers at once, and returns their ids.
async fn publish(client: &Client, numbers: std::ops::Range<u64>) {
    let line = |n: u64| json!({"id": format!("e{n}"), "type": "t", "data": {"n": n}}).to_string();
    let lines: Vec<String> = numbers.map(line).collect();
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
}

#[tokio::test]
async fn a_plugin_writes_the_request_from_what_was_written_for_each_event() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let lines = "return { body: event.data.map(it => JSON.stringify(it)).join('\\n'), \
        headers: { ...request.headers, 'content-type': 'application/x-ndjson', 'x-events': event.attributes.events, \
        'x-type': event.type, 'x-id': event.id } };";
    let each = "if (event.data.n === 3) return null; console.log(`each ${event.data.n}`); \
        return { body: { number: event.data.n } };";
    let batch = json!({"max_events": 4, "max_wait_ms": 60_000, "pipeline": steps(lines)});
    let id = hook(&client, &receiver, json!({"pipeline": steps(each), "batch": batch})).await;
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    assert_eq!(shown["batch"]["pipeline"], steps(lines));
    let event = json!({"event": {"type": "t", "data": {"n": 1}}});
    let preview = client.post(&format!("/hooks/{id}/preview"), event).await.expect(200);
    assert_eq!(preview["request"]["body"], r#"{"number":1}"#, "{preview:#}");
    assert_eq!(preview["steps"].as_array().unwrap().len(), 2);

    publish(&client, 0..4).await;
    let arrival = receiver.next().await;
    let body = String::from_utf8(arrival.body.to_vec()).unwrap();
    let numbers: BTreeSet<&str> = body.lines().collect();
    assert_eq!(numbers, [r#"{"number":0}"#, r#"{"number":1}"#, r#"{"number":2}"#].into());
    assert_eq!((arrival.header("content-type"), arrival.header("x-events")), ("application/x-ndjson", "3"));
    assert_eq!(arrival.header("x-type"), "hookwright.batch");
    assert_eq!(arrival.header("x-id"), arrival.header("webhook-id"));
    assert_eq!(client.finished("e3").await[0]["state"], "dropped");
    let delivery = client.finished("e1").await.remove(0);
    assert_eq!(delivery["state"], "succeeded");
    let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
    let attempt = client.get(&path).await.expect(200)["attempts"][0].clone();
    let steps = attempt["steps"].as_array().unwrap();
    assert_eq!((steps.len(), &steps[0]["logs"][0]["message"]), (2, &json!("each 1")), "{attempt:#}");
}

#[tokio::test]
async fn what_fails_for_a_request_fails_for_its_events_and_bad_settings_are_refused() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let throws = json!({"max_events": 2, "max_wait_ms": 60_000, "pipeline": steps("throw new Error('no');")});
    let settings = json!({"batch": throws, "retry": {"schedule_s": []}});
    let id = hook(&client, &receiver, settings).await;
    publish(&client, 0..2).await;
    for event in ["e0", "e1"] {
        let delivery = client.finished(event).await.remove(0);
        assert_eq!(delivery["state"], "exhausted");
        let path = format!("/deliveries/{}", delivery["id"].as_str().unwrap());
        let attempt = client.get(&path).await.expect(200)["attempts"][0].clone();
        assert_eq!((&attempt["outcome"], &attempt["step"]), (&json!("faulted"), &json!(0)), "{attempt:#}");
    }
    let drops = json!({"batch": {"pipeline": steps("return null;")}});
    patch_hook(&client, &id, drops).await;
    publish(&client, 2..4).await;
    for event in ["e2", "e3"] {
        assert_eq!(client.finished(event).await[0]["state"], "dropped");
    }
    assert_eq!(receiver.so_far().len(), 0);
    let bad = json!({"max_events": 2, "max_wait_ms": 0, "pipeline": steps("(")});
    let url = receiver.url("/");
    let refused = client.post("/hooks", json!({"url": url, "types": ["*"], "batch": bad})).await.expect(400);
    assert_eq!(refused["pointer"], "/batch/pipeline/0/settings", "{refused}");
    let gone = json!({"max_events": 2, "max_wait_ms": 0, "pipeline": [{"plugin": "gone"}]});
    let refused = client.post("/hooks", json!({"url": url, "types": ["*"], "batch": gone})).await.expect(400);
    assert_eq!(refused["pointer"], "/batch/pipeline/0/plugin");
    patch_hook(&client, &id, json!({"batch": null})).await;
    assert_eq!(client.get(&format!("/hooks/{id}")).await.expect(200)["batch"], json!(null));
}
