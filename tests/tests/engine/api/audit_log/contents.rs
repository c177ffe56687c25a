//! What entries say, who sees them, and that refused requests leave none.

use hookwright_tests::{Client, Receiver, Reply, Response};
use serde_json::{Value, json};

use super::entries;
use crate::start::{engine, hook, hook_when, patch_hook};

/// The newest entry.
async fn last(client: &Client) -> Value {
    client.get("/audit-log?limit=1").await.expect(200)["data"][0].clone()
}

#[tokio::test]
async fn an_entry_names_the_members_with_values_that_are_not_secret() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"description": "a"})).await;
    patch_hook(&client, &id, json!({"enabled": false, "description": "b", "timeout_ms": 500})).await;
    let entry = last(&client).await;
    let shown = |member: &str, old: Value, new: Value| json!({"member": member, "old": old, "new": new});
    assert_eq!(
        entry["changes"],
        json!([
            shown("enabled", json!(true), json!(false)),
            {"member": "description"},
            shown("timeout_ms", json!(20_000), json!(500)),
            shown("disabled_why", Value::Null, json!("by_hand")),
        ])
    );
    assert_eq!(entry["object"], json!({"type": "hook", "id": id, "name": null}));
    assert_eq!((&entry["surface"], &entry["action"]), (&json!("v3"), &json!("hook.updated")));
    let key = client.get("/keys").await.expect(200)["data"][0].clone();
    assert_eq!(entry["actor"], json!({"type": "key", "id": key["id"], "name": "test"}));
    assert_eq!(entry["tenant"], server.operator().get("/tenants/acme").await.expect(200)["id"]);

    let expiring = json!({"name": "k", "expires_at": "2100-01-01T00:00:00Z", "scopes": ["audit:read"]});
    client.post("/keys", expiring).await.expect(201);
    let changes = last(&client).await["changes"].clone();
    assert_eq!(changes[1], shown("scopes", Value::Null, json!(["audit:read"])), "{changes}");
    assert_eq!(changes[2], shown("expires_at", Value::Null, json!("2100-01-01T00:00:00.000Z")), "{changes}");
}

