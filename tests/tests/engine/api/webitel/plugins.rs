//! `action.plugin`: a plugin in the place of the template.

use hookwright_tests::{Client, Receiver};
use serde_json::{Value, json};

use super::{DOMAIN, call, create, hook, webitel};

/// Posts an event and waits until it is delivered.
async fn deliver(engine: &Client, client: &Client, members: Value) -> Value {
    let mut event = json!({"Event-Name": "E", "variable_domain_name": DOMAIN});
    for (name, value) in members.as_object().unwrap() {
        event[name] = value.clone();
    }
    let sent = call(client, "POST", "/events", event).await.expect(200);
    engine.settled(sent["data"]["id"].as_str().unwrap()).await.remove(0)
}

/// A hook with the plugin and these members beside.
fn with_plugin(receiver: &Receiver, plugin: &str, more: Value) -> Value {
    let mut hook = hook("E", &receiver.url("/"), more);
    hook["action"]["plugin"] = json!(plugin);
    hook
}

#[tokio::test]
async fn a_tenants_plugin_that_writes_requests_has_the_last_word() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let wasm = engine.get("/plugins/cloudevents/wasm").await.bytes.to_vec();
    engine.upload("my-body", wasm).await;
    let members = json!({"customBody": true, "rawBody": "{\"ignored\": true}", "fields": ["n"], "map": {"n": "m"},
        "headers": {"X-Call": "${call}"}});
    create(&client, with_plugin(&receiver, "my-body", members)).await;
    let delivery = deliver(&engine, &client, json!({"n": 1, "call": "c1", "other": 2})).await;
    assert_eq!(delivery["state"], "succeeded", "{delivery:#}");
    let arrival = receiver.next().await;
    assert_eq!(arrival.header("x-call"), "c1", "headers are set before");
    // By its default, the plugin puts the event's data into the body, which were picked and renamed before it.
    assert!(arrival.body.windows(7).any(|part| part == br#"{"m":1}"#), "{:?}", arrival.body);
    assert!(!arrival.body.windows(7).any(|part| part == b"ignored"), "{:?}", arrival.body);
    assert!(
        arrival.headers.contains_key("ce-id") || arrival.header("content-type").contains("cloudevents"),
        "{arrival:?}"
    );
    let hooks = engine.get("/hooks").await.expect(200);
    let steps: Vec<_> =
        hooks["data"][0]["pipeline"].as_array().unwrap().iter().map(|step| &step["plugin"]).collect();
    assert_eq!(steps, ["webitel-headers", "webitel-map", "webitel-body", "my-body"]);
}

#[tokio::test]
async fn a_tenants_plugin_that_reshapes_data_goes_before_the_body() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let first = engine.get("/plugins/field-map/wasm").await.bytes.to_vec();
    engine.upload("my-map", first).await;
    let second = engine.get("/plugins/event-filter/wasm").await.bytes.to_vec();
    engine.upload("my-map", second).await;
    for plugin in ["my-map@1", "my-map@2", "my-map", "field-map"] {
        let filter = json!({"n": {"operation": "==", "value": 1}});
        let id =
            create(&client, with_plugin(&receiver, plugin, json!({"filter": filter, "fields": ["n"]}))).await;
        let hooks = engine.get("/hooks").await.expect(200);
        let steps: Vec<_> =
            hooks["data"][0]["pipeline"].as_array().unwrap().iter().map(|step| &step["plugin"]).collect();
        assert_eq!(steps, ["webitel-filter", "webitel-map", plugin, "webitel-body"]);
        let custom = json!({"customBody": true, "rawBody": "{\"n\": ${n}}"});
        call(&client, "PUT", &format!("/hooks/{id}"), with_plugin(&receiver, plugin, custom))
            .await
            .expect(200);
        let delivery = deliver(&engine, &client, json!({"n": 1})).await;
        assert!(["succeeded", "exhausted"].contains(&delivery["state"].as_str().unwrap()), "{delivery:#}");
        if delivery["state"] == "succeeded" {
            assert_eq!(receiver.next().await.json(), json!({"n": 1}), "its template counts: {plugin}");
        }
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
}

#[tokio::test]
async fn a_plugin_that_a_hook_uses_stays() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let wasm = engine.get("/plugins/cloudevents/wasm").await.bytes.to_vec();
    engine.upload("mine", wasm).await;
    let id = create(&client, with_plugin(&receiver, "mine", json!({}))).await;
    engine.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.expect(409);
    call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    assert_eq!(engine.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.status, 204);
}
