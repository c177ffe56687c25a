//! Traces are exported by OTLP, to a collector on a socket.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use hookwright_tests::{Arrival, Client, Receiver, Reply, Server};
use serde_json::json;

use super::otlp::{self, TraceSpan};
use crate::{BINARY, hook};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// What a collector has got.
struct Collector(Receiver);

impl Collector {
    async fn engine(self, settings: &[(&str, &str)]) -> (Self, Server, Client) {
        let endpoint = self.0.url("");
        let own = [
            ("HOOKWRIGHT_OTLP_ENDPOINT", endpoint.trim_end_matches('/')),
            ("HOOKWRIGHT_OTLP_HEADERS", "authorization=Bearer abc, x-scope=1"),
            ("HOOKWRIGHT_OTLP_SAMPLE_RATIO", "0"),
        ];
        let server = Server::start_with(BINARY, &[&own, settings].concat()).await;
        let client = server.tenant("acme").await;
        (self, server, client)
    }

    /// The spans of the next requests, once there are `count`.
    async fn spans(&self, count: usize) -> Vec<TraceSpan> {
        let mut spans = Vec::new();
        while spans.len() < count {
            spans.extend(decoded(&self.0.next().await));
        }
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans
    }
}

fn decoded(arrival: &Arrival) -> Vec<TraceSpan> {
    assert_eq!((&*arrival.method, &*arrival.path), ("POST", "/v1/traces"));
    assert_eq!(arrival.header("content-type"), "application/x-protobuf");
    assert_eq!((arrival.header("authorization"), arrival.header("x-scope")), ("Bearer abc", "1"));
    otlp::spans(&arrival.body, "hookwright")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn one<'s>(spans: &'s [TraceSpan], name: &str) -> &'s TraceSpan {
    let mut found = spans.iter().filter(|span| span.name == name);
    let span = found.next().unwrap_or_else(|| panic!("no span `{name}`: {spans:#?}"));
    assert!(found.next().is_none(), "several spans `{name}`: {spans:#?}");
    span
}

#[tokio::test]
async fn an_event_has_one_trace_from_its_publisher_to_its_receiver() {
    let (collector, _server, client) = Collector(Receiver::start().await).engine(&[]).await;
    let receiver = Receiver::start().await;
    hook(
        &client,
        &receiver,
        json!({"pipeline": [{"plugin": "cloudevents", "settings": {"mode": "structured", "source": "/shop"}}]}),
    )
    .await;
    let traced = client.clone().with_header("traceparent", PARENT).with_header("tracestate", "a=1");
    let event = traced.publish("order.paid", json!({"n": 1})).await;
    let arrival = receiver.next().await;
    let delivery = client.finished(&event).await.remove(0);

    let spans = collector.spans(4).await;
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE && span.trace_state == "a=1"), "{spans:#?}");
    assert!(spans.iter().all(|span| span.start_ns <= span.end_ns), "{spans:#?}");
    let server = one(&spans, "POST /api/v3/events");
    assert_eq!(server.kind, otlp::SERVER);
    assert_eq!(hex(&server.parent_span_id), "b7ad6b7169203331");
    let shown = &server.attributes;
    assert_eq!((&*shown["http.route"], &*shown["http.response.status_code"]), ("/api/v3/events", "202"));

    let deliver = one(&spans, "deliver");
    assert_eq!(deliver.kind, otlp::CONSUMER);
    assert_eq!(deliver.parent_span_id, server.span_id);
    assert_eq!(deliver.links[0], server.span_id);
    let shown = &deliver.attributes;
    assert_eq!(shown["messaging.message.id"], event);
    assert_eq!(json!(shown["hookwright.delivery"]), delivery["id"]);
    assert_eq!((&*shown["hookwright.attempt"], &*shown["hookwright.outcome"]), ("1", "response"));

    let plugin = one(&spans, "run plugin");
    assert_eq!((plugin.kind, &plugin.parent_span_id), (otlp::INTERNAL, &deliver.span_id));
    assert_eq!(plugin.attributes["hookwright.plugin"], "cloudevents");
    let request = one(&spans, "POST");
    assert_eq!((request.kind, &request.parent_span_id), (otlp::CLIENT, &deliver.span_id));
    assert_eq!(arrival.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    let shown = &request.attributes;
    assert_eq!((&*shown["server.address"], &*shown["http.response.status_code"]), ("127.0.0.1", "200"));
    assert!(plugin.end_ns <= request.start_ns, "{spans:#?}");
    assert!(spans.iter().all(|span| span.status.is_none()), "{spans:#?}");
}

#[tokio::test]
async fn failures_are_errors_and_each_attempt_has_spans() {
    let (collector, _server, client) = Collector(Receiver::start().await).engine(&[]).await;
    let count = AtomicUsize::new(0);
    let receiver = Receiver::responding(move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::status(503),
        _ => Reply::status(200),
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [1]}})).await;
    client.clone().with_header("traceparent", PARENT).publish("t", json!(1)).await;
    let spans = collector.spans(5).await;
    let deliveries: Vec<&TraceSpan> = spans.iter().filter(|span| span.name == "deliver").collect();
    let error = |span: &TraceSpan| span.attributes.get("error.type").cloned();
    assert_eq!(deliveries.iter().map(|span| error(span)).collect::<Vec<_>>(), [Some("503".to_owned()), None]);
    let status = deliveries[0].status.as_ref().unwrap();
    assert_eq!((status.0, &*status.1), (2, "the receiver answered with status 503"));
    let resent: Vec<&TraceSpan> = spans.iter().filter(|span| span.name == "POST").collect();
    assert_eq!(resent[1].attributes["http.request.resend_count"], "1");
}