#[tokio::test]
async fn what_the_engine_does_by_itself_is_in_the_log() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(410)).await;
    let id = hook(&client, &receiver, json!({})).await;
    client.publish("a", json!({})).await;
    hook_when(&client, &id, |hook| hook["enabled"] == false).await;
    let entry = last(&client).await;
    assert_eq!((&entry["action"], &entry["object"]["id"]), (&json!("hook.disabled"), &json!(id)));
    assert_eq!(entry["actor"], json!({"type": "engine", "id": null, "name": null}));
    assert_eq!((&entry["surface"], &entry["address"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_refused_change_leaves_no_entry() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let hook = hook(&client, &receiver, json!({})).await;
    client.post("/projects", json!({"id": 7})).await.expect(201);
    client.post("/logins", json!({"name": "user", "secret": "long-enough"})).await.expect(201);
    let limited = client.post("/keys", json!({"name": "l", "scopes": ["keys:write"]})).await.expect(201);
    let limited = Client::new(server.base(), limited["key"].as_str().unwrap());
    let operator = server.operator();
    let before = entries(&operator, "").await.len();
    let patch = [("content-type", "application/merge-patch+json")];
    let send = |client: &Client, method: &'static str, path: String, body: Value| {
        let client = client.clone();
        async move {
            let text = if body.is_null() { String::new() } else { body.to_string() };
            let headers = if method == "PATCH" { &patch[..] } else { &[] };
            client.send(method, &format!("/api/v3{path}"), text, headers).await
        }
    };
    let unknown = "hook_0000000000001";
    let cases: Vec<(&Client, &'static str, String, Value, u16)> = vec![
        (&client, "POST", "/hooks".to_owned(), json!({"url": "x", "types": ["*"]}), 400),
        (&client, "PATCH", format!("/hooks/{hook}"), json!({"timeout_ms": 1}), 400),
        (&client, "PATCH", format!("/hooks/{unknown}"), json!({"enabled": false}), 404),
        (&client, "DELETE", format!("/hooks/{unknown}"), Value::Null, 404),
        (&client, "GET", format!("/hooks/{unknown}/secret"), Value::Null, 404),
        (&limited, "GET", format!("/hooks/{hook}/secret"), Value::Null, 403),
        (&limited, "DELETE", format!("/hooks/{hook}"), Value::Null, 403),
        (&limited, "POST", "/keys".to_owned(), json!({"name": "x", "scopes": ["hooks:write"]}), 403),
        (&client, "POST", "/projects".to_owned(), json!({"id": 7}), 409),
        (&client, "POST", "/logins".to_owned(), json!({"name": "user", "secret": "long-enough"}), 409),
        (&client, "DELETE", "/keys/key_0000000000001".to_owned(), Value::Null, 404),
        (&client, "PATCH", "/keys/key_0000000000001".to_owned(), json!({"name": "x"}), 404),
        (&client, "POST", "/keys/key_0000000000001/rotate".to_owned(), json!({}), 404),
        (&client, "POST", "/tenants".to_owned(), json!({"name": "x"}), 403),
        (&operator, "POST", "/tenants".to_owned(), json!({"name": "acme"}), 409),
        (&client, "POST", "/operator-keys".to_owned(), json!({"name": "x"}), 403),
        (&client, "POST", "/jobs/job_0000000000001/cancel".to_owned(), Value::Null, 404),
        (&client, "POST", "/events".to_owned(), json!({"type": "a", "data": 1}), 202),
    ];
    for (client, method, path, body, status) in cases {
        let response: Response = send(client, method, path.clone(), body).await;
        assert_eq!(response.status, status, "{method} {path}: {}", response.json());
    }
    let wrong = Client::new(server.base(), "hwk_wrong");
    wrong.post("/hooks", json!({"url": receiver.url("/"), "types": ["*"]})).await.expect(401);
    let log = entries(&operator, "").await;
    assert_eq!(log.len(), before, "{:#?}", &log[..log.len() - before]);
}

#[tokio::test]
async fn what_is_already_so_leaves_no_entry_and_does_not_count() {
    let (server, client) = engine().await;
    let operator = server.operator();
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"headers": {"x-a": "1"}, "description": "a"})).await;
    for number in 0..3 {
        let event = client.publish("t", json!({"n": number})).await;
        client.finished(&event).await;
    }
    let slow = json!({"since": "2020-01-01T00:00:00Z", "max_per_second": 0.1});
    let job = client.post(&format!("/hooks/{id}/replays"), slow).await.expect(202)["id"].clone();
    let key = client.post("/keys", json!({"name": "k"})).await.expect(201)["id"].clone();
    let (hook, job) = (format!("/hooks/{id}"), format!("/api/v3/jobs/{}", job.as_str().unwrap()));
    let key = format!("/keys/{}", key.as_str().unwrap());
    let pause = async || client.send("POST", &format!("{job}/pause"), "", &[]).await.expect(200);
    let (paused, limited) = (json!({"paused": true}), json!({"paused": true, "max_per_second": 5}));
    pause().await;
    client.patch(&hook, paused.clone()).await.expect(200);
    operator.patch("/tenants/acme", limited.clone()).await.expect(200);
    let used = async || operator.get("/tenants/acme").await.expect(200)["usage"]["changes_per_day"].clone();
    let (shown, log, before) =
        (client.get(&hook).await.expect(200), entries(&operator, "").await, used().await);

    pause().await;
    client.patch(&hook, paused).await.expect(200);
    client.send("PUT", &format!("/api/v3{hook}"), shown.to_string(), &[]).await.expect(200);
    client.patch(&key, json!({"name": "k"})).await.expect(200);
    operator.patch("/tenants/acme", limited).await.expect(200);
    operator.patch("/engine", json!({"paused": false})).await.expect(200);
    assert_eq!(client.get(&hook).await.expect(200), shown);
    assert_eq!(entries(&operator, "").await, log);
    assert_eq!(used().await, before);
}

