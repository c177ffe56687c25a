//! Each request that changes something leaves exactly one entry, whichever API it uses.

use std::collections::BTreeSet;

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use super::entries;
use crate::BINARY;

/// What must not be in any entry: each secret of a request contains it.
const SECRET: &str = "s3cr3t";
/// 2100-01-01T00:00:00Z, in milliseconds.
const FAR: i64 = 4_102_444_800_000;
/// Requests that change no configuration. What they do is shown by the events and deliveries themselves.
const NO_CONFIGURATION: &[&str] = &[
    "post /api/v3/events",
    "post /api/v3/events/batch",
    "post /api/v3/events/{id}/deliveries",
    "post /api/v3/deliveries/{id}/retry",
    "post /api/v3/deliveries/{id}/cancel",
    "post /api/v3/hooks/{id}/test",
    "post /api/v3/hooks/{id}/compare",
    "post /api/v3/hooks/{id}/preview",
    "post /api/v3/plugins/{name}/run",
];

/// Sends requests, and compares the log before and after each.
struct Walk {
    operator: Client,
    known: usize,
    /// The operations of the document that were sent.
    sent: BTreeSet<String>,
}

/// A request: the method and path of its operation, the values of the path's variable, and the body.
type Request<'a> = (&'a str, &'a str, &'a str, Value);

impl Walk {
    /// Sends a request that must leave one entry with this action, made by an actor of this type and name.
    async fn changes(
        &mut self,
        client: &Client,
        request: Request<'_>,
        (action, actor, name): (&str, &str, &str),
    ) -> Value {
        let (what, response) = self.send(client, request).await;
        let log = entries(&self.operator, "").await;
        let new = log.len() - self.known;
        assert_eq!(new, 1, "{what} left {new} entries: {:#?}", &log[..new]);
        let entry = &log[0];
        assert_eq!(entry["action"], action, "{what}: {entry:#}");
        assert_eq!(
            (&entry["actor"]["type"], &entry["actor"]["name"]),
            (&json!(actor), &json!(name)),
            "{what}"
        );
        assert_eq!(entry["address"], "127.0.0.1", "{what}");
        assert_eq!(entry["request_id"], "walk-1", "{what}");
        let kind = action.split('.').next().unwrap();
        assert_eq!(entry["object"]["type"], kind, "{what}");
        self.known = log.len();
        response
    }

    async fn send(
        &mut self,
        client: &Client,
        (method, path, variable, body): Request<'_>,
    ) -> (String, Value) {
        let what = format!("{method} {path}");
        self.sent.insert(what.clone());
        let url = path.replace("{id}", variable).replace("{name}", variable);
        let kind = if method == "patch" { "application/merge-patch+json" } else { "application/json" };
        let kind = if path.starts_with("/api/v3") { kind } else { "application/json" };
        let (text, headers) = match body {
            Value::Null => (String::new(), vec![("x-request-id", "walk-1")]),
            body => (body.to_string(), vec![("content-type", kind), ("x-request-id", "walk-1")]),
        };
        let response = client.send(&method.to_uppercase(), &url, text, &headers).await;
        assert!((200..300).contains(&response.status), "{what}: {} {}", response.status, response.json());
        (what, response.json())
    }
}

fn id(shown: &Value) -> String {
    shown["id"].as_str().unwrap_or_else(|| panic!("{shown} has no id")).to_owned()
}

