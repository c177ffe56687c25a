//! API keys: names, ends, last uses, and replacement.

use std::time::Duration;

use hookwright_tests::{Client, Server, TIMEOUT, from_now};
use serde_json::{Value, json};

use crate::start::engine;

/// A time from now on, as the API takes it.
fn in_future(wait: Duration) -> String {
    format!("{:.3}", from_now(wait))
}

fn with_key(server: &Server, made: &Value) -> Client {
    Client::new(server.base(), made["key"].as_str().expect("a new key is shown"))
}

async fn shown(client: &Client, id: &Value) -> Value {
    let keys = client.get("/keys").await.expect(200);
    keys["data"].as_array().unwrap().iter().find(|key| key["id"] == *id).cloned().unwrap_or_default()
}

/// Waits until requests of `client` are refused, and returns the refusal.
async fn refused(client: &Client) -> Value {
    let began = std::time::Instant::now();
    loop {
        let response = client.get("/hooks").await;
        if response.status == 401 {
            return response.json();
        }
        assert!(began.elapsed() < TIMEOUT, "still accepted");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn patch(client: &Client, id: &Value, patch: Value) -> hookwright_tests::Response {
    client.patch(&format!("/keys/{}", id.as_str().unwrap()), patch).await
}

#[tokio::test]
async fn an_expired_key_is_refused_with_the_reason_and_listed_until_it_is_deleted() {
    let (server, client) = engine().await;
    let end = in_future(Duration::from_secs(2));
    let made = client.post("/keys", json!({"name": "short", "expires_at": end})).await.expect(201);
    assert_eq!((&made["expired"], &made["last_used_at"]), (&json!(false), &Value::Null));
    assert_eq!(made["prefix"], made["key"].as_str().unwrap()[..8]);
    let short = with_key(&server, &made);
    short.get("/hooks").await.expect(200);
    let problem = refused(&short).await;
    assert_eq!(problem["type"], "/problems/unauthenticated");
    assert!(problem["detail"].as_str().unwrap().starts_with("the key expired at 20"), "{problem}");
    let listed = shown(&client, &made["id"]).await;
    assert_eq!((&listed["expired"], &listed["key"]), (&json!(true), &Value::Null));
    // A later end makes it valid again.
    patch(&client, &made["id"], json!({"expires_at": null})).await.expect(200);
    short.get("/hooks").await.expect(200);
    // The other surfaces refuse it as well.
    patch(&client, &made["id"], json!({"expires_at": in_future(Duration::from_millis(500))}))
        .await
        .expect(200);
    refused(&short).await;
    let v1 = short.send("GET", "/api/v1/projects/1/web_hook", "", &[]).await;
    assert_eq!(v1.status, 403, "{}", v1.json());
    let v2 = Client::new(server.base(), "").without_key();
    let v2 = v2.send("GET", "/api/v2/hooks", "", &[("x-access-token", made["key"].as_str().unwrap())]).await;
    assert_eq!((v2.status, &v2.json()["info"]), (401, &json!("Token Expired")));

    let path = format!("/api/v3/keys/{}", made["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    assert_eq!(short.get("/hooks").await.json()["detail"].as_str().unwrap().find("expired"), None);
}

#[tokio::test]
async fn a_key_is_changed_and_the_change_survives_a_restart() {
    let (server, client) = engine().await;
    let made = client.post("/keys", json!({"name": "old", "scopes": ["audit:read"]})).await.expect(201);
    let changed =
        patch(&client, &made["id"], json!({"name": "new", "expires_at": "2100-01-01T00:00:00Z"})).await;
    let changed = changed.expect(200);
    assert_eq!(
        (&changed["name"], &changed["expires_at"]),
        (&json!("new"), &json!("2100-01-01T00:00:00.000Z"))
    );
    assert_eq!(patch(&client, &made["id"], json!({})).await.expect(200), changed);
    with_key(&server, &made).get("/audit-log").await.expect(200);
    for (body, pointer) in [
        (json!({"name": ""}), "/name"),
        (json!({"expires_at": "2020-01-01T00:00:00Z"}), "/expires_at"),
        (json!({"expires_at": "soon"}), "/expires_at"),
        (json!({"scopes": ["hooks:read"]}), "/scopes"),
    ] {
        let refused = patch(&client, &made["id"], body.clone()).await.expect(400);
        assert_eq!(refused["pointer"], pointer, "{body}");
    }
    let used = shown(&client, &made["id"]).await["last_used_at"].clone();
    assert!(used.is_string(), "{used}");
    let mut server = server;
    assert_eq!(server.terminate().await, Some(0));
    let server = server.restart().await;
    let client = client.at(server.base());
    let after = shown(&client, &made["id"]).await;
    let expected = (&json!("new"), &json!(["audit:read"]), &json!("2100-01-01T00:00:00.000Z"));
    assert_eq!((&after["name"], &after["scopes"], &after["expires_at"]), expected);
    assert!(after["last_used_at"].is_string(), "the last use is stored: {after}");
    with_key(&server, &made).get("/audit-log").await.expect(200);
}

#[tokio::test]
async fn a_replaced_key_is_accepted_for_as_long_as_asked() {
    let (server, client) = engine().await;
    let scopes = json!(["hooks:read", "keys:write"]);
    let made = client.post("/keys", json!({"name": "ci", "scopes": scopes})).await.expect(201);
    let old = with_key(&server, &made);
    let path = format!("/keys/{}/rotate", made["id"].as_str().unwrap());
    // A key may replace itself.
    let new = old.post(&path, json!({})).await;
    assert_eq!(new.headers["cache-control"], "no-store");
    let new = new.expect(201);
    assert_eq!((&new["name"], &new["scopes"], &new["expires_at"]), (&json!("ci"), &scopes, &Value::Null));
    for key in [&old, &with_key(&server, &new)] {
        key.get("/hooks").await.expect(200);
    }
    let end = shown(&client, &made["id"]).await["expires_at"].clone();
    let end: jiff::Timestamp = end.as_str().unwrap().parse().unwrap();
    let in_a_day = from_now(Duration::from_secs(24 * 3600));
    assert!((in_a_day - end).total(jiff::Unit::Second).unwrap().abs() < 600.0, "{end}");
    // Once more, and the old key ends at once; the earlier end of the first stays.
    let path = format!("/keys/{}/rotate", new["id"].as_str().unwrap());
    let newest = client.post(&path, json!({"name": "CI", "old_expires_in_s": 0})).await.expect(201);
    assert_eq!(newest["name"], "CI");
    refused(&with_key(&server, &new)).await;
    old.get("/hooks").await.expect(200);
    for body in
        [json!({"old_expires_in_s": 2_592_001}), json!({"old_expires_in_s": -1}), json!({"scopes": []})]
    {
        client.post(&path, body).await.expect(400);
    }
    // A key cannot get the text of one that may do more.
    let strong = client.post("/keys", json!({"name": "strong"})).await.expect(201);
    let weak = with_key(&server, &newest);
    weak.post(&format!("/keys/{}/rotate", strong["id"].as_str().unwrap()), json!({})).await.expect(403);
    patch(&weak, &strong["id"], json!({"expires_at": null})).await.expect(403);
    patch(&weak, &strong["id"], json!({"name": "weak"})).await.expect(200);
}
