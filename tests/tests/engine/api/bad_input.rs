//! Invalid requests: the response says what is wrong and where, and nothing changes.

use hookwright_tests::{Client, Receiver, without_last_use};
use serde_json::{Value, json};

use crate::{engine, hook};

/// A request that must be refused: method, path, content type, body; then the expected status and the `pointer` or
/// `parameter` of the response, if any.
type Case = (&'static str, &'static str, &'static str, Vec<u8>, u16, Option<&'static str>);

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";

fn event_cases() -> Vec<Case> {
    let post = |body: &str, status, place| ("POST", "/events", JSON, body.as_bytes().to_vec(), status, place);
    let deep = format!(r#"{{"type": "t", "data": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    let long = format!(r#"{{"type": "{}", "data": 1}}"#, "t".repeat(300));
    let huge = format!(r#"{{"type": "t", "data": "{}"}}"#, "x".repeat(1_100_000));
    vec![
        post("", 400, None),
        post("{", 400, None),
        post("[]", 400, None),
        post("null", 400, None),
        post("not json", 400, None),
        post(r#"{"type": "t", "data": 1} trailing"#, 400, None),
        post(r#"{"type": "t", "data": {"a": }}"#, 400, None),
        post(r#"{"type": "t"}"#, 400, None),
        post(r#"{"data": 1}"#, 400, None),
        post(r#"{"type": 7, "data": 1}"#, 400, Some("/type")),
        post(r#"{"type": null, "data": 1}"#, 400, Some("/type")),
        post(r#"{"type": "", "data": 1}"#, 400, Some("/type")),
        post(r#"{"type": "a b", "data": 1}"#, 400, Some("/type")),
        post(r#"{"type": "a*", "data": 1}"#, 400, Some("/type")),
        post(&long, 400, Some("/type")),
        post(r#"{"type": "t", "data": 1, "typo": 1}"#, 400, Some("/typo")),
        post(r#"{"type": "t", "data": 1, "a/b~c": 1}"#, 400, Some("/a~1b~0c")),
        post(r#"{"type": "t", "data": 1, "id": ""}"#, 400, Some("/id")),
        post(r#"{"type": "t", "data": 1, "id": "a b"}"#, 400, Some("/id")),
        post(r#"{"type": "t", "data": 1, "id": "evt_0123456789abc"}"#, 400, Some("/id")),
        post(r#"{"type": "t", "data": 1, "id": 5}"#, 400, Some("/id")),
        post(r#"{"type": "t", "data": 1, "occurred_at": "yesterday"}"#, 400, Some("/occurred_at")),
        post(r#"{"type": "t", "data": 1, "occurred_at": 5}"#, 400, Some("/occurred_at")),
        post(r#"{"type": "t", "data": 1, "project": "x"}"#, 400, Some("/project")),
        post(r#"{"type": "t", "data": 1, "project": 99}"#, 400, Some("/project")),
        post(r#"{"type": "t", "data": 1, "type": "u"}"#, 400, None),
        post(r#"{"type": "t", "data": "\ud800"}"#, 400, None),
        post(&deep, 400, None),
        post(&huge, 413, None),
        ("POST", "/events", JSON, b"{\"type\": \"t\", \"data\": \"\xff\"}".to_vec(), 400, None),
        ("POST", "/events", "text/plain", br#"{"type": "t", "data": 1}"#.to_vec(), 415, None),
        ("POST", "/events?x=1", JSON, br#"{"type": "t", "data": 1}"#.to_vec(), 400, Some("x")),
        ("POST", "/events/batch", NDJSON, b"".to_vec(), 400, None),
        (
            "POST",
            "/events/batch",
            NDJSON,
            b"{\"type\":\"t\",\"data\":1}\n{\"type\":\"t\"}".to_vec(),
            400,
            Some("/2"),
        ),
        (
            "POST",
            "/events/batch",
            NDJSON,
            b"{\"type\":\"t\",\"data\":1}\n{\"type\":5,\"data\":1}".to_vec(),
            400,
            Some("/2/type"),
        ),
        (
            "POST",
            "/events/batch",
            NDJSON,
            b"{\"type\":\"t\",\"data\":1}\nnonsense\n".to_vec(),
            400,
            Some("/2"),
        ),
        ("POST", "/events/batch", NDJSON, b"{\"type\":\"t\",\"data\":1}\n".repeat(10_001), 413, None),
        ("POST", "/events/batch", NDJSON, vec![b'\n'; 17 * 1024 * 1024], 413, None),
        ("GET", "/events/evt_nonsense", JSON, vec![], 404, None),
        ("GET", "/events/evt_0000000000000", JSON, vec![], 404, None),
        ("PUT", "/events", JSON, vec![], 405, None),
    ]
}

/// Creates a case in which a hook with these members is refused at `place`.
fn hook_with(more: Value, place: &'static str) -> Case {
    let mut body = json!({"url": "https://example.com/", "types": ["*"]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    ("POST", "/hooks", JSON, body.to_string().into_bytes(), 400, Some(place))
}

fn hook_cases() -> Vec<Case> {
    let with = hook_with;
    let post = |body: Value| ("POST", "/hooks", JSON, body.to_string().into_bytes(), 400, None);
    vec![
        post(json!({})),
        with(json!({"project": 99}), "/project"),
        with(json!({"project": "7"}), "/project"),
        with(json!({"surface": "apizee"}), "/surface"),
        post(json!({"url": "https://example.com/"})),
        with(json!({"url": "example.com"}), "/url"),
        with(json!({"url": "ftp://example.com/"}), "/url"),
        with(json!({"url": "https://user:pass@example.com/"}), "/url"),
        with(json!({"url": "https://example.com/#part"}), "/url"),
        with(json!({"url": "https:///path"}), "/url"),
        with(json!({"url": format!("https://example.com/{}", "a".repeat(3000))}), "/url"),
        with(json!({"url": 5}), "/url"),
        with(json!({"types": []}), "/types"),
        with(json!({"types": "t"}), "/types"),
        with(json!({"types": ["a", "*b"]}), "/types/1"),
        with(json!({"types": [5]}), "/types/0"),
        with(json!({"enabled": "yes"}), "/enabled"),
        with(json!({"headers": {"a b": "x"}}), "/headers/a b"),
        with(json!({"headers": {"X": "a\nb"}}), "/headers/X"),
        with(json!({"headers": {"Host": "x"}}), "/headers/Host"),
        with(json!({"headers": {"Webhook-Id": "x"}}), "/headers/Webhook-Id"),
        with(json!({"headers": {"X": 5}}), "/headers/X"),
        with(json!({"headers": []}), "/headers"),
    ]
}

fn pipeline_and_delivery_option_cases() -> Vec<Case> {
    let with = hook_with;
    vec![
        with(json!({"pipeline": {}}), "/pipeline"),
        with(json!({"pipeline": [{}]}), "/pipeline/0"),
        with(json!({"pipeline": [{"plugin": "no-such-plugin"}]}), "/pipeline/0/plugin"),
        with(json!({"pipeline": [{"plugin": "field-map@0"}]}), "/pipeline/0/plugin"),
        with(json!({"pipeline": [{"plugin": "field-map@99"}]}), "/pipeline/0/plugin"),
        with(json!({"pipeline": [{"plugin": "sha256:12"}]}), "/pipeline/0/plugin"),
        with(json!({"pipeline": [{"plugin": "Bad Name"}]}), "/pipeline/0/plugin"),
        with(json!({"pipeline": [{"plugin": "field-map", "settings": []}]}), "/pipeline/0/settings"),
        with(json!({"pipeline": [{"plugin": "field-map", "setings": {}}]}), "/pipeline/0/setings"),
        with(
            json!({"pipeline": [{"plugin": "field-map", "settings": {"dorp": ["/a"]}}]}),
            "/pipeline/0/settings",
        ),
        with(
            json!({"pipeline": [
                {"plugin": "event-filter", "settings": {"pointer": "/a", "exists": true}},
                {"plugin": "javascript", "settings": {"script": "return {"}},
            ]}),
            "/pipeline/1/settings",
        ),
        with(
            json!({"pipeline": [{"plugin": "body-template", "settings": {"template": "{% if %}"}}]}),
            "/pipeline/0/settings",
        ),
        with(json!({"timeout_ms": 0}), "/timeout_ms"),
        with(json!({"timeout_ms": 100_000_000}), "/timeout_ms"),
        with(json!({"timeout_ms": -5}), "/timeout_ms"),
        with(json!({"timeout_ms": 1.5}), "/timeout_ms"),
        with(json!({"retry": {"schedule_s": [0]}}), "/retry/schedule_s/0"),
        with(json!({"retry": {"schedule_s": ["x"]}}), "/retry/schedule_s/0"),
        with(json!({"retry": {"schedule": [1]}}), "/retry/schedule"),
        with(json!({"signing": "rsa"}), "/signing"),
        with(json!({"secret": "whsec_short"}), "/secret"),
        with(json!({"id": "hook_0000000000001"}), "/id"),
        with(json!({"uurl": "x"}), "/uurl"),
    ]
}

fn path_and_query_cases() -> Vec<Case> {
    vec![
        ("GET", "/hooks?limit=0", JSON, vec![], 400, Some("limit")),
        ("GET", "/hooks?limit=251", JSON, vec![], 400, Some("limit")),
        ("GET", "/hooks?limit=ten", JSON, vec![], 400, Some("limit")),
        ("GET", "/hooks?cursor=nonsense", JSON, vec![], 400, Some("cursor")),
        ("GET", "/hooks/nonsense", JSON, vec![], 404, None),
        ("DELETE", "/hooks/hook_0000000000000", JSON, vec![], 404, None),
        ("GET", "/deliveries?state=lost", JSON, vec![], 400, Some("state")),
        ("GET", "/deliveries?since=today", JSON, vec![], 400, Some("since")),
        ("GET", "/deliveries?hook=nonsense", JSON, vec![], 400, Some("hook")),
        ("GET", "/deliveries?colour=red", JSON, vec![], 400, Some("colour")),
        ("GET", "/deliveries?until=9999-12-31T23:59:59Z", JSON, vec![], 400, Some("until")),
        (
            "GET",
            "/deliveries?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z",
            JSON,
            vec![],
            400,
            Some("until"),
        ),
        ("POST", "/deliveries/dlv_0000000000000/retry", JSON, vec![], 404, None),
        ("POST", "/deliveries/dlv_0000000000000/retry", JSON, b"{{".to_vec(), 400, None),
        (
            "POST",
            "/deliveries/dlv_0000000000000/cancel",
            JSON,
            br#"{"reason": "x"}"#.to_vec(),
            400,
            Some("/reason"),
        ),
        ("GET", "/no/such/route", JSON, vec![], 404, None),
        (
            "POST",
            "/keys",
            JSON,
            br#"{"name": "k", "scopes": ["everything"]}"#.to_vec(),
            400,
            Some("/scopes/0"),
        ),
        ("POST", "/keys", JSON, br#"{"scopes": []}"#.to_vec(), 400, None),
        ("POST", "/projects", JSON, br#"{"id": "x", "name": "p"}"#.to_vec(), 400, Some("/id")),
        ("POST", "/projects", JSON, br#"{"id": 0, "name": "p"}"#.to_vec(), 400, Some("/id")),
    ]
}

fn plugin_cases() -> Vec<Case> {
    let put =
        |bytes: &[u8], status| ("PUT", "/plugins/mine", "application/wasm", bytes.to_vec(), status, None);
    let run =
        |body: &str, place| ("POST", "/plugins/field-map/run", JSON, body.as_bytes().to_vec(), 400, place);
    vec![
        put(b"", 400),
        put(b"\0asm", 400),
        put(b"\0asm\x01\0\0\0", 400),
        put(b"\0asm\x0d\0\x01\0", 400),
        put(b"\0asm\x0d\0\x01\0\xff\xff\xff", 400),
        put(b"(component)", 400),
        put(b"#!/bin/sh\necho hello\n", 400),
        put(b"export function handle() {}", 400),
        put(&[0; 100_000], 400),
        ("PUT", "/plugins/Not%20A%20Name", "application/wasm", b"x".to_vec(), 400, None),
        (
            "PUT",
            "/plugins/field-map",
            "application/wasm",
            hookwright::directory::STANDARD_PLUGINS[0].wasm.to_vec(),
            409,
            None,
        ),
        ("DELETE", "/plugins/field-map", JSON, vec![], 409, None),
        ("GET", "/plugins/none-such", JSON, vec![], 404, None),
        run("{}", None),
        run(r#"{"event": 5}"#, Some("/event")),
        run(r#"{"event": {"type": "t"}}"#, Some("/event")),
        run(r#"{"event": {"type": "t", "data": 1}, "settings": 5}"#, Some("/settings")),
    ]
}

async fn everything(client: &Client) -> Vec<Value> {
    let mut all = Vec::new();
    for path in ["/hooks", "/deliveries", "/plugins", "/keys", "/projects"] {
        all.push(without_last_use(client.get(path).await.expect(200)));
    }
    all
}

#[tokio::test]
async fn each_invalid_request_is_refused_with_its_location_and_changes_nothing() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let before = everything(&client).await;
    let cases = [
        event_cases(),
        hook_cases(),
        pipeline_and_delivery_option_cases(),
        path_and_query_cases(),
        plugin_cases(),
    ];
    for (method, path, content_type, body, status, place) in cases.into_iter().flatten() {
        let shown = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
        let case = format!("{method} {path} {shown}");
        let headers = [("content-type", content_type)];
        let response = client.send(method, &format!("/api/v3{path}"), body, &headers).await;
        let problem = response.json();
        assert_eq!(response.status, status, "{case}: {problem}");
        assert_eq!(response.headers["content-type"], "application/problem+json", "{case}");
        assert_eq!(problem["status"], status, "{case}");
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{case}: {problem}");
        }
        let named = problem["pointer"].as_str().or(problem["parameter"].as_str());
        if place.is_some() {
            assert_eq!(named, place, "{case}: {problem}");
        }
    }
    assert_eq!(everything(&client).await, before);
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn missing_and_wrong_keys_are_refused_alike() {
    let (server, client) = engine().await;
    for (name, client) in [
        ("none", client.clone().without_key()),
        ("empty", client.clone().without_key().with_header("authorization", "Bearer ")),
        ("another scheme", client.clone().without_key().with_header("authorization", "Basic YTpi")),
        ("unknown", Client::new(server.base(), "hwk_0000")),
    ] {
        for path in ["/hooks", "/tenants", "/events/evt_0000000000000"] {
            let response = client.get(path).await;
            assert_eq!(response.status, 401, "{name} {path}");
            assert_eq!(response.headers["www-authenticate"], "Bearer", "{name} {path}");
        }
    }
    client.post("/tenants", json!({"name": "another"})).await.expect(403);
    let scoped =
        client.post("/keys", json!({"name": "events only", "scopes": ["events:write"]})).await.expect(201);
    let scoped = Client::new(server.base(), scoped["key"].as_str().unwrap());
    scoped.post("/events", json!({"type": "t", "data": 1})).await.expect(202);
    let refused = scoped.get("/hooks").await.expect(403);
    assert!(refused["detail"].as_str().unwrap().contains("hooks:read"), "{refused}");
    let dry = client.post("/keys", json!({"name": "dry", "scopes": ["plugins:read"]})).await.expect(201);
    let dry = Client::new(server.base(), dry["key"].as_str().unwrap());
    let event = client.publish("t", json!({"secret": 1})).await;
    let refused = dry.post("/plugins/cloudevents/run", json!({"event": event})).await.expect(403);
    assert!(refused["detail"].as_str().unwrap().contains("events:read"), "{refused}");
}

/// PostgreSQL has no text with U+0000. What would be stored is refused, or accepted where it is escaped; nothing with such a
/// name is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_null_character_is_never_a_failure_of_the_engine() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let hook = hook(&client, &receiver, json!({})).await;
    let zero = "a\0b";
    for (method, path, body) in [
        ("POST", "/events", json!({"type": zero, "data": 1})),
        ("POST", "/events", json!({"type": "t", "id": zero, "data": 1})),
        ("POST", "/events", json!({"type": "t", "data": {zero: zero}})),
        ("POST", "/keys", json!({"name": zero})),
        ("POST", "/projects", json!({"id": 1, "name": zero})),
        ("POST", "/logins", json!({"name": zero})),
        ("POST", "/hooks", json!({"url": url, "types": [zero]})),
        ("POST", "/hooks", json!({"url": url, "types": ["*"], "description": zero})),
        ("POST", "/hooks", json!({"url": url, "types": ["*"], "headers": {"x-a": zero}})),
        ("POST", "/hooks", json!({"url": url, "types": ["*"], "headers": {zero: "a"}})),
        ("POST", "/hooks", json!({"url": format!("{url}{zero}"), "types": ["*"]})),
        ("POST", "/hooks", json!({"url": url, "types": ["*"], "authorization": zero})),
        (
            "POST",
            "/hooks",
            json!({"url": url, "types": ["*"], "pipeline": [{"plugin": "field-map", "settings": {zero: zero}}]}),
        ),
        ("POST", "/hooks", json!({"url": url, "types": ["*"], "pipeline": [{"plugin": zero}]})),
        ("GET", "/events/a%00b", Value::Null),
        ("GET", "/events/a%00b/deliveries", Value::Null),
        ("GET", "/deliveries?type=a%00b", Value::Null),
        ("GET", "/deliveries?cursor=a%00b", Value::Null),
        ("GET", "/plugins/a%00b", Value::Null),
        ("DELETE", "/logins/a%00b", Value::Null),
        ("DELETE", "/keys/a%00b", Value::Null),
        ("GET", "/tenants/a%00b", Value::Null),
        ("PUT", "/apizee/webhook", json!({"url": url, "headers": {"x-a": zero}})),
        ("PUT", "/apizee/webhook", json!({"url": url, "types": [zero]})),
        (
            "POST",
            "/api/v2/hooks",
            json!({"event": zero, "action": {"type": "web", "url": url, "method": "POST"}}),
        ),
        (
            "POST",
            "/api/v2/hooks",
            json!({"event": "t", "description": zero, "action": {"type": "web", "url": url, "method": "POST",
                "headers": {"x-a": zero}, "data": zero}, "filter": {zero: {"operation": "==", "value": zero}},
                "fields": [zero], "map": {zero: zero}, zero: zero}),
        ),
        ("GET", "/api/v2/hooks/a%00b?domain=a%00b", Value::Null),
        ("DELETE", "/api/v2/hooks/a%00b", Value::Null),
        ("GET", "/api/v1/projects/1/web_hook/events/a%00b", Value::Null),
    ] {
        let path = if path.starts_with("/api/") { path.to_owned() } else { format!("/api/v3{path}") };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = client.send(method, &path, body.clone(), &[]).await;
        let text = String::from_utf8_lossy(&response.bytes);
        assert!(response.status < 500, "{method} {path} {body}: {} {text}", response.status);
    }
    let named = json!({"name": zero}).to_string();
    let response = server.operator().send("POST", "/api/v3/tenants", named, &[]).await;
    assert_eq!(response.status, 400);
    assert!(client.get(&format!("/hooks/{hook}")).await.status == 200);
}