/// Tenants, keys, projects, logins and the engine.
async fn access(walk: &mut Walk, client: &Client, operator: &Client) {
    let by = |action| (action, "operator_key", "admin_key");
    let made = json!({"name": "second.example", "client_id": 7});
    walk.changes(operator, ("post", "/api/v3/tenants", "", made), by("tenant.created")).await;
    let patch = json!({"paused": true, "max_per_second": 5});
    walk.changes(operator, ("patch", "/api/v3/tenants/{id}", "second.example", patch), by("tenant.updated"))
        .await;
    // Nothing of the tenant is left at some time: that has an entry, too.
    let tenant = "/api/v3/tenants/{id}";
    let url = format!("{tenant}?confirm=second.example");
    let deleted =
        walk.changes(operator, ("delete", &url, "second.example", Value::Null), by("tenant.deleted")).await;
    walk.sent.insert(format!("delete {tenant}"));
    let query = format!("&tenant={}&action=tenant.removed", deleted["tenant"].as_str().unwrap());
    let began = std::time::Instant::now();
    while entries(operator, &query).await.is_empty() {
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "the tenant is not removed");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    walk.known += 1;
    let patch = "/api/v3/engine";
    walk.changes(operator, ("patch", patch, "", json!({"paused": true})), by("engine.paused")).await;
    walk.changes(operator, ("patch", patch, "", json!({"paused": false})), by("engine.resumed")).await;
    let made = json!({"name": "deputy"});
    let new =
        walk.changes(operator, ("post", "/api/v3/operator-keys", "", made), by("operator_key.created")).await;
    let (deputy, key) = (id(&new), new["key"].as_str().unwrap().to_owned());
    let deputys = operator.clone().without_key().with_header("authorization", &format!("Bearer {key}"));
    let path = "/api/v3/operator-keys/{id}";
    let request = ("patch", path, deputy.as_str(), json!({"name": "chief"}));
    walk.changes(&deputys, request, ("operator_key.updated", "operator_key", "deputy")).await;
    walk.changes(operator, ("delete", path, &deputy, Value::Null), by("operator_key.deleted")).await;

    let by = |action| (action, "key", "test");
    walk.changes(
        client,
        ("post", "/api/v3/projects", "", json!({"id": 8, "name": "p"})),
        by("project.created"),
    )
    .await;
    walk.changes(client, ("delete", "/api/v3/projects/{id}", "8", Value::Null), by("project.deleted")).await;
    let made = json!({"name": "ci", "scopes": ["events:write"], "expires_at": "2100-01-01T00:00:00Z"});
    let key = id(&walk.changes(client, ("post", "/api/v3/keys", "", made), by("key.created")).await);
    let path = "/api/v3/keys/{id}";
    walk.changes(client, ("patch", path, &key, json!({"name": "CI", "expires_at": null})), by("key.updated"))
        .await;
    let rotate = "/api/v3/keys/{id}/rotate";
    walk.changes(client, ("post", rotate, &key, json!({"old_expires_in_s": 60})), by("key.rotated")).await;
    walk.changes(client, ("delete", path, &key, Value::Null), by("key.deleted")).await;
    let made = json!({"session_s": 60});
    walk.changes(client, ("post", "/api/v3/console-links", "", made), by("console_link.created")).await;
    let made = json!({"name": "user", "secret": format!("{SECRET} of a login")});
    walk.changes(client, ("post", "/api/v3/logins", "", made), by("login.created")).await;
    walk.changes(client, ("delete", "/api/v3/logins/{name}", "user", Value::Null), by("login.deleted")).await;
}

/// A hook with a secret wherever one can be.
fn secretive_hook() -> Value {
    json!({
        "url": format!("https://127.0.0.1:9/{SECRET}?token={SECRET}"), "types": ["never.*"], "description": SECRET,
        "headers": {"x-token": SECRET}, "pipeline": [{"plugin": "field-map", "settings": {}}],
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "signing": "both",
        "oauth2": {"token_url": format!("http://127.0.0.1:9/{SECRET}"), "client_id": "shop", "client_secret": SECRET},
    })
}

