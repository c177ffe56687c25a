//! Translation of a hook's members to pipeline steps. Steps without effect are omitted.

use serde_json::{Value, json};

use super::{call, create, hook, webitel};

const URL: &str = "https://example.com/";

#[tokio::test]
async fn each_member_becomes_the_settings_of_its_plugin() {
    let (_server, engine, client) = webitel().await;
    let filter = json!({"n": {"operation": "==", "value": 1}});
    let auth = |more: Value| {
        let mut auth = json!({"enabled": true, "url": URL});
        for (name, value) in more.as_object().unwrap() {
            auth[name] = value.clone();
        }
        auth
    };
    let plain = json!(["webitel-body", {"method": "POST"}]);
    let custom = json!(["webitel-body", {"method": "POST", "customBody": true, "rawBody": "{}"}]);
    let cookie = json!(["webitel-headers", {"cookie": true}]);
    for (members, steps) in [
        (json!({}), json!([plain])),
        (
            json!({"filter": {}, "fields": [], "map": {}, "headers": {}, "auth": {}, "rawBody": ""}),
            json!([plain]),
        ),
        (json!({"filter": null, "fields": null, "map": null, "headers": null, "auth": null}), json!([plain])),
        (json!({"filter": filter}), json!([["webitel-filter", {"filter": filter}], plain])),
        (json!({"headers": {"X": 5}}), json!([["webitel-headers", {"headers": {"X": 5}}], plain])),
        (json!({"fields": ["a"]}), json!([["webitel-map", {"fields": ["a"]}], plain])),
        (json!({"map": {"a": "b"}}), json!([["webitel-map", {"map": {"a": "b"}}], plain])),
        (json!({"customBody": true, "rawBody": "{}", "fields": ["a"]}), json!([custom])),
        (json!({"customBody": false, "rawBody": "{}"}), json!([plain])),
        (
            json!({"customBody": true, "rawBody": ""}),
            json!([["webitel-body", {"method": "POST", "customBody": true, "rawBody": ""}]]),
        ),
        (json!({"customBody": true}), json!([plain])),
        (json!({"escapeBody": false}), json!([plain])),
        (
            json!({"customBody": true, "rawBody": "{}", "escapeBody": false}),
            json!([["webitel-body", {"method": "POST", "customBody": true, "rawBody": "{}", "escapeBody": false}]]),
        ),
        (json!({"auth": auth(json!({}))}), json!([plain])),
        (json!({"auth": auth(json!({"cookie": true}))}), json!([cookie, plain])),
        (json!({"auth": auth(json!({"cookie": true, "enabled": false}))}), json!([plain])),
        (json!({"auth": auth(json!({"cookie": true, "url": ""}))}), json!([plain])),
        (
            json!({"filter": filter, "headers": {"X": "y"}, "auth": auth(json!({"cookie": true})), "fields": ["a"],
                "map": {"a": "b"}}),
            json!([
                ["webitel-filter", {"filter": filter}],
                ["webitel-headers", {"headers": {"X": "y"}, "cookie": true}],
                ["webitel-map", {"fields": ["a"], "map": {"a": "b"}}],
                plain,
            ]),
        ),
    ] {
        let id = create(&client, hook("E", URL, members.clone())).await;
        let made = engine.get("/hooks").await.expect(200)["data"][0].clone();
        let shown: Vec<Value> = made["pipeline"]
            .as_array()
            .unwrap()
            .iter()
            .map(|step| json!([step["plugin"], step["settings"]]))
            .collect();
        assert_eq!(Value::Array(shown), steps, "{members}");
        assert_eq!((&made["headers"], &made["timeout_ms"]), (&json!({}), &json!(20_000)), "{members}");
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn the_method_is_written_in_upper_case() {
    let (_server, engine, client) = webitel().await;
    for method in ["GET", "get", "Post", "pUT", "delete"] {
        let mut hook = hook("E", URL, json!({}));
        hook["action"]["method"] = json!(method);
        let id = create(&client, hook).await;
        let made = engine.get("/hooks").await.expect(200)["data"][0].clone();
        assert_eq!(made["pipeline"][0]["settings"], json!({"method": method.to_uppercase()}));
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn a_replaced_hook_keeps_only_its_id_and_secret() {
    let (_server, engine, client) = webitel().await;
    let members = json!({"filter": {"n": {"operation": "==", "value": 1}}, "retries": 5, "description": "d"});
    let id = create(&client, hook("E", URL, members)).await;
    let before = engine.get("/hooks").await.expect(200)["data"][0].clone();
    let path = format!("/hooks/{}/secret", before["id"].as_str().unwrap());
    let secret = engine.get(&path).await.expect(200);
    assert!(secret["secret"].is_string(), "plugins can use the secret: {secret}");
    let other =
        json!({"event": "F", "action": {"type": "web", "method": "PUT", "url": "https://example.org/"}});
    call(&client, "PUT", &format!("/hooks/{id}"), other).await.expect(200);
    let after = engine.get("/hooks").await.expect(200)["data"][0].clone();
    for (member, expected) in [
        ("id", before["id"].clone()),
        ("created_at", before["created_at"].clone()),
        ("url", json!("https://example.org/")),
        ("types", json!(["F"])),
        ("enabled", json!(false)),
        ("description", json!("")),
        ("retry", json!({"schedule_s": []})),
        ("pipeline", json!([{"plugin": "webitel-body", "settings": {"method": "PUT"}}])),
    ] {
        assert_eq!(after[member], expected, "{member}");
    }
    assert_eq!(engine.get(&path).await.expect(200), secret);
}
