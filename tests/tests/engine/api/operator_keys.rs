//! Named keys of operators.

use std::time::Duration;

use hookwright_tests::{Client, Response, Server};
use serde_json::{Value, json};

use crate::BINARY;
use crate::start::{engine, hook};

fn with_key(server: &Server, made: &Value) -> Client {
    Client::new(server.base(), made["key"].as_str().expect("a new key is shown"))
}

fn path_of(made: &Value) -> String {
    format!("/operator-keys/{}", made["id"].as_str().expect("a key has an id"))
}

async fn patch(client: &Client, made: &Value, patch: Value) -> Response {
    client.patch(&path_of(made), patch).await
}

async fn delete(client: &Client, made: &Value) -> Response {
    client.send("DELETE", &format!("/api/v3{}", path_of(made)), "", &[]).await
}

#[tokio::test]
async fn several_operators_have_keys_of_their_own_that_survive_a_restart() {
    let server = Server::start(BINARY).await;
    let operator = server.operator();
    let alice = operator.post("/operator-keys", json!({"name": "alice"})).await.expect(201);
    let bob = operator.post("/operator-keys", json!({"name": "bob"})).await.expect(201);
    assert_eq!((&alice["role"], &alice["expired"]), (&json!("operator"), &json!(false)));
    operator.post("/operator-keys", json!({"name": "bob"})).await.expect(409);
    operator.post("/operator-keys", json!({"name": "admin_key"})).await.expect(400);
    with_key(&server, &alice).post("/tenants", json!({"name": "acme"})).await.expect(201);
    let named = with_key(&server, &alice).with_header("hookwright-tenant", "acme");
    named.post("/projects", json!({"id": 1})).await.expect(201);

    let mut server = server;
    assert_eq!(server.terminate().await, Some(0));
    let server = server.restart().await;
    let operator = server.operator();
    let listed = operator.get("/operator-keys").await.expect(200)["data"].clone();
    assert_eq!((&listed[0]["name"], &listed[1]["name"]), (&json!("alice"), &json!("bob")));
    assert!(listed[0]["last_used_at"].is_string() && listed[1]["last_used_at"].is_null(), "{listed}");
    assert!(!listed.to_string().contains(alice["key"].as_str().unwrap()), "{listed}");
    with_key(&server, &bob).get("/tenants/acme").await.expect(200);
    delete(&operator, &bob).await.expect(204);
    with_key(&server, &bob).get("/tenants/acme").await.expect(401);
    delete(&operator, &bob).await.expect(404);
    patch(&operator, &alice, json!({"expires_at": "2020-01-01T00:00:00Z"})).await.expect(400);
    let end = format!("{:.3}", hookwright_tests::from_now(Duration::from_millis(300)));
    patch(&operator, &alice, json!({"name": "Alice", "expires_at": end})).await.expect(200);
    let began = std::time::Instant::now();
    while with_key(&server, &alice).get("/tenants").await.status != 401 {
        assert!(began.elapsed() < hookwright_tests::TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let listed = operator.get("/operator-keys").await.expect(200)["data"].clone();
    assert_eq!((&listed[0]["name"], &listed[0]["expired"]), (&json!("Alice"), &json!(true)));
}

#[tokio::test]
async fn a_key_that_only_reads_changes_nothing_and_sees_no_secret() {
    let (server, client) = engine().await;
    let receiver = hookwright_tests::Receiver::start().await;
    let hook = hook(&client, &receiver, json!({})).await;
    let operator = server.operator();
    let made = operator.post("/operator-keys", json!({"name": "monitor", "role": "read"})).await.expect(201);
    let monitor = with_key(&server, &made);
    let acme = monitor.clone().with_header("hookwright-tenant", "acme");
    for path in ["/tenants", "/tenants/acme", "/engine", "/nodes", "/operator-keys", "/audit-log"] {
        monitor.get(path).await.expect(200);
    }
    for path in ["/hooks", "/deliveries", "/events", "/keys", "/jobs", &format!("/hooks/{hook}")] {
        acme.get(path).await.expect(200);
    }
    acme.get(&format!("/hooks/{hook}/secret")).await.expect(403);
    for (path, body) in [
        ("/tenants", json!({"name": "x"})),
        ("/operator-keys", json!({"name": "x"})),
        ("/keys", json!({"name": "x"})),
        ("/events", json!({"type": "a", "data": 1})),
        ("/projects", json!({"id": 1})),
        ("/deliveries/retries", json!({})),
    ] {
        acme.post(path, body).await.expect(403);
    }
    monitor.patch("/engine", json!({"paused": true})).await.expect(403);
    patch(&monitor, &made, json!({"role": "operator"})).await.expect(403);
    // On the other surfaces, too.
    let v2 = monitor.clone().with_header("x-access-token", made["key"].as_str().unwrap());
    let body = json!({"event": "a", "action": {"type": "web", "method": "POST", "url": receiver.url("/")}});
    let refused = v2.send("POST", "/api/v2/hooks?domain=acme", body.to_string(), &[]).await;
    assert_eq!(refused.status, 403, "{}", refused.json());
    acme.send("DELETE", "/api/v3/apizee/webhook", "", &[]).await.expect(403);
}