async fn hooks(walk: &mut Walk, client: &Client) {
    let by = |action| (action, "key", "test");
    let hook =
        id(&walk.changes(client, ("post", "/api/v3/hooks", "", secretive_hook()), by("hook.created")).await);
    let one = "/api/v3/hooks/{id}";
    let put =
        json!({"url": format!("http://127.0.0.1:9/{SECRET}-2"), "types": ["never.*"], "signing": "both"});
    walk.changes(client, ("put", one, &hook, put), by("hook.updated")).await;
    walk.changes(client, ("patch", one, &hook, json!({"description": SECRET})), by("hook.updated")).await;
    walk.changes(client, ("get", "/api/v3/hooks/{id}/secret", &hook, Value::Null), by("hook.secret_read"))
        .await;
    let rotated = ("post", "/api/v3/hooks/{id}/secret/rotate", hook.as_str(), json!({}));
    walk.changes(client, rotated, by("hook.secret_rotated")).await;
    let rotated = ("post", "/api/v3/hooks/{id}/signing-keys/rotate", hook.as_str(), json!({}));
    walk.changes(client, rotated, by("hook.signing_key_rotated")).await;
    let since = json!({"since": "2020-01-01T00:00:00Z"});
    walk.changes(client, ("post", "/api/v3/hooks/{id}/recover", &hook, since.clone()), by("hook.recovered"))
        .await;

    let started =
        walk.changes(client, ("post", "/api/v3/hooks/{id}/replays", &hook, since), by("job.created")).await;
    let filter = json!({"hook": hook, "type": "never.*"});
    walk.changes(client, ("post", "/api/v3/deliveries/retries", "", filter.clone()), by("job.created")).await;
    walk.changes(client, ("post", "/api/v3/deliveries/cancellations", "", filter), by("job.created")).await;
    assert_eq!(started["kind"], "replay", "{started}");

    let wasm = client.get("/plugins/field-map/wasm").await.bytes.to_vec();
    walk.sent.insert("put /api/v3/plugins/{name}".to_owned());
    client.upload("mine", wasm).await;
    let log = entries(&walk.operator, "").await;
    assert_eq!((log.len() - walk.known, &log[0]["action"]), (1, &json!("plugin.uploaded")));
    walk.known = log.len();
    walk.changes(client, ("delete", "/api/v3/plugins/{name}", "mine", Value::Null), by("plugin.deleted"))
        .await;
    walk.changes(client, ("delete", one, &hook, Value::Null), by("hook.deleted")).await;
}

/// A hook that needs a handshake: the engine makes the first one by itself.
async fn handshake(walk: &mut Walk, client: &Client) {
    let allowed = |name: &'static str, value: &str| (name, value.to_owned());
    let receiver = Receiver::responding(move |_| {
        let headers = vec![allowed("WebHook-Allowed-Origin", "*"), allowed("WebHook-Allowed-Rate", "*")];
        Reply::Status(200, headers, Vec::new())
    })
    .await;
    let hook = json!({"url": receiver.url("/"), "types": ["never.*"], "handshake": "cloudevents"});
    let hook = client.post("/hooks", hook).await.expect(201)["id"].as_str().unwrap().to_owned();
    crate::start::hook_when(client, &hook, |hook| hook["handshake_result"]["state"] != "pending").await;
    let log = entries(&walk.operator, "").await;
    let by_engine = (&log[0]["actor"]["type"], &log[1]["action"]);
    assert_eq!(
        (log.len() - walk.known, by_engine),
        (2, (&json!("engine"), &json!("hook.created"))),
        "{log:#?}"
    );
    walk.known = log.len();
    let again = ("post", "/api/v3/hooks/{id}/handshake", hook.as_str(), Value::Null);
    walk.changes(client, again, ("hook.updated", "key", "test")).await;
}

/// A job that lasts: its hook's receiver holds what it gets.
async fn jobs(walk: &mut Walk, client: &Client) {
    let by = |action| (action, "key", "test");
    let receiver = Receiver::start().await;
    let hook = json!({"url": receiver.url("/"), "types": ["kept"], "paused": true});
    let hook = id(&walk.changes(client, ("post", "/api/v3/hooks", "", hook), by("hook.created")).await);
    for _ in 0..20 {
        client.publish("kept", json!({})).await;
    }
    let since = json!({"since": "2020-01-01T00:00:00Z", "max_per_second": 0.1});
    let event = client.publish("never", json!({"name": SECRET})).await;
    walk.changes(client, ("delete", "/api/v3/events/{id}", &event, Value::Null), by("event.erased")).await;
    let cancelled = json!({"hook": hook});
    walk.changes(client, ("post", "/api/v3/deliveries/cancellations", "", cancelled), by("job.created"))
        .await;
    crate::start::hook_when(client, &hook, |hook| hook["state"]["name"] == "paused").await;
    let job = id(&walk
        .changes(client, ("post", "/api/v3/hooks/{id}/replays", &hook, since), by("job.created"))
        .await);
    for (path, action) in [("pause", "job.paused"), ("resume", "job.resumed"), ("cancel", "job.cancelled")] {
        let path = format!("/api/v3/jobs/{{id}}/{path}");
        walk.changes(client, ("post", &path, &job, Value::Null), by(action)).await;
    }
}