#[tokio::test]
async fn an_attempt_has_ended_when_its_hook_is_disabled_for_it() {
    let (collector, _server, client) = Collector(Receiver::start().await).engine(&[]).await;
    let receiver = Receiver::responding(|_| Reply::status(410)).await;
    let id = hook(&client, &receiver, json!({})).await;
    client.clone().with_header("traceparent", PARENT).publish("t", json!(1)).await;
    let spans = collector.spans(3).await;
    let state = client.get(&format!("/hooks/{id}")).await.expect(200)["state"].clone();
    let disabled_at: jiff::Timestamp = state["since"].as_str().unwrap().parse().unwrap();
    for name in ["deliver", "POST"] {
        let ended_at = i128::from(one(&spans, name).end_ns);
        assert!(ended_at <= disabled_at.as_nanosecond(), "{name}: {ended_at}, {state}");
    }
}

#[tokio::test]
async fn the_publisher_decides_what_is_sampled_and_without_it_the_ratio() {
    let always = [("HOOKWRIGHT_OTLP_SAMPLE_RATIO", "1")];
    let (collector, mut server, client) = Collector(Receiver::start().await).engine(&always).await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    client.clone().with_header("traceparent", UNSAMPLED).publish("t", json!(1)).await;
    let unsampled = receiver.next().await.header("traceparent").to_owned();
    assert!(unsampled.starts_with(&format!("00-{TRACE}-")) && unsampled.ends_with("-00"), "{unsampled}");
    let event = client.publish("t", json!(2)).await;
    let arrival = receiver.next().await;
    client.finished(&event).await;
    // The last spans are exported at the end.
    assert_eq!(server.terminate().await, Some(0));
    let spans = collector.spans(3).await;
    let root = one(&spans, "POST /api/v3/events");
    assert!(root.parent_span_id.is_empty(), "{root:#?}");
    let request = one(&spans, "POST");
    let expected = format!("00-{}-{}-01", hex(&root.trace_id), hex(&request.span_id));
    assert_eq!(arrival.header("traceparent"), expected);
}

#[tokio::test]
async fn a_request_with_several_events_is_in_a_trace_that_is_recorded_and_the_others_link_to_it() {
    let (collector, _server, client) = Collector(Receiver::start().await).engine(&[]).await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({"batch": {"max_events": 3, "max_wait_ms": 60_000}})).await;
    let other = |trace: u8, flag: &str| format!("00-{trace:032x}-b7ad6b7169203331-{flag}");
    for parent in [&other(1, "00"), PARENT, &other(2, "01")] {
        client.clone().with_header("traceparent", parent).publish("t", json!(1)).await;
    }
    let arrival = receiver.next().await;
    // Two requests that published, two deliveries, and what was sent.
    let spans = collector.spans(5).await;
    let request = one(&spans, "POST");
    assert_eq!(arrival.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    let (own, others): (Vec<_>, Vec<_>) =
        spans.iter().filter(|span| span.name == "deliver").partition(|span| hex(&span.trace_id) == TRACE);
    assert_eq!(request.parent_span_id, own[0].span_id);
    assert!(!own[0].links.contains(&request.span_id) && others[0].links.contains(&request.span_id));
}

#[tokio::test]
async fn a_request_with_several_events_is_in_one_of_their_traces() {
    let (collector, _server, client) = Collector(Receiver::start().await).engine(&[]).await;
    let receiver = Receiver::start().await;
    let batch = json!({"batch": {"max_events": 2, "max_wait_ms": 60_000}});
    hook(&client, &receiver, batch).await;
    client.publish("t", json!(1)).await;
    client.clone().with_header("traceparent", PARENT).publish("t", json!(2)).await;
    let arrival = receiver.next().await;
    let spans = collector.spans(3).await;
    let request = one(&spans, "POST");
    assert_eq!(arrival.header("traceparent"), format!("00-{TRACE}-{}-01", hex(&request.span_id)));
    assert_eq!(request.parent_span_id, one(&spans, "deliver").span_id);
}

#[tokio::test]
async fn a_collector_that_fails_is_tried_again_and_one_that_is_away_holds_up_nothing() {
    let count = AtomicUsize::new(0);
    let failing = Receiver::responding(move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::status(503),
        _ => Reply::status(200),
    });
    let (collector, _server, client) = Collector(failing.await).engine(&[]).await;
    client.clone().with_header("traceparent", PARENT).publish("t", json!(1)).await;
    let first = decoded(&collector.0.next().await);
    assert_eq!(first, decoded(&collector.0.next().await), "the same spans once more");

    let (collector, mut server, client) = Collector(Receiver::start().await).engine(&[]).await;
    drop(collector);
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let event = client.clone().with_header("traceparent", PARENT).publish("t", json!(1)).await;
    client.finished(&event).await;
    assert_eq!(server.terminate().await, Some(0));
}
