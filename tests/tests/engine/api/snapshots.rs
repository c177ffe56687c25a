//! Snapshots of v3: the responses of each route, with ids, times and other changing values masked.
//!
//! After an intended change, run these tests with `INSTA_UPDATE=always` and review the difference.

mod transcript;

use hookwright_tests::{Receiver, Server};
use serde_json::{Value, json};

use self::transcript::Transcript;
use crate::{BINARY, engine};

/// Compares with the snapshot of this name, which the targets of both databases share.
fn check(name: &str, transcript: &Transcript) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, transcript.text()));
}

/// An URL that hooks may have and that nothing is sent to.
const URL: &str = "https://example.com/hook";

#[tokio::test]
async fn tenants_keys_projects_and_logins() {
    let server = Server::start(BINARY).await;
    let mut operator = Transcript::new(server.operator());
    let tenant = operator.call("POST", "/tenants", json!({"name": "acme"})).await;
    operator.call("POST", "/tenants", json!({"name": "acme"})).await;
    operator.call("POST", "/tenants", json!({"nam": "acme"})).await;
    operator.call("GET", "/tenants", Value::Null).await;
    operator.call("GET", &format!("/tenants/{}", id(&tenant)), Value::Null).await;
    operator.call("GET", "/tenants/ten_01m8rz4g3k2v7", Value::Null).await;

    let mut client = operator.with(server.tenant("other").await);
    let key = client.call("POST", "/keys", json!({"name": "reader", "scopes": ["deliveries:read"]})).await;
    client.call("POST", "/keys", json!({"name": "reader", "scopes": ["everything"]})).await;
    client.call("GET", "/keys", Value::Null).await;
    client.call("DELETE", &format!("/keys/{}", id(&key)), Value::Null).await;
    client.call("DELETE", &format!("/keys/{}", id(&key)), Value::Null).await;
    client.call("GET", "/tenants", Value::Null).await;

    client.call("POST", "/projects", json!({"id": 7})).await;
    client.call("POST", "/projects", json!({"id": 7})).await;
    client.call("GET", "/projects", Value::Null).await;
    client.call("POST", "/logins", json!({"name": "console", "project": 8})).await;
    client.call("GET", "/logins", Value::Null).await;
    client.call("DELETE", "/logins/console", Value::Null).await;
    client.call("DELETE", "/projects/7", Value::Null).await;
    client.call("DELETE", "/projects/7", Value::Null).await;
    check("tenants_keys_projects_and_logins", &client);
}

#[tokio::test]
async fn hooks() {
    let (_server, client) = engine().await;
    let mut client = Transcript::new(client);
    let pipeline = json!([{"plugin": "field-map", "settings": {"drop": ["/secret"]}}]);
    let hook = json!({"url": URL, "types": ["order.*"], "headers": {"X-Token": "t"}, "pipeline": pipeline});
    let hook = client.call("POST", "/hooks", hook).await;
    for refused in [
        json!({"types": ["*"]}),
        json!({"url": "ftp://example.com", "types": ["*"]}),
        json!({"url": URL, "types": ["*"], "project": 7}),
        json!({"url": URL, "types": ["*"], "pipeline": [{"plugin": "missing"}]}),
        json!({"url": URL, "types": ["*"], "pipeline": [{"plugin": "field-map", "settings": {"dorp": []}}]}),
    ] {
        client.call("POST", "/hooks", refused).await;
    }
    let path = format!("/hooks/{}", id(&hook));
    client.call("GET", &path, Value::Null).await;
    client.call("GET", "/hooks", Value::Null).await;
    client.call("GET", "/hooks?limit=0", Value::Null).await;
    client.call("PATCH", &path, json!({"description": "orders", "headers": null})).await;
    client.call("PATCH", &path, json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await;
    client.call("PUT", &path, json!({"url": URL, "types": ["order.paid"], "enabled": false})).await;
    client.call("GET", &format!("{path}/secret"), Value::Null).await;
    client.call("POST", &format!("{path}/secret/rotate"), Value::Null).await;
    client.call("POST", &format!("{path}/secret/rotate"), json!({"secret": "short"})).await;
    let event = json!({"event": {"type": "order.paid", "data": {"number": 1}}});
    client.call("POST", &format!("{path}/preview"), event).await;
    client.call("DELETE", &path, Value::Null).await;
    client.call("GET", &path, Value::Null).await;
    check("hooks", &client);
}

#[tokio::test]
async fn events_and_deliveries() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let hook = json!({"url": receiver.url("/"), "types": ["*"]});
    let hook = client.post("/hooks", hook).await.expect(201);
    let mut recorded = Transcript::new(client.clone());
    let event = json!({"id": "order-1", "type": "order.paid", "data": {"number": 1}});
    recorded.call("POST", "/events", event.clone()).await;
    recorded.call("POST", "/events", event).await;
    recorded.call("POST", "/events", json!({"id": "order-1", "type": "order.paid", "data": 2})).await;
    recorded.call("POST", "/events", json!({"type": "order paid", "data": 1})).await;
    recorded.lines("/events/batch", "{\"type\":\"a\",\"data\":1}\n{\"type\":\"b\"}\n").await;
    let delivery = client.finished("order-1").await.remove(0);
    recorded.call("GET", "/events/order-1", Value::Null).await;
    recorded.call("GET", "/events/order-2", Value::Null).await;
    recorded.call("GET", "/events/order-1/deliveries", Value::Null).await;
    recorded.call("GET", "/deliveries?state=succeeded", Value::Null).await;
    recorded.call("GET", "/deliveries?state=lost", Value::Null).await;
    let path = format!("/deliveries/{}", id(&delivery));
    recorded.call("GET", &path, Value::Null).await;
    recorded.call("GET", &format!("{path}/attempts"), Value::Null).await;
    recorded.call("POST", &format!("{path}/cancel"), Value::Null).await;
    recorded.call("POST", "/deliveries/dlv_01m8rz4g3k2v7/retry", Value::Null).await;
    recorded.call("POST", &format!("/hooks/{}/test", id(&hook)), Value::Null).await;
    client.send("DELETE", &format!("/api/v3/hooks/{}", id(&hook)), "", &[]).await.expect(204);
    recorded.call("POST", &format!("{path}/retry"), Value::Null).await;
    check("events_and_deliveries", &recorded);
}

