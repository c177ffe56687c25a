//! Figures follow what happens.

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::json;

use super::scrape::{Scrape, scrape, scrape_until};
use crate::start::patch_hook;
use crate::{BINARY, engine, hook};

/// By how much series have grown.
fn growth(before: &Scrape, after: &Scrape, expected: &[(&str, f64)]) {
    for (series, growth) in expected {
        let grown = after.value(series) - before.value(series);
        assert!((grown - growth).abs() < 1e-9, "{series} has grown by {grown}, expected {growth}");
    }
}

/// Publishes an event twice, and what conflicts, is invalid or is not there.
async fn publish_one_and_what_is_refused(client: &Client) {
    let event = json!({"id": "one", "type": "u", "data": 1});
    client.post("/events", event.clone()).await.expect(202);
    client.post("/events", event).await.expect(200);
    client.finished("one").await;
    client.post("/events", json!({"id": "one", "type": "u", "data": 2})).await.expect(409);
    client.post("/events", json!({"type": "u"})).await.expect(400);
    client.get("/hooks/hook_1").await.expect(404);
    let batch = client.send(
        "POST",
        "/api/v3/events/batch",
        "{\"type\": 1}",
        &[("content-type", "application/x-ndjson")],
    );
    batch.await.expect(400);
}

#[tokio::test]
async fn events_deliveries_and_requests_are_counted_as_they_end() {
    let (server, client) = engine().await;
    let receiver =
        Receiver::responding(|arrival| Reply::status(if arrival.path == "/fails" { 500 } else { 200 })).await;
    let once = json!({"schedule_s": []});
    hook(&client, &receiver, json!({"retry": once})).await;
    hook(&client, &receiver, json!({"retry": once, "url": receiver.url("/fails")})).await;
    hook(&client, &receiver, json!({"retry": once, "url": "http://127.0.0.1:1/"})).await;
    let filter = json!([{"plugin": "event-filter", "settings": {"pointer": "/n", "equals": 0}}]);
    hook(&client, &receiver, json!({"pipeline": filter})).await;
    let before = scrape(&server).await;
    for number in 1..=3 {
        let event = client.publish("t", json!({"n": number})).await;
        client.finished(&event).await;
    }
    publish_one_and_what_is_refused(&client).await;
    let done = "hookwright_deliveries_finished_total{state=\"dropped\"}";
    let after = scrape_until(&server, |after| after.value(done) - before.value(done) >= 4.0).await;
    let of_route = |method: &str, route: &str, status: u16| {
        format!(
            "http_server_request_duration_seconds_count{{error_type=\"\",http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{status}\"}}"
        )
    };
    growth(
        &before,
        &after,
        &[
            ("hookwright_events_accepted_total{surface=\"v3\"}", 4.0),
            ("hookwright_events_duplicate_total", 1.0),
            ("hookwright_events_rejected_total{reason=\"conflict\"}", 1.0),
            ("hookwright_events_rejected_total{reason=\"invalid\"}", 2.0),
            ("hookwright_events_rejected_total{reason=\"internal\"}", 0.0),
            ("hookwright_attempts_total{outcome=\"succeeded\",status_class=\"2xx\"}", 4.0),
            ("hookwright_attempts_total{outcome=\"rejected\",status_class=\"5xx\"}", 4.0),
            ("hookwright_attempts_total{outcome=\"unreachable\",status_class=\"\"}", 4.0),
            ("hookwright_attempts_total{outcome=\"dropped\",status_class=\"\"}", 4.0),
            ("hookwright_deliveries_finished_total{state=\"succeeded\"}", 4.0),
            ("hookwright_deliveries_finished_total{state=\"exhausted\"}", 8.0),
            (done, 4.0),
            ("hookwright_acceptance_to_arrival_seconds_count", 12.0),
            ("hookwright_plugin_call_seconds_count{plugin=\"event-filter\"}", 4.0),
            ("hookwright_plugin_faults_total{plugin=\"event-filter\",kind=\"failure\"}", 0.0),
            (&of_route("POST", "/api/v3/events", 202), 4.0),
            (&of_route("POST", "/api/v3/events", 200), 1.0),
            (&of_route("POST", "/api/v3/events", 409), 1.0),
            (&of_route("GET", "/api/v3/hooks/{id}", 404), 1.0),
            (
                "http_client_request_duration_seconds_count{error_type=\"\",http_response_status_code=\"2xx\"}",
                4.0,
            ),
            (
                "http_client_request_duration_seconds_count{error_type=\"5xx\",http_response_status_code=\"5xx\"}",
                4.0,
            ),
            (
                "http_client_request_duration_seconds_count{error_type=\"connect\",http_response_status_code=\"\"}",
                4.0,
            ),
        ],
    );
    assert!(after.value("hookwright_plugin_fuel_total{plugin=\"event-filter\"}") > 0.0);
    assert!(after.value("hookwright_commit_rows_sum") > before.value("hookwright_commit_rows_sum"));
    assert!(after.value("hookwright_commit_seconds_count") > before.value("hookwright_commit_seconds_count"));
}

