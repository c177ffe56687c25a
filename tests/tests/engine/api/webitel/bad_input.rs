//! Invalid requests: the response says which member is wrong and why, and nothing changes.

use hookwright_tests::Receiver;
use serde_json::{Value, json};

use super::{DOMAIN, call, create, hook, raw_call, refused, text, webitel};

/// Members that make a hook invalid, and the message after "Bad request: ".
fn members() -> Vec<(Value, String)> {
    let object = "must be an object without duplicate members";
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("X-{n}"), json!("v"))).collect();
    let very_many: serde_json::Map<_, _> =
        (0..200_000).map(|n| (format!("m{n}"), json!("a value"))).collect();
    let mut cases = vec![
        (json!({"event": 5}), "event must be a string".to_owned()),
        (json!({"event": ["E"]}), "event must be a string".to_owned()),
        (json!({"event": "A B"}), "event: an event type must have".to_owned()),
        (json!({"event": "*"}), "event: an event type must have".to_owned()),
        (json!({"event": "CHANNEL_*"}), "event: an event type must have".to_owned()),
        (json!({"event": "e".repeat(257)}), "event: an event type must have".to_owned()),
        (json!({"enable": "true"}), "enable must be true or false".to_owned()),
        (json!({"enable": 1}), "enable must be true or false".to_owned()),
        (json!({"description": 5}), "description must be a string".to_owned()),
        (json!({"description": "d".repeat(4_097)}), "description must be at most 4,096 bytes".to_owned()),
        (json!({"action": "web"}), format!("action {object}")),
        (json!({"action": []}), format!("action {object}")),
        (json!({"fields": {}}), "fields must be an array of strings".to_owned()),
        (json!({"fields": "a,b"}), "fields must be an array of strings".to_owned()),
        (json!({"fields": ["a", 5]}), "fields must be an array of strings".to_owned()),
        (json!({"map": ["a"]}), format!("map {object}")),
        (json!({"map": {"a": 5}}), "map.a must be a string".to_owned()),
        (json!({"map": {"a": {}}}), "map.a must be a string".to_owned()),
        (json!({"filter": "a == 1"}), format!("filter {object}")),
        (json!({"filter": [1]}), format!("filter {object}")),
        (json!({"filter": {"a": 5}}), format!("filter.a {object}")),
        (json!({"filter": {"a": {}}}), "filter.a must be an object with an operation".to_owned()),
        (json!({"filter": {"a": null}}), "filter.a must be an object with an operation".to_owned()),
        (json!({"filter": {"a": {"operation": 5}}}), "filter.a.operation must be a string".to_owned()),
        (json!({"headers": "X: y"}), format!("headers {object}")),
        (json!({"headers": {"a b": "x"}}), "headers: `a b` is not a valid header name".to_owned()),
        (json!({"headers": {"": "x"}}), "headers: `` is not a valid header name".to_owned()),
        (json!({"headers": {"X": "a\nb"}}), "headers: the value of the header `X`".to_owned()),
        (json!({"headers": {"Content-Length": "5"}}), "headers: the header `Content-Length`".to_owned()),
        (json!({"headers": {"Webhook-Id": "5"}}), "headers: the header `Webhook-Id` is set by".to_owned()),
        (json!({"headers": many}), "headers must be at most 50 headers".to_owned()),
        (json!({"customBody": "true"}), "customBody must be true or false".to_owned()),
        (json!({"customBody": 1}), "customBody must be true or false".to_owned()),
        (json!({"rawBody": {"a": 1}}), "rawBody must be a string".to_owned()),
        (json!({"rawBody": 5}), "rawBody must be a string".to_owned()),
        (
            json!({"customBody": true, "rawBody": "r".repeat(300_000)}),
            "rawBody: more than 262144 bytes".to_owned(),
        ),
        (
            json!({"filter": {"a": {"operation": "==", "value": "v".repeat(300_000)}}}),
            "filter: more than".to_owned(),
        ),
        (json!({"fields": ["f".repeat(300_000)]}), "fields and map: more than".to_owned()),
        (json!({"escapeBody": "no"}), "escapeBody must be true or false".to_owned()),
        (json!({"retries": "3"}), "retries must be an integer".to_owned()),
        (json!({"retries": 2.5}), "retries must be an integer".to_owned()),
        (json!({"retries": true}), "retries must be an integer".to_owned()),
        (json!({"delay": "60"}), "delay must be an integer".to_owned()),
        (json!({"delay": 0.5}), "delay must be an integer".to_owned()),
        (json!({"delay": 604_801}), "delay must be at most 604800 seconds".to_owned()),
        (json!({"headers": {"X-A": "1", "x-a": "2"}}), "headers.x-a must be unique".to_owned()),
        (json!({"headers": {"a b".repeat(1_000): "1"}}), "headers: `a ba ba b".to_owned()),
        // A linear search for each of these would take minutes.
        (json!({"map": very_many}), "fields and map: more than 262144 bytes of JSON".to_owned()),
        (
            json!({"customBody": false, "rawBody": "x".repeat(600_000)}),
            "a hook has at most 524288".to_owned(),
        ),
    ];
    cases.extend(auth_members());
    cases
}

