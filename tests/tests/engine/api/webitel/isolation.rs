//! Isolation between domains.

use hookwright_tests::Receiver;
use serde_json::{Value, json};

use super::{DOMAIN, FAR, call, client_with, create, hook, new_token, refused, text, webitel};

/// An id that does not exist.
const UNKNOWN_ID: &str = "59802a53a7ec15000c40926a";
/// A token that does not exist.
const UNKNOWN_TOKEN: &str = "e26569d5-be26-486c-9d65-c00e61d693c5";

/// Requests for resources of [`DOMAIN`]: method, path, body.
fn requests(id: &str, uuid: &str, own_hook: &Value) -> Vec<(&'static str, String, Value)> {
    let one = format!("/hooks/{id}");
    let with_domain = format!("/hooks/{id}?domain={DOMAIN}");
    let path = format!("/domains/{DOMAIN}/settings/token");
    let token = format!("{path}/{uuid}");
    let own_path = format!("/domains/globex/settings/token/{uuid}");
    let mut with_plugin = own_hook.clone();
    with_plugin["action"]["plugin"] = json!("mine");
    let mut with_version = own_hook.clone();
    with_version["action"]["plugin"] = json!("mine@1");
    vec![
        ("GET", one.clone(), Value::Null),
        ("GET", with_domain.clone(), Value::Null),
        ("GET", format!("/hooks/{id}/"), Value::Null),
        ("PUT", one.clone(), own_hook.clone()),
        ("PUT", with_domain.clone(), own_hook.clone()),
        ("PUT", one.clone(), json!({"event": "E"})),
        ("DELETE", one.clone(), Value::Null),
        ("DELETE", with_domain, Value::Null),
        ("GET", format!("/hooks?domain={DOMAIN}"), Value::Null),
        ("GET", format!("/hooks?domain={DOMAIN}&columns=description&limit=1000"), Value::Null),
        ("POST", "/hooks".to_owned(), with_plugin),
        ("POST", "/hooks".to_owned(), with_version),
        ("POST", path.clone(), json!({"expire": FAR, "role": "admin"})),
        ("POST", path.clone(), json!({})),
        ("GET", path.clone(), Value::Null),
        ("PATCH", token.clone(), json!({"state": false})),
        ("PATCH", own_path.clone(), json!({"state": false})),
        ("DELETE", token.clone(), Value::Null),
        ("DELETE", own_path, Value::Null),
        (
            "POST",
            "/events".to_owned(),
            json!({"Event-Name": "CHANNEL_CREATE", "variable_domain_name": DOMAIN}),
        ),
        (
            "POST",
            format!("/events?domain={DOMAIN}"),
            json!({"Event-Name": "CHANNEL_CREATE", "variable_w_domain": DOMAIN}),
        ),
        (
            "POST",
            "/events".to_owned(),
            json!({"Event-Name": "CHANNEL_CREATE", "Channel-Presence-ID": format!("100@{DOMAIN}")}),
        ),
    ]
}

#[tokio::test]
async fn resources_of_another_domain_look_like_missing_ones() {
    let (server, engine, owner) = webitel().await;
    let receiver = Receiver::start().await;
    let key = server.tenant_key("globex").await;
    let by_key = client_with(&server, &key);
    let by_token = client_with(&server, &new_token(&by_key, "globex").await);
    let foreign = hook("CHANNEL_CREATE", &receiver.url("/"), json!({"description": "secret"}));
    let id = create(&owner, foreign.clone()).await;
    let of_engine = engine.get("/hooks").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let wasm = engine.get("/plugins/field-map/wasm").await.bytes.to_vec();
    engine.upload("mine", wasm).await;
    let key_of_owner = engine.post("/keys", json!({"name": "k"})).await.expect(201)["key"].clone();
    let admin = client_with(&server, key_of_owner.as_str().unwrap());
    let path = format!("/domains/{DOMAIN}/settings/token");
    let made = call(&admin, "POST", &path, json!({"expire": FAR})).await.expect(200);
    let (uuid, live) = (made["data"]["uuid"].as_str().unwrap(), made["data"]["token"].as_str().unwrap());
    let before = text(&call(&owner, "GET", "/hooks", Value::Null).await);

    let own_hook = hook("CHANNEL_CREATE", &receiver.url("/stolen"), json!({}));
    let cases = requests(&id, uuid, &own_hook);
    for client in [&by_key, &by_token] {
        for (method, path, body) in &cases {
            let foreign = call(client, method, path, body.clone()).await;
            // The same requests with ids that do not exist.
            let (missing_path, text_of_body) = (
                path.replace(&id, UNKNOWN_ID).replace(uuid, UNKNOWN_TOKEN).replace(DOMAIN, "none.example"),
                body.to_string().replace(DOMAIN, "none.example").replace("mine", "none"),
            );
            let body = serde_json::from_str(&text_of_body).unwrap();
            let none = call(client, method, &missing_path, body).await;
            let expected = text(&none).replace("none", "mine");
            assert_eq!((foreign.status, text(&foreign)), (none.status, expected), "{method} {path}");
            assert!(!text(&foreign).contains("secret"), "{method} {path}");
        }
    }
    // The domain in a token is signed; a domain in the query is ignored.
    let list = call(&by_token, "GET", &format!("/hooks?domain={DOMAIN}"), Value::Null).await.expect(200);
    assert_eq!(list["data"], json!([]));
    let made = call(&by_token, "POST", &format!("/hooks?domain={DOMAIN}"), own_hook).await.expect(200);
    assert_eq!(made["data"]["ops"][0]["domain"], "globex");
    // API v3 does not show it, or its id, to the other tenant either.
    let other = hookwright_tests::Client::new(server.base(), &key);
    other.get(&format!("/hooks/{of_engine}")).await.expect(404);
    // API v3 does not accept the token.
    hookwright_tests::Client::new(server.base(), live).get("/hooks").await.expect(401);

    assert_eq!(text(&call(&owner, "GET", "/hooks", Value::Null).await), before);
    call(&client_with(&server, live), "GET", "/hooks", Value::Null).await.expect(200);
    assert_eq!(refused(&call(&by_key, "POST", &path, json!({"expire": FAR})).await, 404), "Not found domain");
    // The same event in both domains is delivered only to the hook of its domain.
    let event = |domain: &str| json!({"Event-Name": "CHANNEL_CREATE", "variable_domain_name": domain});
    let sent = call(&by_key, "POST", "/events", event("globex")).await.expect(200);
    other.finished(sent["data"]["id"].as_str().unwrap()).await;
    let arrived: Vec<_> = receiver.so_far().into_iter().map(|arrival| arrival.path).collect();
    assert_eq!(arrived, ["/stolen"]);
}
