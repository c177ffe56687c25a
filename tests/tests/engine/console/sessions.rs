//! Sessions that begin with a key.

use hookwright_tests::server::ADMIN_KEY;
use hookwright_tests::{Client, Server};
use serde_json::{Value, json};

use super::{anonymous, cookie_of, sign_in, signed_in};
use crate::{BINARY, engine};

async fn key_with(client: &Client, members: Value) -> Value {
    let mut input = json!({"name": "page"});
    for (name, value) in members.as_object().into_iter().flatten() {
        input[name] = value.clone();
    }
    client.post("/keys", input).await.expect(201)
}

#[tokio::test]
async fn a_key_signs_in_and_its_session_acts_as_the_key() {
    let (server, client) = engine().await;
    let key = key_with(&client, json!({"scopes": ["hooks:read", "hooks:write"]})).await;
    let response = sign_in(&server, json!({"key": key["key"]})).await;
    let session = response.expect(200);
    assert_eq!((&session["tenant"]["name"], &session["operator"]), (&json!("acme"), &json!(false)));
    assert_eq!((&session["scopes"], &session["key"]["id"]), (&key["scopes"], &key["id"]));
    assert_eq!(
        (&session["role"], &session["link"], &session["theme"]),
        (&Value::Null, &json!(false), &Value::Null)
    );
    assert!(session.get("token").is_none());
    let set = response.headers["set-cookie"].to_str().unwrap();
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict", "Max-Age=43200"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    assert!(!set.contains(key["key"].as_str().unwrap()));
    let page = signed_in(&server, json!({"key": key["key"]})).await;
    page.get("/hooks").await.expect(200);
    page.get("/deliveries").await.expect(403);
    let hook = json!({"url": "https://shop.example/", "types": ["*"]});
    page.post("/hooks", hook).await.expect(201);
    let shown = page.send("GET", "/console/session", "", &[]).await.expect(200);
    assert_eq!((&shown["tenant"], &shown["key"]), (&session["tenant"], &session["key"]));
}

#[tokio::test]
async fn behind_a_proxy_with_tls_the_cookie_is_only_sent_over_tls() {
    let server = Server::start(BINARY).await;
    let body = json!({"key": ADMIN_KEY}).to_string();
    let forwarded = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
    let response = anonymous(&server).send("POST", "/console/session", body, &forwarded).await;
    let set = response.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-hookwright_session=") && set.ends_with("; Secure"), "{set}");
    let page = anonymous(&server).with_header("cookie", &cookie_of(&response));
    page.send("GET", "/console/session", "", &forwarded).await.expect(200);
    page.send("GET", "/console/session", "", &[]).await.expect(401);
    // Without the prefix, a page of a sibling of this host may have set it.
    let text = cookie_of(&response).split_once('=').unwrap().1.to_owned();
    let other = anonymous(&server).with_header("cookie", &format!("hookwright_session={text}"));
    other.send("GET", "/console/session", "", &forwarded).await.expect(401);
    let token = response.expect(200)["csrf_token"].as_str().unwrap().to_owned();
    let page = page.with_header("x-csrf-token", &token);
    let gone = page.send("DELETE", "/console/session", "", &forwarded).await;
    let set = gone.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("__Host-hookwright_session=; Path=/; Max-Age=0") && set.ends_with("; Secure"));
}

#[tokio::test]
async fn a_request_that_changes_something_repeats_the_token() {
    let (server, client) = engine().await;
    let key = key_with(&client, json!({})).await["key"].clone();
    let response = sign_in(&server, json!({"key": key})).await;
    let token = response.expect(200)["csrf_token"].as_str().unwrap().to_owned();
    let page = anonymous(&server).with_header("cookie", &cookie_of(&response));
    page.get("/hooks").await.expect(200);
    let project = |id: i64| json!({"id": id});
    for wrong in [None, Some("wrong"), Some("")] {
        let page = page.clone();
        let page = wrong.map_or(page.clone(), |token| page.with_header("x-csrf-token", token));
        let refused = page.post("/projects", project(1)).await.expect(403);
        assert_eq!(refused["parameter"], "X-CSRF-Token");
        page.send("DELETE", "/console/session", "", &[]).await.expect(403);
    }
    page.clone().with_header("x-csrf-token", &token).post("/projects", project(1)).await.expect(201);
    // A key needs no token: browsers add none by themselves.
    client.post("/projects", project(2)).await.expect(201);
}