#[tokio::test]
async fn a_tenant_sees_only_its_own_entries_and_not_who_the_operator_is() {
    let (server, client) = engine().await;
    let other = server.tenant("globex").await;
    let operator = server.operator();
    other.post("/projects", json!({"id": 1})).await.expect(201);
    let acme = operator.get("/tenants/acme").await.expect(200)["id"].clone();
    operator.patch("/tenants/acme", json!({"max_per_second": 5})).await.expect(200);
    operator.patch("/engine", json!({"paused": true})).await.expect(200);

    let own = entries(&client, "").await;
    assert!(own.iter().all(|entry| entry["tenant"] == acme), "{own:#?}");
    let actions: Vec<_> = own.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["tenant.updated", "key.created", "tenant.created"]);
    assert_eq!(own[0]["actor"], json!({"type": "operator_key", "id": null, "name": null}));
    assert_eq!(own[0]["address"], Value::Null);
    assert_eq!(entries(&client, "&tenant=acme").await, own);
    client.get("/audit-log?tenant=globex").await.expect(400);
    assert_eq!(entries(&client, "&actor=operator_key").await, own);
    assert_eq!(entries(&client, "&actor=admin_key").await, Vec::<Value>::new(), "it could be guessed");
    assert!(!entries(&operator, "&actor=admin_key").await.is_empty());

    let all = entries(&operator, "").await;
    assert_eq!(all[0]["action"], "engine.paused");
    assert_eq!((&all[0]["tenant"], &all[0]["actor"]["name"]), (&Value::Null, &json!("admin_key")));
    assert_eq!(all.len(), 7, "{all:#?}");
    for named in [entries(&operator, "&tenant=acme").await, {
        entries(&operator.clone().with_header("hookwright-tenant", "acme"), "").await
    }] {
        let ids = |entries: &[Value]| entries.iter().map(|entry| entry["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(&named), ids(&own));
    }

    let key = client.post("/keys", json!({"name": "k", "scopes": ["keys:read"]})).await.expect(201);
    Client::new(server.base(), key["key"].as_str().unwrap()).get("/audit-log").await.expect(403);
}

#[tokio::test]
async fn entries_are_found_by_time_actor_action_and_object() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let first = hook(&client, &receiver, json!({})).await;
    let second = hook(&client, &receiver, json!({})).await;
    patch_hook(&client, &second, json!({"enabled": false})).await;
    client.get(&format!("/hooks/{second}/secret")).await.expect(200);
    let log = entries(&client, "").await;
    let at = log[0]["at"].as_str().unwrap();
    for (query, expected) in [
        (format!("&object={first}"), vec!["hook.created"]),
        ("&action=hook.created".to_owned(), vec!["hook.created", "hook.created"]),
        ("&action=hook&limit=1".to_owned(), vec![]),
        (format!("&action=hook&object={second}"), vec!["hook.secret_read", "hook.updated", "hook.created"]),
        ("&action=hoo".to_owned(), vec![]),
        ("&actor=operator_key".to_owned(), vec!["key.created", "tenant.created"]),
        ("&actor=test&action=hook.updated".to_owned(), vec!["hook.updated"]),
        (format!("&since={at}"), vec!["hook.secret_read"]),
        ("&until=2026-01-01T00:00:00Z".to_owned(), vec![]),
    ] {
        if query.contains("limit=1") {
            // A parameter that comes twice.
            client.get(&format!("/audit-log?limit=100{query}")).await.expect(400);
            continue;
        }
        let found = entries(&client, &query).await;
        let actions: Vec<_> = found.iter().map(|entry| entry["action"].as_str().unwrap()).collect();
        assert_eq!(actions, expected, "{query}");
    }
    // Pages follow each other.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/audit-log?limit=1{cursor}")).await.expect(200);
        paged.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, log);
    for query in [
        "since=x",
        "actor=",
        "object=",
        "action=",
        "tenant=none",
        "limit=0",
        "until=2020-01-01T00:00:00Z&since=2021-01-01T00:00:00Z",
    ] {
        client.get(&format!("/audit-log?{query}")).await.expect(400);
    }
    // Nothing changes the log.
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        client.send(method, "/api/v3/audit-log", "", &[]).await.expect(405);
    }
}