#[tokio::test]
async fn plugins() {
    let (_server, client) = engine().await;
    let wasm = client.get("/plugins/field-map/wasm").await.bytes;
    let mut recorded = Transcript::new(client);
    recorded.upload("/plugins/mine", wasm.to_vec()).await;
    recorded.upload("/plugins/mine", wasm.to_vec()).await;
    recorded.upload("/plugins/field-map", wasm.to_vec()).await;
    recorded.upload("/plugins/mine", b"(module)".to_vec()).await;
    recorded.call("GET", "/plugins/mine", Value::Null).await;
    recorded.call("GET", "/plugins/mine/versions", Value::Null).await;
    recorded.call("GET", "/plugins/mine?version=2", Value::Null).await;
    let event = json!({"type": "order.paid", "data": {"number": 1, "secret": 2}});
    let run = json!({"event": event, "settings": {"drop": ["/secret"]}});
    recorded.call("POST", "/plugins/mine/run", run).await;
    recorded.call("POST", "/plugins/mine/run", json!({"event": event, "settings": {"dorp": 1}})).await;
    recorded.call("DELETE", "/plugins/mine", Value::Null).await;
    recorded.call("DELETE", "/plugins/field-map", Value::Null).await;
    check("plugins", &recorded);
}

#[tokio::test]
async fn problems_of_every_route() {
    let (server, client) = engine().await;
    let mut recorded = Transcript::new(client.clone());
    recorded.call("GET", "/nothing", Value::Null).await;
    recorded.call("DELETE", "/hooks", Value::Null).await;
    recorded.call("GET", "/hooks?colour=red", Value::Null).await;
    recorded.text_body("POST", "/hooks", "application/json", "{\"url\": ").await;
    recorded.text_body("POST", "/hooks", "application/json", "{\"url\": \"a\", \"url\": \"b\"}").await;
    recorded.text_body("POST", "/hooks", "application/xml", "<hook/>").await;
    let mut nobody = recorded.with(client.clone().without_key());
    nobody.call("GET", "/hooks", Value::Null).await;
    let key = client.post("/keys", json!({"name": "k", "scopes": ["hooks:read"]})).await.expect(201);
    let reader = hookwright_tests::Client::new(server.base(), key["key"].as_str().unwrap());
    let mut reader = nobody.with(reader);
    reader.call("POST", "/hooks", json!({"url": URL, "types": ["*"]})).await;
    let mut operator = reader.with(server.operator());
    operator.call("GET", "/hooks", Value::Null).await;
    operator.call("GET", "/health", Value::Null).await;
    check("problems_of_every_route", &operator);
}

fn id(resource: &Value) -> &str {
    resource["id"].as_str().unwrap()
}
