//! Common behavior of all routes: envelopes, order of checks, CORS, trailing slashes, unknown routes.

use hookwright_tests::Client;
use hookwright_tests::server::ADMIN_KEY;
use serde_json::{Value, json};

use super::{DOMAIN, call, client_with, create, hook, raw_call, refused, text, webitel};

const URL: &str = "https://example.com/";

/// Creates a key of the domain with these scopes, and returns its client.
async fn scoped(server: &hookwright_tests::Server, engine: &Client, scopes: &[&str]) -> Client {
    let key = engine.post("/keys", json!({"name": "k", "scopes": scopes})).await.expect(201);
    client_with(server, key["key"].as_str().unwrap())
}

#[tokio::test]
async fn the_order_of_checks_is_that_of_the_original_system() {
    let (server, engine, client) = webitel().await;
    let lacking = scoped(&server, &engine, &["keys:read"]).await;
    let operator = client_with(&server, ADMIN_KEY);
    let web = |more: Value| {
        let mut action = json!({"type": "web", "method": "POST", "url": URL});
        for (name, value) in more.as_object().unwrap() {
            action[name] = value.clone();
        }
        json!({"event": "E", "action": action})
    };
    // Each request fails one check more than the next one.
    let event = "Bad request: event name is required.";
    let options = "Bad request: action options is required.";
    for (client, body, status, info) in [
        (&lacking, json!({}), 403, "Permission denied!"),
        (&operator, json!({}), 400, "Bad request: domain is required."),
        (&client, json!({}), 400, event),
        (&client, json!({"event": "", "action": {}}), 400, event),
        (&client, json!({"event": null, "action": {}}), 400, event),
        (&client, json!({"event": "E"}), 400, options),
        (&client, json!({"event": "E", "action": null}), 400, options),
        (&client, json!({"event": "E", "action": {"type": "web", "url": URL}}), 400, options),
        (&client, web(json!({"method": ""})), 400, options),
        (&client, web(json!({"url": null})), 400, options),
        (&client, web(json!({"type": "", "url": "nonsense"})), 400, options),
    ] {
        for path in ["/hooks", "/hooks/59802a53a7ec15000c40926a"] {
            let method = if path == "/hooks" { "POST" } else { "PUT" };
            let response = call(client, method, path, body.clone()).await;
            let expected = format!(r#"{{"status":"error","info":"{info}"}}"#);
            assert_eq!((response.status, text(&response)), (status, expected), "{method} {body}");
        }
    }
    // Without permission or a domain, the response says nothing about the id or the body.
    for (client, status) in [(&lacking, 403), (&operator, 400)] {
        for (method, path, body) in [
            ("GET", "/hooks", ""),
            ("GET", "/hooks/nonsense", ""),
            ("PUT", "/hooks/nonsense", "nonsense"),
            ("DELETE", "/hooks/nonsense", ""),
            ("POST", "/hooks", "nonsense"),
        ] {
            let response = raw_call(client, method, path, body).await;
            let info = refused(&response, status);
            assert!(
                info == "Permission denied!" || info == "Bad request: domain is required.",
                "{method} {info}"
            );
        }
    }
}

#[tokio::test]
async fn each_scope_permits_its_operations() {
    let (server, engine, client) = webitel().await;
    let id = create(&client, hook("E", URL, json!({}))).await;
    let one = format!("/hooks/{id}");
    let event = json!({"Event-Name": "X", "variable_domain_name": DOMAIN});
    let token = format!("/domains/{DOMAIN}/settings/token");
    let calls = [
        ("GET", "/hooks", json!(null), "hooks:read"),
        ("GET", one.as_str(), json!(null), "hooks:read"),
        ("POST", "/hooks", hook("E", URL, json!({})), "hooks:write"),
        ("PUT", one.as_str(), hook("E", URL, json!({})), "hooks:write"),
        ("POST", "/events", event, "events:write"),
        ("DELETE", one.as_str(), json!(null), "hooks:write"),
    ];
    for scope in ["hooks:read", "hooks:write", "events:write", "deliveries:read", "keys:write"] {
        let client = scoped(&server, &engine, &[scope]).await;
        for (method, path, body, needed) in &calls {
            let status = if *needed == scope { 200 } else { 403 };
            let response = call(&client, method, path, body.clone()).await;
            assert_eq!(response.status, status, "{scope}: {method} {path}: {}", text(&response));
        }
        // A token has more permissions than such a key, so the key cannot create one.
        let response = call(&client, "POST", &token, json!({"expire": super::FAR})).await;
        assert_eq!(refused(&response, 403), "Permission denied!", "{scope}");
    }
    let enough = ["keys:write", "hooks:read", "hooks:write", "events:write"];
    let enough = scoped(&server, &engine, &enough).await;
    call(&enough, "POST", &token, json!({"expire": super::FAR})).await.expect(200);
}

#[tokio::test]
async fn a_token_is_accepted_in_header_query_and_body_and_determines_the_domain() {
    let (server, engine, client) = webitel().await;
    let key =
        engine.post("/keys", json!({"name": "k"})).await.expect(201)["key"].as_str().unwrap().to_owned();
    let anonymous = Client::new(server.base(), "").without_key();
    create(&client, hook("E", URL, json!({}))).await;
    let query = format!("/hooks?access_token={key}&x_key=k&domain=globex&unknown=1");
    assert_eq!(
        call(&anonymous, "GET", &query, Value::Null).await.expect(200)["data"].as_array().unwrap().len(),
        1
    );
    let empty = anonymous.clone().with_header("x-access-token", "");
    call(&empty, "GET", &query, Value::Null).await.expect(200);
    let keyed = anonymous.clone().with_header("x-key", "k").with_header("x-access-token", &key);
    call(&keyed, "GET", "/hooks", Value::Null).await.expect(200);

    let mut body = hook("E", URL, json!({}));
    body["access_token"] = json!(key);
    body["x_key"] = json!("k");
    let made = call(&anonymous, "POST", "/hooks?domain=globex", body).await;
    let hook = made.expect(200)["data"]["ops"][0].clone();
    assert_eq!(hook["domain"], DOMAIN);
    assert!(!text(&made).contains(&key), "a token is not part of a hook");
    let of_body = json!({"access_token": key});
    let id = hook["_id"].as_str().unwrap();
    call(&anonymous, "GET", "/hooks", of_body.clone()).await.expect(200);
    call(&anonymous, "DELETE", &format!("/hooks/{id}"), of_body).await.expect(200);

    let form = [("content-type", "application/x-www-form-urlencoded")];
    let response = anonymous.send("POST", "/api/v2/hooks", format!("access_token={key}"), &form).await;
    assert_eq!(refused(&response, 401), "Invalid token");
    for (client, body) in [
        (anonymous.clone(), ""),
        (anonymous.clone(), "nonsense"),
        (anonymous.clone(), "[]"),
        (anonymous.clone(), r#"{"access_token": 5}"#),
        (anonymous.clone(), r#"{"access_token": ""}"#),
        (anonymous.clone().with_header("x-access-token", ""), ""),
        (anonymous.clone().with_header("x-access-token", "hwk_0000"), ""),
        (anonymous.clone().with_header("x-access-token", &key).with_header("x-access-token", &key), ""),
        (anonymous.clone().with_header("authorization", &format!("Bearer {key}")), ""),
        (anonymous.with_header("x-key", &key), ""),
    ] {
        assert_eq!(refused(&raw_call(&client, "GET", "/hooks", body).await, 401), "Invalid token", "{body}");
    }
}

#[tokio::test]
async fn the_operator_acts_for_the_domain_in_the_query() {
    let (server, _, client) = webitel().await;
    let operator = client_with(&server, ADMIN_KEY);
    let path = format!("/hooks?domain={DOMAIN}");
    let made = call(&operator, "POST", &path, hook("E", URL, json!({}))).await.expect(200);
    assert_eq!(made["data"]["ops"][0]["domain"], DOMAIN);
    let list = text(&call(&operator, "GET", &path, Value::Null).await);
    assert_eq!(list, text(&call(&client, "GET", "/hooks", Value::Null).await));
    let tenants = operator.clone().with_header("authorization", &format!("Bearer {ADMIN_KEY}"));
    let tenant = tenants.get(&format!("/tenants/{DOMAIN}")).await.expect(200)["id"].clone();
    // An id is not accepted as a domain.
    for domain in ["globex", tenant.as_str().unwrap(), "%ff"] {
        let response = call(&operator, "GET", &format!("/hooks?domain={domain}"), Value::Null).await;
        assert_eq!(text(&response), r#"{"status":"error","info":"Not found domain"}"#, "{domain}");
        assert_eq!(response.status, 404, "{domain}");
    }
    let event = json!({"Event-Name": "X", "variable_domain_name": DOMAIN});
    call(&operator, "POST", "/events", event.clone()).await.expect(200);
    refused(&call(&operator, "POST", "/events?domain=globex", event).await, 404);
    let event = json!({"Event-Name": "X", "variable_domain_name": "globex"});
    refused(&call(&operator, "POST", "/events", event.clone()).await, 404);
    refused(&call(&operator, "POST", &format!("/events?domain={DOMAIN}"), event).await, 403);
}

#[tokio::test]
async fn all_origins_are_allowed() {
    let (server, _, client) = webitel().await;
    let anonymous = Client::new(server.base(), "").without_key();
    let allowed = "Content-type,Accept,X-Access-Token,X-Key";
    for (method, path, origin, status) in [
        ("OPTIONS", "/hooks", Some("https://app.example"), 200),
        ("OPTIONS", "/hooks/nonsense", None, 200),
        ("OPTIONS", "/no/such/route", None, 200),
        ("GET", "/hooks", Some("https://app.example"), 200),
        ("GET", "/hooks", None, 200),
        ("GET", "/no/such/route", Some("null"), 404),
        ("GET", "/hooks/nonsense", Some("https://app.example"), 400),
    ] {
        let client = if method == "OPTIONS" { &anonymous } else { &client };
        let headers: Vec<_> = origin.into_iter().map(|origin| ("origin", origin)).collect();
        let response = client.send(method, &format!("/api/v2{path}"), "", &headers).await;
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.headers["access-control-allow-origin"], origin.unwrap_or("*"), "{method} {path}");
        assert_eq!(response.headers["access-control-allow-headers"], allowed, "{method} {path}");
        assert_eq!(response.bytes.is_empty(), method == "OPTIONS", "{method} {path}");
    }
    let refused = anonymous.send("GET", "/api/v2/hooks", "", &[("origin", "https://app.example")]).await;
    assert_eq!(
        (refused.status, &refused.headers["access-control-allow-origin"]),
        (401, &"https://app.example".parse().unwrap())
    );
    assert!(
        !anonymous.get("/hooks").await.headers.contains_key("access-control-allow-origin"),
        "v3 is not concerned"
    );
}

#[tokio::test]
async fn trailing_slashes_are_accepted_and_unknown_routes_are_reported() {
    let (_server, _, client) = webitel().await;
    let made = call(&client, "POST", "/hooks/?domain=x", hook("E", URL, json!({}))).await.expect(200);
    let id = made["data"]["insertedIds"][0].as_str().unwrap();
    call(&client, "GET", "/hooks/", Value::Null).await.expect(200);
    assert_eq!(
        call(&client, "GET", &format!("/hooks/{id}/"), Value::Null).await.expect(200)["data"]["_id"],
        id
    );
    call(&client, "PUT", &format!("/hooks/{id}/"), hook("E", URL, json!({}))).await.expect(200);
    let event = json!({"Event-Name": "X", "variable_domain_name": DOMAIN});
    call(&client, "POST", "/events/", event).await.expect(200);
    for (method, path) in [
        ("GET", "/api/v2"),
        ("GET", "/api/v2/"),
        ("GET", "/api/v2/nothing"),
        ("GET", "/api/v2/nothing?a=%20b&c"),
        ("GET", "/engine/api/v2/nothing/"),
        ("PATCH", "/api/v2/hooks"),
        ("DELETE", "/api/v2/hooks"),
        ("POST", "/api/v2/hooks/59802a53a7ec15000c40926a"),
        ("PATCH", "/api/v2/hooks/59802a53a7ec15000c40926a"),
        ("GET", "/api/v2/events"),
        ("PUT", "/api/v2/domains/demo.webitel.com/settings/token"),
        ("GET", "/api/v2/hooks/a/b"),
    ] {
        let response = client.send(method, path, "", &[]).await;
        let expected = format!(r#"{{"status":"error","info":"{path} not found."}}"#);
        assert_eq!((response.status, text(&response)), (404, expected), "{method} {path}");
    }
    let long = format!("/nothing/{}", "a".repeat(10_000));
    assert!(refused(&call(&client, "GET", &long, Value::Null).await, 404).len() < 2_100);
}