fn auth_members() -> Vec<(Value, String)> {
    let object = "must be an object without duplicate members";
    let auth = |more: Value| {
        let mut auth = json!({"enabled": true, "url": "https://auth.example/"});
        for (name, value) in more.as_object().unwrap() {
            auth[name] = value.clone();
        }
        json!({"auth": auth})
    };
    vec![
        (json!({"auth": true}), format!("auth {object}")),
        (json!({"auth": []}), format!("auth {object}")),
        (auth(json!({"enabled": "yes"})), "auth.enabled must be true or false".to_owned()),
        (auth(json!({"url": 5})), "auth.url must be a string".to_owned()),
        (auth(json!({"url": "nonsense"})), "auth.url: not an absolute URL".to_owned()),
        (auth(json!({"url": "ftp://auth.example/"})), "auth.url: a hook's URL must begin with".to_owned()),
        (auth(json!({"url": "https://u:p@auth.example/"})), "auth.url: a hook's URL must not".to_owned()),
        (auth(json!({"method": 5})), "auth.method must be a string".to_owned()),
        (auth(json!({"method": "PATCH"})), "auth.method must be one of GET, POST, PUT and DELETE".to_owned()),
        (auth(json!({"headers": []})), format!("auth.headers {object}")),
        (auth(json!({"headers": {"a b": "x"}})), "auth.headers: `a b` is not".to_owned()),
        (auth(json!({"map": "x"})), format!("auth.map {object}")),
        (auth(json!({"map": {"a": 5}})), "auth.map.a must be a string".to_owned()),
        (auth(json!({"cookie": "yes"})), "auth.cookie must be true or false".to_owned()),
    ]
}

/// Invalid members of `action`, and the messages.
fn action_members() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"type": 5}), "action.type must be a string"),
        (json!({"type": "email"}), "action.type must be web"),
        (json!({"type": "WEB"}), "action.type must be web"),
        (json!({"url": 5}), "action.url must be a string"),
        (json!({"url": "nonsense"}), "action.url: not an absolute URL"),
        (json!({"url": "example.com/x"}), "action.url: not an absolute URL"),
        (json!({"url": "ftp://example.com/"}), "action.url: a hook's URL must begin with"),
        (
            json!({"url": "https://user:pass@example.com/"}),
            "action.url: a hook's URL must not contain a user name",
        ),
        (json!({"url": "https://example.com/#part"}), "action.url: a hook's URL must not have a fragment"),
        (
            json!({"url": format!("https://example.com/{}", "a".repeat(2_048))}),
            "action.url: a hook's URL must have at most",
        ),
        (json!({"method": 5}), "action.method must be a string"),
        (json!({"method": "PATCH"}), "action.method must be one of GET, POST, PUT and DELETE"),
        (json!({"method": "HEAD"}), "action.method must be one of"),
        (json!({"method": "GET "}), "action.method must be one of"),
        (json!({"settings": {}}), "action.settings must be absent without a plugin"),
        (json!({"plugin": "cloudevents", "settings": []}), "action.settings must be an object"),
        (json!({"plugin": "cloudevents", "settings": "{}"}), "action.settings must be an object"),
        (
            json!({"plugin": "cloudevents", "settings": {"a": "x".repeat(262_144)}}),
            "action.settings must be at most",
        ),
        (
            json!({"plugin": "cloudevents", "settings": {"mood": "structured"}}),
            "action.settings: `cloudevents`: settings at `mood`: unknown field",
        ),
        (json!({"plugin": 5}), "action.plugin must be a string"),
        (json!({"plugin": ""}), "action.plugin must be the name of a plugin"),
        (json!({"plugin": "Bad Name"}), "action.plugin must be the name of a plugin"),
        (json!({"plugin": "cloudevents@0"}), "action.plugin must be the name of a plugin"),
        (json!({"plugin": "cloudevents@99"}), "there is no plugin `cloudevents@99`"),
        (json!({"plugin": "none"}), "there is no plugin `none`"),
        (
            json!({"plugin": format!("sha256:{}", "0".repeat(64))}),
            "action.plugin must be the name of a plugin",
        ),
    ]
}

