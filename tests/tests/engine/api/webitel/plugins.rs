//! `action.plugin`: a plugin instead of the template.

use hookwright_tests::{Arrival, Client, Receiver, guest};
use serde_json::{Value, json};

use super::{DOMAIN, call, create, hook, webitel};

/// Posts an event and waits until it is delivered.
async fn deliver(engine: &Client, client: &Client, members: Value) -> Value {
    let mut event = json!({"Event-Name": "E", "variable_domain_name": DOMAIN});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    let sent = call(client, "POST", "/events", event).await.expect(200);
    engine.finished(sent["data"]["id"].as_str().unwrap()).await.remove(0)
}

/// A hook with the plugin and additional members.
fn with_plugin(receiver: &Receiver, plugin: &str, more: Value) -> Value {
    let mut hook = hook("E", &receiver.url("/"), more);
    hook["action"]["plugin"] = json!(plugin);
    hook
}

/// Returns the plugins of the only hook, in order.
async fn steps(engine: &Client) -> Vec<String> {
    let hooks = engine.get("/hooks").await.expect(200);
    let steps = hooks["data"][0]["pipeline"].as_array().unwrap();
    steps.iter().map(|step| step["plugin"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_transformer_of_the_tenant_runs_last() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    // Without settings it posts the envelope, independent of the draft.
    let wasm = engine.get("/plugins/webitel-body/wasm").await.bytes.to_vec();
    engine.upload("my-body", wasm).await;
    let members = json!({"customBody": true, "rawBody": "{\"ignored\": true}", "escapeBody": false,
        "fields": ["n"], "map": {"n": "m"}, "headers": {"X-Call": "${call}"}});
    let mut hook = with_plugin(&receiver, "my-body", members);
    hook["action"]["method"] = json!("PUT");
    create(&client, hook).await;
    assert_eq!(steps(&engine).await, ["webitel-headers", "webitel-map", "webitel-body", "my-body"]);
    let delivery = deliver(&engine, &client, json!({"n": 1, "call": "c1", "other": 2})).await;
    assert_eq!(delivery["state"], "succeeded", "{delivery:#}");
    let arrival = receiver.next().await;
    assert_eq!((arrival.method.as_str(), arrival.header("x-call")), ("POST", "c1"));
    assert_eq!((&arrival.json()["action"], &arrival.json()["data"]), (&json!("E"), &json!({"m": 1})));
}

#[tokio::test]
async fn a_filter_or_mapper_of_the_tenant_runs_before_the_body() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    engine.upload("my-filter", guest::filter("", "(i32.const 0)")).await;
    engine.upload("my-filter", guest::filter("", "(unreachable)")).await;
    let wasm = engine.get("/plugins/field-map/wasm").await.bytes.to_vec();
    engine.upload("my-map", wasm).await;
    let rule = json!({"n": {"operation": "==", "value": 1}});
    // The second version of the filter fails.
    for (plugin, state) in [
        ("my-filter@1", "succeeded"),
        ("my-filter@2", "exhausted"),
        ("my-filter", "exhausted"),
        ("my-map", "succeeded"),
        ("field-map@1", "succeeded"),
    ] {
        let members = json!({"filter": rule, "fields": ["n"]});
        let id = create(&client, with_plugin(&receiver, plugin, members)).await;
        assert_eq!(steps(&engine).await, ["webitel-filter", "webitel-map", plugin, "webitel-body"]);
        let delivery = deliver(&engine, &client, json!({"n": 1})).await;
        assert_eq!(delivery["state"], state, "{plugin}: {delivery:#}");
        let ran = delivery["attempts"][0]["steps"].as_array().unwrap().clone();
        assert_eq!(ran[2]["plugin"], plugin, "{plugin}");

        // With such a plugin the template is used.
        let members = json!({"customBody": true, "rawBody": "{\"custom\": ${n}}"});
        let hook = with_plugin(&receiver, plugin, members);
        call(&client, "PUT", &format!("/hooks/{id}"), hook).await.expect(200);
        assert_eq!(deliver(&engine, &client, json!({"n": 2})).await["state"], state, "{plugin}");
        let bodies: Vec<_> = receiver.so_far().iter().map(Arrival::json).collect();
        if state == "succeeded" {
            assert_eq!(
                (&bodies[0]["data"], &bodies[1]),
                (&json!({"n": 1}), &json!({"custom": 2})),
                "{plugin}"
            );
        } else {
            assert!(bodies.is_empty(), "{plugin}");
        }
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn new_settings_are_checked_by_the_plugin() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let wasm = async |name: &str| engine.get(&format!("/plugins/{name}/wasm")).await.bytes.to_vec();
    engine.upload("mine", wasm("field-map").await).await;
    let wanted = |drop: &str, description: &str| {
        let mut hook = with_plugin(&receiver, "mine", json!({"description": description}));
        hook["action"]["settings"] = json!({"drop": [drop]});
        hook
    };
    let id = create(&client, wanted("/a", "first")).await;
    // The new version refuses such settings, so its upload must be forced. The hook's existing settings do not prevent
    // other changes.
    let newer = wasm("webitel-map").await;
    let upload = async |query: &str| {
        engine.send("PUT", &format!("/api/v3/plugins/mine{query}"), newer.clone(), &[]).await
    };
    upload("").await.expect(409);
    upload("?force=true").await.expect(201);
    let put = async |hook| call(&client, "PUT", &format!("/hooks/{id}"), hook).await;
    put(wanted("/a", "second")).await.expect(200);
    let refused = put(wanted("/b", "third")).await.expect(400);
    let info = refused["info"].as_str().unwrap();
    assert!(info.starts_with("Bad request: action.settings: `mine`: settings at `drop`"), "{info}");
    let shown = call(&client, "GET", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    assert_eq!(shown["data"]["description"], "second", "{shown}");
}

#[tokio::test]
async fn a_version_with_other_roles_is_refused_if_the_order_of_steps_depends_on_them() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let wasm = async |name: &str| engine.get(&format!("/plugins/{name}/wasm")).await.bytes.to_vec();
    let (maps, writes) = (wasm("field-map").await, wasm("cloudevents").await);
    engine.upload("mine", maps).await;
    let id = create(&client, with_plugin(&receiver, "mine", json!({}))).await;
    let put = async |status: u16| {
        let headers = [("content-type", "application/wasm")];
        engine.send("PUT", "/api/v3/plugins/mine", writes.clone(), &headers).await.expect(status)
    };
    put(409).await;
    assert_eq!(engine.get("/plugins/mine/versions").await.expect(200)["data"].as_array().unwrap().len(), 1);
    call(&client, "PUT", &format!("/hooks/{id}"), with_plugin(&receiver, "mine@1", json!({})))
        .await
        .expect(200);
    put(201).await;
}

#[tokio::test]
async fn a_used_plugin_cannot_be_deleted() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let wasm = engine.get("/plugins/webitel-body/wasm").await.bytes.to_vec();
    engine.upload("mine", wasm).await;
    let id = create(&client, with_plugin(&receiver, "mine", json!({}))).await;
    engine.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.expect(409);
    call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    assert_eq!(engine.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.status, 204);
}

#[tokio::test]
async fn a_plugin_receives_its_settings() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let script = "request.body = {caller: event.data.caller, envelope: JSON.parse(request.body).action};";
    let mut hook = with_plugin(&receiver, "javascript", json!({}));
    hook["action"]["settings"] = json!({"script": script});
    let id = create(&client, hook.clone()).await;
    let shown = call(&client, "GET", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    assert_eq!(shown["data"]["action"], hook["action"]);
    let delivery = deliver(&engine, &client, json!({"caller": "100"})).await;
    assert_eq!(delivery["state"], "succeeded", "{delivery:#}");
    assert_eq!(receiver.next().await.json(), json!({"caller": "100", "envelope": "E"}));
}
