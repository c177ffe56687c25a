//! Authentication: time-based passwords and the engine's keys.

use hookwright_tests::Client;
use serde_json::json;

use super::{WEB_HOOK, basic, client_of, engine, text};

const SECRET: &str = "some-api-secret";

async fn server_time(client: &Client) -> i64 {
    let response = client.clone().without_key().send("GET", "/api/v1/time", "", &[]).await.expect(200);
    assert_eq!(response["status"], "success");
    response["result"]["timestamp"].as_i64().unwrap()
}

#[tokio::test]
async fn a_login_authenticates_with_a_time_based_password() {
    let (_server, client) = engine().await;
    let made = client.post("/logins", json!({"name": "username", "secret": SECRET})).await.expect(201);
    assert!(made.get("secret").is_none(), "{made}");
    let now = server_time(&client).await;
    let anonymous = client.clone().without_key();
    let no_web_hook = r#"{"status":"not found","message":"project 1249918 has no web hook"}"#;
    for (authorization, timestamp) in
        [("authorization", "x-api-timestamp"), ("http-authorization", "http-x-api-timestamp")]
    {
        for difference in [0, -290, 290] {
            let (value, at) = (basic("username", SECRET, now + difference), (now + difference).to_string());
            let headers = [(authorization, value.as_str()), (timestamp, at.as_str())];
            let response = anonymous.send("GET", WEB_HOOK, "", &headers).await;
            assert_eq!(response.status, 404, "{headers:?}");
            assert_eq!(response.bytes, no_web_hook);
        }
    }
    // Use differences of several hundred seconds, because clocks are not exact to the second.
    let right = basic("username", SECRET, now);
    let old = basic("username", SECRET, now - 400);
    let now_text = now.to_string();
    let old_text = (now - 400).to_string();
    let refused: Vec<Vec<(&str, &str)>> = vec![
        vec![],
        vec![("x-api-timestamp", &now_text)],
        vec![("authorization", &right)],
        vec![("authorization", &right), ("x-api-timestamp", "now")],
        vec![("authorization", &right), ("x-api-timestamp", &now_text), ("x-api-timestamp", &now_text)],
        vec![("authorization", &right), ("authorization", &right), ("x-api-timestamp", &now_text)],
        vec![("authorization", &right), ("x-api-timestamp", &old_text)],
        vec![("authorization", &old), ("x-api-timestamp", &old_text)],
        vec![("authorization", "Basic dXNlcm5hbWU6cGFzc3dvcmQ="), ("x-api-timestamp", &now_text)],
        vec![("authorization", "Basic !"), ("x-api-timestamp", &now_text)],
        vec![("authorization", "Digest x"), ("x-api-timestamp", &now_text)],
        vec![("authorization", "Bearer hwk_nobodys")],
    ];
    for headers in refused {
        let response = anonymous.send("GET", WEB_HOOK, "", &headers).await;
        assert_eq!(response.status, 403, "{headers:?}");
        let body = response.json();
        assert_eq!(body["status"], "forbidden", "{headers:?}");
        assert!(body.get("result").is_none() && body["message"].as_str().unwrap().len() > 10, "{body}");
    }
    // An unknown login is indistinguishable from a wrong password.
    let wrong = basic("username", "another-secret", now);
    let unknown = basic("stranger", SECRET, now);
    let responses = [wrong, unknown].map(|value| (value, now_text.clone()));
    let mut texts = Vec::new();
    for (value, at) in &responses {
        let headers = [("authorization", value.as_str()), ("x-api-timestamp", at.as_str())];
        texts.push(anonymous.send("GET", WEB_HOOK, "", &headers).await.bytes);
    }
    assert_eq!(texts[0], texts[1]);

    client.send("DELETE", "/api/v3/logins/username", "", &[]).await.expect(204);
    let headers = [("authorization", right.as_str()), ("x-api-timestamp", now_text.as_str())];
    anonymous.send("GET", WEB_HOOK, "", &headers).await.expect(403);
}

#[tokio::test]
async fn a_generated_secret_is_shown_once_and_works() {
    let (_server, client) = engine().await;
    let made = client.post("/logins", json!({"name": "made"})).await.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    let listed = client.get("/logins").await;
    assert_eq!(listed.expect(200)["data"][0]["name"], "made");
    assert!(!String::from_utf8_lossy(&listed.bytes).contains(&secret));
    let now = server_time(&client).await;
    let (value, at) = (basic("made", &secret, now), now.to_string());
    let headers = [("authorization", value.as_str()), ("x-api-timestamp", at.as_str())];
    client.clone().without_key().send("GET", WEB_HOOK, "", &headers).await.expect(404);
    // A login is valid only for this API.
    client.without_key().send("GET", "/api/v3/hooks", "", &headers).await.expect(401);
}

