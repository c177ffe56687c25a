//! The life of tenants on several nodes.

use std::time::{Duration, Instant};

use hookwright_tests::{Client, Receiver, Response, Server, TIMEOUT, from_now};
use serde_json::{Value, json};

use crate::{BINARY, hook};

/// Repeats a request until its response has this status.
async fn until(client: &Client, method: &str, path: &str, body: &Value, status: u16) -> Response {
    let began = Instant::now();
    loop {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let response = client.send(method, path, body, &[]).await;
        if response.status == status {
            return response;
        }
        assert!(began.elapsed() < TIMEOUT, "{path}: {response:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_through_one_node_holds_on_all_and_another_node_ends_a_deletion() {
    let mut first = Server::start(BINARY).await;
    let second = first.another_node().await;
    let clients = [first.tenant("acme").await, first.tenant("other").await];
    let of_second = clients.clone().map(|client| client.at(second.base()));
    let operators = [first.operator(), second.operator()];
    let patch = async |operator: &Client, tenant: &str, patch: Value| {
        operator.patch(&format!("/tenants/{tenant}"), patch).await.expect(200)
    };
    let receiver = Receiver::start().await;
    hook(&clients[0], &receiver, json!({})).await;
    hook(&clients[1], &receiver, json!({})).await;
    let event = json!({"type": "t", "data": 1});
    let (events, hooks) = ("/api/v3/events", "/api/v3/hooks");

    let id = patch(&operators[0], "acme", json!({"name": "new"})).await["id"].as_str().unwrap().to_owned();
    until(&of_second[0], "GET", "/api/v3/tenants/new", &Value::Null, 200).await;
    until(&of_second[0], "GET", "/api/v3/tenants/acme", &Value::Null, 404).await;
    patch(&operators[1], "new", json!({"suspended": true})).await;
    for client in [&clients[0], &of_second[0]] {
        // Not by repeated events: those that are accepted before would be counted below.
        until(client, "GET", hooks, &Value::Null, 403).await;
        client.send("POST", events, event.to_string(), &[]).await.expect(403);
    }
    patch(&operators[0], "new", json!({"suspended": false, "limits": {"events_per_s": 1_000}})).await;
    for client in [&clients[0], &of_second[0]] {
        let accepted = until(client, "POST", events, &event, 202).await;
        client.finished(accepted.json()["id"].as_str().unwrap()).await;
    }
    let kept = until(&of_second[1], "POST", events, &event, 202).await.json();
    of_second[1].finished(kept["id"].as_str().unwrap()).await;

    operators[0].send("DELETE", "/api/v3/tenants/new?confirm=new", "", &[]).await.expect(202);
    until(&of_second[0], "GET", hooks, &Value::Null, 401).await;
    // Whichever node works on it: the other one ends it.
    first.kill().await;
    let began = Instant::now();
    let ended = loop {
        let shown = operators[1].get(&format!("/tenants/{id}/deletion")).await;
        if shown.status == 200 && shown.json()["state"] == "completed" {
            break shown.json();
        }
        assert!(began.elapsed() < TIMEOUT, "{shown:?}");
        tokio::task::yield_now().await;
    };
    assert_eq!(ended["removed"], json!({"events": 2, "deliveries": 2, "attempts": 2}));
    let shown =
        of_second[1].get(&format!("/events/{}/deliveries", kept["id"].as_str().unwrap())).await.expect(200);
    assert_eq!(shown["data"][0]["state"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_one_node_has_told_of_is_not_told_again_by_another() {
    let server = Server::start(BINARY).await;
    let client = server.tenant("acme").await;
    let monitor = Receiver::start().await;
    hook(&client, &monitor, json!({"types": ["hookwright.key.expiring"]})).await;
    let key_named = async |name: &str| {
        let end = from_now(Duration::from_secs(36_000));
        client.post("/keys", json!({"name": name, "expires_at": end.to_string()})).await.expect(201);
        server.execute("UPDATE api_keys SET created_at = created_at - 2592000000").await;
    };
    // Each node looks when it starts. It looks at older keys first.
    let mut nodes = Vec::new();
    for name in ["first", "second", "third"] {
        key_named(name).await;
        nodes.push(server.another_node().await);
        assert_eq!(monitor.next().await.json()["name"], name);
    }
    assert_eq!(monitor.so_far().len(), 0);
}
