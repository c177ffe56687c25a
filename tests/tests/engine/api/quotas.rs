//! Limits of a tenant's configuration.

use hookwright_tests::{Client, Server, guest};
use serde_json::{Value, json};

use crate::{BINARY, engine};

const WASM: [(&str, &str); 1] = [("content-type", "application/wasm")];
const MERGE_PATCH: [(&str, &str); 1] = [("content-type", "application/merge-patch+json")];

fn hook(settings_bytes: usize) -> Value {
    let settings = json!({"template": "x".repeat(settings_bytes)});
    json!({"url": "https://example.com/", "types": ["a"], "enabled": false,
        "pipeline": [{"plugin": "body-template", "settings": settings}]})
}

async fn refusal(client: &Client, path: &str, body: Value) -> String {
    let problem = client.post(path, body).await.expect(409);
    assert_eq!(problem["type"], "/problems/limit-reached");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn hooks_are_limited_in_number_and_bytes_for_each_tenant() {
    let settings =
        [("HOOKWRIGHT_MAX_HOOKS_PER_TENANT", "6"), ("HOOKWRIGHT_MAX_CONFIG_BYTES_PER_TENANT", "1048576")];
    let mut server = Server::start_with(BINARY, &settings).await;
    let (mut client, other) = (server.tenant("acme").await, server.tenant("other").await);
    let mut paths = Vec::new();
    for _ in 0..4 {
        let made = client.post("/hooks", hook(250_000)).await.expect(201);
        paths.push(format!("/api/v3/hooks/{}", made["id"].as_str().unwrap()));
    }
    // The limit also applies after a restart.
    for round in 0..2 {
        let words = refusal(&client, "/hooks", hook(250_000)).await;
        assert!(words.contains("bytes of 1048576"), "{round}: {words}");
        other.clone().at(server.base()).post("/hooks", hook(250_000)).await.expect(201);
        server.terminate().await;
        server = server.restart().await;
        client = client.at(server.base());
    }
    // A change must not exceed the limit either, and a smaller hook frees space.
    let grown = json!({"description": "y".repeat(1_000), "pipeline": hook(260_000)["pipeline"]}).to_string();
    client.send("PATCH", &paths[0], grown, &MERGE_PATCH).await.expect(200);
    let grown = json!({"headers": {"x-a": "y".repeat(4_000), "x-b": "y".repeat(4_000), "x-c": "y".repeat(4_000),
        "x-d": "y".repeat(4_000), "x-e": "y".repeat(4_000), "x-f": "y".repeat(4_000), "x-g": "y".repeat(4_000),
        "x-h": "y".repeat(4_000), "x-i": "y".repeat(4_000), "x-j": "y".repeat(4_000)}});
    let refused = client.send("PATCH", &paths[1], grown.to_string(), &MERGE_PATCH).await.expect(409);
    assert_eq!(refused["type"], "/problems/limit-reached");
    client.send("PATCH", &paths[1], json!({"pipeline": []}).to_string(), &MERGE_PATCH).await.expect(200);
    client.send("PATCH", &paths[2], grown.to_string(), &MERGE_PATCH).await.expect(200);
    for _ in 0..2 {
        client.post("/hooks", hook(10)).await.expect(201);
    }
    let words = refusal(&client, "/hooks", hook(10)).await;
    assert!(words.contains("has 6 hooks, and may have 6: delete hooks"), "{words}");
    client.send("DELETE", &paths[0], "", &[]).await.expect(204);
    client.post("/hooks", hook(10)).await.expect(201);
}

#[tokio::test]
async fn keys_are_limited_and_deleting_one_allows_another() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let mut last = Value::Null;
    // One key already exists.
    for number in 1..1_000 {
        last = client.post("/keys", json!({"name": format!("key {number}")})).await.expect(201);
    }
    let words = refusal(&client, "/keys", json!({"name": "one more"})).await;
    assert!(words.contains("has 1000 keys, and may have 1000: delete keys"), "{words}");
    let path = format!("/api/v3/keys/{}", last["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    client.post("/keys", json!({"name": "one more"})).await.expect(201);
    assert_eq!(Client::new(server.base(), last["key"].as_str().unwrap()).get("/keys").await.status, 401);
    server.tenant("other").await.post("/keys", json!({"name": "of another"})).await.expect(201);
}

#[tokio::test]
async fn plugins_are_limited_in_bytes_and_old_versions_can_be_deleted() {
    let settings = [("HOOKWRIGHT_MAX_PLUGIN_BYTES_PER_TENANT", "1048576")];
    let server = Server::start_with(BINARY, &settings).await;
    let client = server.tenant("acme").await;
    let plugin = |version: usize| {
        let pad = format!("(data (i32.const 1024) \"{}{version}\")", "p".repeat(60_000));
        guest::filter(&pad, "(i32.const 0)")
    };
    let put = async |version| client.send("PUT", "/api/v3/plugins/mine", plugin(version), &WASM).await;
    let mut stored = 0;
    let refused = loop {
        let response = put(stored).await;
        if response.status != 201 {
            break response.expect(409);
        }
        stored += 1;
    };
    assert!((10..18).contains(&stored), "{stored}");
    assert_eq!(refused["type"], "/problems/limit-reached");
    let words = refused["detail"].as_str().unwrap();
    assert!(words.contains("bytes of 1048576") && words.contains("old versions"), "{words}");

    let step = json!({"url": "https://example.com/", "types": ["a"], "pipeline": [{"plugin": "mine@2"}]});
    client.post("/hooks", step).await.expect(201);
    let delete = async |version: usize| {
        client.send("DELETE", &format!("/api/v3/plugins/mine?version={version}"), "", &[]).await
    };
    for (version, status, words) in
        [(2, 409, "which is version 2"), (stored, 409, "is the newest"), (99, 404, "no plugin")]
    {
        let problem = delete(version).await.expect(status);
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
    }
    delete(1).await.expect(204);
    delete(1).await.expect(404);
    assert_eq!(put(stored).await.expect(201)["version"], stored + 1);
}

#[tokio::test]
async fn changes_are_limited_for_each_tenant_and_not_for_operators() {
    let (server, client) = engine().await;
    let (other, operator) = (server.tenant("other").await, server.operator());
    operator.patch("/tenants/acme", json!({"limits": {"changes_per_day": 3}})).await.expect(200);
    let mut enabled = hook(10);
    enabled["enabled"] = json!(true);
    for _ in 0..4 {
        client.send("DELETE", "/api/v3/projects/77", "", &[]).await.expect(404);
    }
    let made = client.post("/hooks", enabled).await.expect(201);
    let hook_path = format!("/hooks/{}", made["id"].as_str().unwrap());
    client.patch(&hook_path, json!({"enabled": true})).await.expect(200);
    client.get(&format!("{hook_path}/secret")).await.expect(200);
    let key = json!({"name": "k"});
    let made = client.post("/keys", key.clone()).await.expect(201);
    let key_path = format!("/api/v3/keys/{}", made["id"].as_str().unwrap());
    let replay = json!({"since": "2026-01-01T00:00:00Z"});
    for refused in [
        client.post("/keys", key.clone()).await,
        client.get(&format!("{hook_path}/secret")).await,
        client.post(&format!("{hook_path}/replays"), replay).await,
    ] {
        let problem = refused.expect(429);
        assert_eq!(problem["type"], "/problems/too-many-requests");
        assert!(problem["detail"].as_str().unwrap().contains("may make 3 changes in a day"), "{problem}");
        let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((28_000..=28_800).contains(&seconds), "{seconds}");
    }
    // A thief who has used them up cannot keep the tenant from stopping and removing things.
    client.patch(&hook_path, json!({"enabled": false})).await.expect(200);
    client.patch(&hook_path, json!({"enabled": true})).await.expect(429);
    client.send("DELETE", &key_path, "", &[]).await.expect(204);
    // Reading goes on, and neither other tenants nor operators are limited.
    let shown = client.get("/tenants").await.expect(200)["data"][0]["id"].clone();
    let shown = client.get(&format!("/tenants/{}", shown.as_str().unwrap())).await.expect(200);
    assert_eq!(shown["usage"]["changes_per_day"], 3);
    other.post("/keys", key.clone()).await.expect(201);
    let operator_for = operator.clone().with_header("Hookwright-Tenant", "acme");
    operator_for.send("DELETE", &format!("/api/v3{hook_path}"), "", &[]).await.expect(204);
    operator.patch("/tenants/acme", json!({"limits": {"changes_per_day": 4}})).await.expect(200);
    client.post("/keys", key).await.expect(201);
}

#[tokio::test]
async fn signing_people_in_and_changing_things_do_not_use_up_each_other() {
    let server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    // Version 2 has its own header for keys.
    let client = Client::new(server.base(), &key).with_header("x-access-token", &key);
    let limits = json!({"limits": {"changes_per_day": 2}});
    server.operator().patch("/tenants/acme", limits).await.expect(200);
    let tokens = "/api/v2/domains/acme/settings/token";
    let token = async |method: &str, path: &str, body: Value| {
        let headers = [("content-type", "application/json")];
        client.send(method, path, body.to_string(), &headers).await
    };
    // 2100-01-01T00:00:00Z.
    let made = token("POST", tokens, json!({"expire": 4_102_444_800_000_i64})).await.expect(200);
    let one = format!("{tokens}/{}", made["data"]["uuid"].as_str().unwrap());
    token("PATCH", &one, json!({"state": true})).await.expect(200);
    client.post("/console-links", json!({})).await.expect(201);
    let refused = client.post("/console-links", json!({})).await.expect(429);
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("may make 2 links to the console and changes of tokens in a day"), "{detail}");
    // What signed somebody in can be ended.
    token("PATCH", &one, json!({"state": false})).await.expect(200);
    token("PATCH", &one, json!({"state": true})).await.expect(429);
    client.send("DELETE", &one, "", &[]).await.expect(200);
    for name in ["a", "b"] {
        client.post("/keys", json!({"name": name})).await.expect(201);
    }
    client.post("/keys", json!({"name": "c"})).await.expect(429);
}