#[tokio::test]
async fn exports_of_traces_are_no_requests_to_receivers() {
    let collector = Receiver::start().await;
    let endpoint = collector.url("");
    let settings =
        [("HOOKWRIGHT_OTLP_ENDPOINT", endpoint.trim_end_matches('/')), ("HOOKWRIGHT_OTLP_SAMPLE_RATIO", "1")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    // The first export has ended when the second one arrives.
    for number in 0..2 {
        client.publish("t", json!(number)).await;
        assert_eq!(collector.next().await.path, "/v1/traces");
    }
    assert_eq!(scrape(&server).await.sum("http_client_request_duration_seconds_count", &[]), 0.0);
}

#[tokio::test]
async fn gauges_show_what_there_is() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = std::sync::Arc::clone(&gate);
    let (server, client) = engine().await;
    let receiver = Receiver::responding(move |arrival| match arrival.path.as_str() {
        "/held" => Reply::Held(std::sync::Arc::clone(&held)),
        _ => Reply::status(500),
    })
    .await;
    hook(&client, &receiver, json!({"types": ["a"], "url": receiver.url("/held")})).await;
    let paused = hook(&client, &receiver, json!({"types": ["b"]})).await;
    let disabled = hook(&client, &receiver, json!({"types": ["c"]})).await;
    client.post("/events", json!({"type": "a", "data": 1})).await.expect(202);
    receiver.next().await;
    // It awaits permission, which counts as paused.
    hook(&client, &receiver, json!({"types": ["d"], "handshake": "cloudevents"})).await;
    patch_hook(&client, &paused, json!({"paused": true})).await;
    patch_hook(&client, &disabled, json!({"enabled": false})).await;
    client.post("/events", json!({"type": "b", "data": 1})).await.expect(202);
    let shown = scrape_until(&server, |scrape| {
        scrape.value("hookwright_deliveries{state=\"pending\"}") == 1.0
            && scrape.value("hookwright_hooks{state=\"disabled\"}") == 1.0
    })
    .await;
    for (series, expected) in [
        ("hookwright_requests_in_flight", 1.0),
        ("hookwright_deliveries{state=\"delivering\"}", 1.0),
        ("hookwright_deliveries{state=\"queued\"}", 0.0),
        ("hookwright_hooks{state=\"ok\"}", 1.0),
        ("hookwright_hooks{state=\"paused\"}", 2.0),
        ("hookwright_hooks{state=\"failing\"}", 0.0),
        ("hookwright_tenants_waiting", 0.0),
        // What is held is not the engine's delay.
        ("hookwright_oldest_due_seconds", 0.0),
        ("hookwright_nodes", 1.0),
        ("hookwright_fenced", 0.0),
        ("hookwright_engine_paused", 0.0),
        ("hookwright_compile_queue", 0.0),
    ] {
        let value = shown.value(series);
        assert!((value - expected).abs() < 1e-9, "{series} is {value}, expected {expected}");
    }
    for series in [
        "hookwright_requests_in_flight_limit",
        "hookwright_database_bytes",
        "hookwright_disk_free_bytes",
        "hookwright_disk_size_bytes",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(shown.value(series) > 0.0, "{series}");
    }
    assert!(shown.sum("hookwright_build_info", &["version=\"0.1.0\"", "commit=", "schema="]) == 1.0);
    gate.notify_waiters();
}

#[tokio::test]
async fn failing_hooks_and_a_paused_engine_show() {
    let (server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    hook(&client, &receiver, json!({})).await;
    client.post("/events", json!({"type": "t", "data": 1})).await.expect(202);
    scrape_until(&server, |scrape| scrape.value("hookwright_deliveries{state=\"waiting\"}") == 1.0).await;
    for number in 0..20 {
        client.post("/events", json!({"type": "t", "data": number})).await.expect(202);
    }
    let unwell = |scrape: &Scrape| {
        ["failing", "circuit_open"]
            .map(|state| scrape.value(&format!("hookwright_hooks{{state=\"{state}\"}}")))
            .iter()
            .sum::<f64>()
    };
    scrape_until(&server, |scrape| unwell(scrape) == 1.0).await;
    let headers = [("content-type", "application/merge-patch+json")];
    server.operator().send("PATCH", "/api/v3/engine", "{\"paused\": true}", &headers).await.expect(200);
    let paused = |scrape: &Scrape| {
        scrape.value("hookwright_engine_paused") == 1.0
            && scrape.value("hookwright_hooks{state=\"paused\"}") == 1.0
    };
    scrape_until(&server, paused).await;
}

#[tokio::test]
async fn a_wrong_key_counts() {
    let server = Server::start(BINARY).await;
    let wrong = hookwright_tests::Client::new(server.base(), "wrong");
    wrong.get("/hooks").await.expect(401);
    assert_eq!(scrape(&server).await.value("hookwright_failed_logins_total"), 1.0);
}

#[tokio::test]
async fn tenants_are_told_apart_if_the_operator_asks() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_METRICS_PER_TENANT", "true")]).await;
    let receiver = Receiver::start().await;
    for (name, events) in [("acme", 2), ("globex", 1)] {
        let client = server.tenant(name).await;
        hook(&client, &receiver, json!({})).await;
        for number in 0..events {
            let event = client.publish("t", json!({"n": number})).await;
            client.finished(&event).await;
        }
    }
    let succeeded =
        |name: &str| format!("hookwright_tenant_attempts_total{{tenant=\"{name}\",outcome=\"succeeded\"}}");
    let shown = scrape_until(&server, |shown| shown.value(&succeeded("globex")) >= 1.0).await;
    let expected = [
        ("hookwright_tenant_events_accepted_total{tenant=\"acme\"}".to_owned(), 2.0),
        ("hookwright_tenant_events_accepted_total{tenant=\"globex\"}".to_owned(), 1.0),
        (succeeded("acme"), 2.0),
        (succeeded("globex"), 1.0),
        (succeeded(""), 0.0),
    ];
    for (series, value) in expected {
        assert!((shown.value(&series) - value).abs() < 1e-9, "{series}");
    }
}