/// Bodies that are not a hook.
fn bodies() -> Vec<(Vec<u8>, u16, &'static str)> {
    let deep = format!(r#"{{"event": {}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bad = |text: &str, said| (text.as_bytes().to_vec(), 400, said);
    vec![
        bad("", "the body is empty"),
        bad("{", "EOF"),
        bad("nonsense", "expected"),
        bad("null", "expected an object"),
        bad("[]", "expected an object"),
        bad("\"text\"", "expected an object"),
        bad("{} {}", "trailing"),
        bad(r#"{"event": 1 2}"#, "expected"),
        bad(r#"{"event": "a", "event": "b"}"#, "duplicate member `event`"),
        bad(r#"{"event": "\ud800"}"#, "surrogate"),
        bad(&deep, "nested"),
        (b"{\"event\": \"\xff\"}".to_vec(), 400, "UTF-8"),
        (vec![b' '; 5 * 1024 * 1024 + 1], 413, "5242880 bytes"),
    ]
}

#[tokio::test]
async fn each_invalid_hook_is_refused_with_the_member_and_changes_nothing() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let id = create(&client, hook("E", &receiver.url("/"), json!({"description": "as it was"}))).await;
    let before = text(&call(&client, "GET", "/hooks", Value::Null).await);
    let engines = engine.get("/hooks").await.expect(200);
    let mut cases: Vec<_> =
        bodies().into_iter().map(|(body, status, said)| (body, status, said.to_owned())).collect();
    for (more, said) in members() {
        cases.push((hook("E", &receiver.url("/"), more).to_string().into_bytes(), 400, said));
    }
    for (more, said) in action_members() {
        let mut hook = hook("E", &receiver.url("/"), json!({}));
        for (name, value) in more.as_object().unwrap() {
            hook["action"][name] = value.clone();
        }
        cases.push((hook.to_string().into_bytes(), 400, said.to_owned()));
    }
    assert!(cases.len() >= 40);
    for (method, path) in [("POST", "/hooks".to_owned()), ("PUT", format!("/hooks/{id}"))] {
        for (body, status, said) in &cases {
            let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
            let info = refused(&raw_call(&client, method, &path, body.clone()).await, *status);
            assert!(info.contains(said.as_str()), "{method} {shown}: {info}");
            assert_eq!(info.starts_with("Bad request: "), *status == 400, "{info}");
            assert!(info.len() < 400, "{info}");
        }
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let response = client.send(method, &format!("/api/v2{path}"), "event=E", &headers).await;
        assert!(refused(&response, 415).contains("expected application/json"));
    }
    assert_eq!(text(&call(&client, "GET", "/hooks", Value::Null).await), before);
    assert_eq!(engine.get("/hooks").await.expect(200), engines);
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn invalid_ids_are_reported() {
    let (_server, _, client) = webitel().await;
    let body = hook("E", "https://example.com/", json!({}));
    for id in [
        "1",
        "nonsense",
        "59802A53A7EC15000C40926A",
        "59802a53a7ec15000c40926",
        "59802a53a7ec15000c40926a0",
        "59802a53a7ec15000c40926g",
        "%ff",
        "%20",
        "hook_01m8rz4g3k2v7",
    ] {
        for (method, body) in [("GET", Value::Null), ("PUT", body.clone()), ("DELETE", Value::Null)] {
            let response = call(&client, method, &format!("/hooks/{id}"), body).await;
            let expected = r#"{"status":"error","info":"Bad id"}"#;
            assert_eq!((response.status, text(&response).as_str()), (400, expected), "{method} {id}");
        }
    }
}

#[tokio::test]
async fn each_invalid_event_is_refused_and_not_delivered() {
    let (_server, _, client) = webitel().await;
    let receiver = Receiver::start().await;
    create(&client, hook("E", &receiver.url("/"), json!({}))).await;
    let big = format!(
        r#"{{"Event-Name": "E", "variable_domain_name": "{DOMAIN}", "x": "{}"}}"#,
        "x".repeat(1_100_000)
    );
    for (body, status, said) in [
        ("", 400, "the body is empty"),
        ("[]", 400, "expected an object"),
        ("nonsense", 400, "expected"),
        ("{}", 400, "Event-Name is required"),
        (r#"{"Event-Name": ""}"#, 400, "Event-Name is required"),
        (r#"{"Event-Name": 5}"#, 400, "Event-Name must be a string"),
        (r#"{"Event-Name": "A B"}"#, 400, "Event-Name: an event type must have"),
        (r#"{"Event-Name": "E", "Event-Subclass": {}}"#, 400, "Event-Subclass must be a string"),
        (r#"{"Event-Name": "CUSTOM", "Event-Subclass": "a b"}"#, 400, "Event-Name: an event type must have"),
        (r#"{"Event-Name": "E"}"#, 400, "Bad request: domain is required."),
        (r#"{"Event-Name": "E", "variable_presence_id": "100"}"#, 400, "domain is required"),
        (r#"{"Event-Name": "E", "variable_domain_name": 5}"#, 400, "variable_domain_name must be a string"),
        (r#"{"Event-Name": "E", "variable_domain_name": "globex"}"#, 403, "Permission denied!"),
        (r#"{"Event-Name": "E", "Channel-Presence-ID": "100@globex"}"#, 403, "Permission denied!"),
        (&big, 413, "an event has at most"),
        (&" ".repeat(5 * 1024 * 1024 + 1), 413, "5242880 bytes"),
    ] {
        let info = refused(&raw_call(&client, "POST", "/events", body).await, status);
        assert!(info.contains(said), "{}: {info}", &body[..body.len().min(100)]);
    }
    assert_eq!(receiver.so_far().len(), 0);
}