/// The APIs of other systems.
async fn other_surfaces(walk: &mut Walk, client: &Client, anonymous: &Client) {
    let by = |action| (action, "key", "test");
    let put = json!({"url": format!("https://127.0.0.1:9/{SECRET}"), "types": ["*"], "headers": {"x-token": SECRET}});
    let path = "/api/v3/apizee/webhook";
    walk.changes(client, ("put", path, "", put), by("hook.created")).await;
    walk.changes(client, ("delete", path, "", Value::Null), by("hook.deleted")).await;

    client.post("/projects", json!({"id": 9})).await.expect(201);
    walk.known += 1;
    let put =
        json!({"endpoint": format!("https://127.0.0.1:9/{SECRET}"), "http_authorization_value": SECRET});
    let path = "/api/v1/projects/9/web_hook";
    walk.changes(client, ("put", path, "", put), by("hook.created")).await;
    walk.changes(client, ("delete", path, "", Value::Null), by("hook.deleted")).await;

    let tokens = "/api/v2/domains/acme/settings/token";
    let key = client.clone();
    let made = json!({"expire": FAR, "role": "admin"});
    // The key is sent as this surface has it.
    let made =
        walk.changes(&key, ("post", tokens, "", made), by("domain_token.created")).await["data"].clone();
    let uuid = made["uuid"].as_str().unwrap();
    let token = anonymous.clone().with_header("x-access-token", made["token"].as_str().unwrap());
    let by_token = |action| (action, "domain_token", "admin");
    let action = json!({"type": "web", "method": "POST", "url": format!("http://127.0.0.1:9/{SECRET}")});
    let hook = json!({"event": "a", "enable": true, "action": action});
    let made =
        walk.changes(&token, ("post", "/api/v2/hooks", "", hook.clone()), by_token("hook.created")).await;
    let hook_id = made["data"]["insertedIds"][0].as_str().unwrap().to_owned();
    let one = format!("/api/v2/hooks/{hook_id}");
    let changed = json!({"event": "b", "enable": true, "action": hook["action"]});
    walk.changes(&token, ("put", &one, "", changed), by_token("hook.updated")).await;
    walk.changes(&token, ("delete", &one, "", Value::Null), by_token("hook.deleted")).await;
    let one = format!("{tokens}/{uuid}");
    walk.changes(&key, ("patch", &one, "", json!({"state": false})), by("domain_token.updated")).await;
    walk.changes(&key, ("delete", &one, "", Value::Null), by("domain_token.deleted")).await;
}

#[tokio::test]
async fn each_change_leaves_one_entry_without_a_secret() {
    let mut server = Server::start(BINARY).await;
    let key = server.tenant_key("acme").await;
    let operator = server.operator();
    // Version 2 has its own header for keys.
    let client = Client::new(server.base(), &key).with_header("x-access-token", &key);
    let known = entries(&operator, "").await.len();
    let mut walk = Walk { operator: operator.clone(), known, sent: BTreeSet::new() };
    access(&mut walk, &client, &operator).await;
    hooks(&mut walk, &client).await;
    handshake(&mut walk, &client).await;
    jobs(&mut walk, &client).await;
    let anonymous = Client::new(server.base(), "").without_key();
    other_surfaces(&mut walk, &client, &anonymous).await;

    let document = client.get("/openapi.json").await.expect(200);
    let mut left = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let methods = item.as_object().unwrap().keys().filter(|method| *method != "get");
        left.extend(methods.map(|method| format!("{method} {path}")).filter(|it| !walk.sent.contains(it)));
    }
    let exempt: BTreeSet<String> = NO_CONFIGURATION.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(left, exempt, "an operation that changes configuration must be sent by this test");

    let log = entries(&operator, "").await;
    let text = json!(log).to_string();
    for secret in [SECRET, "whsec_", key.trim_start_matches("hwk_"), "eyJ"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // An entry is never changed.
    server.kill().await;
    let server = server.restart().await;
    assert_eq!(entries(&server.operator(), "").await, log);
}