#[tokio::test]
async fn a_session_ends_with_its_key() {
    let (server, client) = engine().await;
    let soon = "2099-01-01T00:00:00Z";
    let key = key_with(&client, json!({"expires_at": soon})).await;
    let page = signed_in(&server, json!({"key": key["key"]})).await;
    page.get("/hooks").await.expect(200);
    let path = format!("/api/v3/keys/{}", key["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    page.get("/hooks").await.expect(401);
    page.send("GET", "/console/session", "", &[]).await.expect(401);
}

#[tokio::test]
async fn a_session_of_one_tenant_never_sees_another() {
    let (server, client) = engine().await;
    let other = server.tenant("other").await;
    let hook =
        other.post("/hooks", json!({"url": "https://other.example/", "types": ["*"]})).await.expect(201);
    let key = key_with(&client, json!({})).await["key"].clone();
    let page = signed_in(&server, json!({"key": key})).await;
    page.get(&format!("/hooks/{}", hook["id"].as_str().unwrap())).await.expect(404);
    assert_eq!(page.get("/hooks").await.expect(200)["data"], json!([]));
    page.clone().with_header("hookwright-tenant", "other").get("/hooks").await.expect(403);
    let tenants = page.get("/tenants").await.expect(200);
    assert_eq!((&tenants["data"][0]["name"], &tenants["data"][1]), (&json!("acme"), &Value::Null));
}

#[tokio::test]
async fn an_operator_signs_in_and_names_tenants() {
    let (server, client) = engine().await;
    client.post("/hooks", json!({"url": "https://shop.example/", "types": ["*"]})).await.expect(201);
    let session = sign_in(&server, json!({"key": ADMIN_KEY})).await.expect(200);
    assert_eq!((&session["operator"], &session["role"]), (&json!(true), &json!("operator")));
    assert_eq!((&session["tenant"], &session["key"]["name"]), (&Value::Null, &json!("admin_key")));
    let page = signed_in(&server, json!({"key": ADMIN_KEY})).await;
    page.get("/tenants").await.expect(200);
    let hooks = page.clone().with_header("hookwright-tenant", "acme").get("/hooks").await.expect(200);
    assert_eq!(hooks["data"].as_array().unwrap().len(), 1);
    let reader = json!({"name": "reader", "role": "read"});
    let reader = server.operator().post("/operator-keys", reader).await.expect(201);
    let page = signed_in(&server, json!({"key": reader["key"]})).await;
    page.get("/tenants").await.expect(200);
    page.post("/tenants", json!({"name": "third"})).await.expect(403);
}

#[tokio::test]
async fn signing_out_ends_the_cookie() {
    let (server, client) = engine().await;
    let key = key_with(&client, json!({})).await["key"].clone();
    let page = signed_in(&server, json!({"key": key})).await;
    let response = page.send("DELETE", "/console/session", "", &[]).await;
    assert_eq!(response.status, 204);
    assert!(
        response.headers["set-cookie"]
            .to_str()
            .unwrap()
            .starts_with("hookwright_session=; Path=/; Max-Age=0")
    );
}

#[tokio::test]
async fn only_the_own_page_signs_in_and_only_with_a_valid_key() {
    let (server, client) = engine().await;
    let key = key_with(&client, json!({})).await["key"].clone();
    let page = anonymous(&server);
    let body = json!({"key": key}).to_string();
    for site in ["cross-site", "same-site"] {
        let headers = [("sec-fetch-site", site)];
        page.send("POST", "/console/session", body.clone(), &headers).await.expect(403);
    }
    page.send("POST", "/console/session", body.clone(), &[("sec-fetch-site", "same-origin")])
        .await
        .expect(200);
    let form = [("content-type", "text/plain")];
    page.send("POST", "/console/session", body, &form).await.expect(415);
    for (body, status) in [
        (json!({"key": "hwk_unknown"}), 401),
        (json!({"link": "unknown"}), 401),
        (json!({}), 400),
        (json!({"key": key, "embed": true}), 400),
        (json!({"key": key, "link": "x"}), 400),
    ] {
        let response = sign_in(&server, body).await;
        response.expect(status);
        assert!(response.headers.get("set-cookie").is_none());
    }
    page.send("GET", "/console/session", "", &[]).await.expect(401);
    for cookie in ["hookwright_session=", "hookwright_session=AQ", "hookwright_session=%%"] {
        page.clone().with_header("cookie", cookie).get("/hooks").await.expect(401);
    }
}

#[tokio::test]
async fn failed_sign_ins_are_throttled_as_failed_keys_are() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let key = server.tenant_key("acme").await;
    let page = anonymous(&server).with_header("x-forwarded-for", "192.0.2.9");
    let attempt = async |key: &str| {
        page.send("POST", "/console/session", json!({"key": key}).to_string(), &[]).await.status
    };
    let mut statuses = Vec::new();
    for _ in 0..80 {
        statuses.push(attempt("hwk_wrong").await);
    }
    assert!(statuses.contains(&401) && statuses.ends_with(&[429]), "{statuses:?}");
    assert_eq!(attempt(ADMIN_KEY).await, 429, "a key that people chose may be guessed");
    assert_eq!(attempt(&key).await, 200, "a random key cannot be guessed");
}