#[tokio::test]
async fn keys_of_the_engine_are_accepted_within_their_scopes() {
    let (server, client) = engine().await;
    let reader = client.post("/keys", json!({"name": "r", "scopes": ["hooks:read"]})).await.expect(201);
    let reader = Client::new(server.base(), reader["key"].as_str().unwrap());
    text(&reader, "GET", WEB_HOOK, "", 404).await;
    for (method, path) in [
        ("PUT", WEB_HOOK.to_owned()),
        ("DELETE", WEB_HOOK.to_owned()),
        ("POST", format!("{WEB_HOOK}/trigger_session_test")),
        ("GET", format!("{WEB_HOOK}/events/1")),
    ] {
        let refused = text(&reader, method, &path, "", 403).await;
        assert!(
            refused.starts_with(r#"{"status":"forbidden","message":"the key lacks the scope"#),
            "{refused}"
        );
    }
    // The operator acts for the tenant in its header.
    let operator = server.operator();
    text(&operator, "GET", WEB_HOOK, "", 400).await;
    text(&operator.with_header("hookwright-tenant", "acme"), "GET", WEB_HOOK, "", 404).await;
}

#[tokio::test]
async fn logins_are_checked() {
    let (server, client) = engine().await;
    client.post("/logins", json!({"name": "taken"})).await.expect(201);
    for (body, status) in [
        (json!({}), 400),
        (json!({"name": ""}), 400),
        (json!({"name": "a:b"}), 400),
        (json!({"name": "a;b"}), 400),
        (json!({"name": "a\nb"}), 400),
        (json!({"name": "a".repeat(129)}), 400),
        (json!({"name": 1}), 400),
        (json!({"name": "x", "secret": "short"}), 400),
        (json!({"name": "x", "secret": "s".repeat(257)}), 400),
        (json!({"name": "x", "secret": null, "more": 1}), 400),
        (json!({"name": "taken"}), 409),
    ] {
        client.post("/logins", body).await.expect(status);
    }
    let other_tenant = server.tenant("globex").await;
    other_tenant.send("DELETE", "/api/v3/logins/taken", "", &[]).await.expect(404);
    assert_eq!(client.get("/logins").await.expect(200)["data"].as_array().unwrap().len(), 1);
    // A key cannot create a login with more permissions than its own.
    let all = ["hooks:read", "hooks:write", "deliveries:read", "keys:write"];
    for missing in all {
        let scopes: Vec<_> = all.into_iter().filter(|scope| *scope != missing).collect();
        let key = client.post("/keys", json!({"name": "k", "scopes": scopes})).await.expect(201);
        let weak = Client::new(server.base(), key["key"].as_str().unwrap());
        weak.post("/logins", json!({"name": "x"})).await.expect(403);
    }
}

#[tokio::test]
async fn tenants_with_logins_of_the_same_name_are_distinguished_by_the_secret() {
    let (server, first) = engine().await;
    let second = client_of(&server, "globex", 7, 8).await;
    first.post("/logins", json!({"name": "username", "secret": "secret-of-the-first"})).await.expect(201);
    second.post("/logins", json!({"name": "username", "secret": "secret-of-the-second"})).await.expect(201);
    let now = server_time(&first).await;
    let anonymous = first.clone().without_key();
    let ask = async |secret: &str, path: &str, status| {
        let (value, at) = (basic("username", secret, now), now.to_string());
        let headers = [("authorization", value.as_str()), ("x-api-timestamp", at.as_str())];
        let response = anonymous.send("GET", path, "", &headers).await.expect(status);
        response["message"].as_str().unwrap().to_owned()
    };
    let theirs = "/api/v1/projects/8/web_hook";
    assert_eq!(ask("secret-of-the-first", WEB_HOOK, 404).await, "project 1249918 has no web hook");
    assert_eq!(ask("secret-of-the-first", theirs, 404).await, "there is no project 8");
    assert_eq!(ask("secret-of-the-second", theirs, 404).await, "project 8 has no web hook");
    // With the same name and secret the tenant would be ambiguous, so the second login is refused. The first still
    // works.
    first.send("DELETE", "/api/v3/logins/username", "", &[]).await.expect(204);
    first.post("/logins", json!({"name": "username", "secret": "secret-of-the-second"})).await.expect(409);
    assert_eq!(ask("secret-of-the-second", theirs, 404).await, "project 8 has no web hook");
}
