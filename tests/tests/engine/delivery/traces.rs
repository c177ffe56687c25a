//! The trace that a publisher's request is a part of goes on to receivers (W3C Trace Context).

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hookwright_tests::{Arrival, Receiver, Reply};
use serde_json::json;

use crate::{engine, hook};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The span in the request, which must be a part of the trace.
fn span(arrival: &Arrival) -> String {
    let parent = arrival.header("traceparent");
    let span = parent.strip_prefix(&format!("00-{TRACE}-")).and_then(|rest| rest.strip_suffix("-01"));
    assert_eq!(arrival.header("tracestate"), "a=1,b=2");
    span.unwrap_or_else(|| panic!("`{parent}` is no part of the trace")).to_owned()
}

#[tokio::test]
async fn each_attempt_has_a_span_of_its_own_in_the_publishers_trace_also_after_a_restart() {
    let (mut server, client) = engine().await;
    let count = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::status(500),
        _ => Reply::status(200),
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [1]}})).await;
    let traced = client.clone().with_header("traceparent", PARENT).with_header("tracestate", "a=1");
    let traced = traced.with_header("tracestate", "b=2");
    traced.publish("t", json!(1)).await;
    let spans = [span(&receiver.next().await), span(&receiver.next().await)];
    assert!(spans[0] != spans[1] && !spans.contains(&"b7ad6b7169203331".to_owned()), "{spans:?}");

    // What is stored with the event is all that a later process knows.
    server.operator().patch("/engine", json!({"paused": true})).await.expect(200);
    let lines = "{\"type\":\"t\",\"data\":2}\n{\"type\":\"t\",\"data\":3}\n";
    let batch = [("content-type", "application/x-ndjson")];
    traced.send("POST", "/api/v3/events/batch", lines, &batch).await.expect(202);
    assert_eq!(server.terminate().await, Some(0));
    let server = server.restart().await;
    server.operator().patch("/engine", json!({"paused": false})).await.expect(200);
    let spans = [span(&receiver.next().await), span(&receiver.next().await)];
    assert_ne!(spans[0], spans[1]);
}

#[tokio::test]
async fn an_event_without_a_trace_or_with_a_malformed_one_sends_none() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    client.publish("t", json!(1)).await;
    client.clone().with_header("traceparent", "00-0-0-01").publish("t", json!(2)).await;
    let twice = client.clone().with_header("traceparent", PARENT).with_header("traceparent", PARENT);
    twice.publish("t", json!(3)).await;
    for _ in 0..3 {
        assert_eq!(receiver.next().await.header("traceparent"), "");
    }
}
