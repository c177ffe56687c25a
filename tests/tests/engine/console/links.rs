//! Links that sign in.

use hookwright_tests::{Client, Server};
use serde_json::{Value, json};

use super::{anonymous, sign_in, signed_in};
use crate::{BINARY, engine};

async fn link(client: &Client, input: Value) -> Value {
    client.post("/console-links", input).await.expect(201)
}

#[tokio::test]
async fn a_link_signs_in_with_no_more_than_it_says() {
    let (server, client) = engine().await;
    let theme = json!({"name": "Shop", "accent": "#3457d5", "background": "#ffffff", "logo_url": "https://shop.example/l.svg"});
    let made = link(&client, json!({"scopes": ["hooks:read"], "theme": theme, "session_s": 60})).await;
    let (url, token) = (made["url"].as_str().unwrap(), made["token"].as_str().unwrap());
    assert_eq!(url, format!("{}/#/link/{token}", server.base()));
    let response = sign_in(&server, json!({"link": token})).await;
    let session = response.expect(200);
    assert_eq!((&session["link"], &session["theme"]), (&json!(true), &theme));
    assert_eq!((&session["scopes"], &session["tenant"]["name"]), (&json!(["hooks:read"]), &json!("acme")));
    assert!(
        response.headers["set-cookie"].to_str().unwrap().contains("Max-Age=60") || {
            response.headers["set-cookie"].to_str().unwrap().contains("Max-Age=59")
        }
    );
    let page = signed_in(&server, json!({"link": token})).await;
    page.get("/hooks").await.expect(200);
    page.get("/deliveries").await.expect(403);
    page.post("/hooks", json!({"url": "https://shop.example/", "types": ["*"]})).await.expect(403);
    let scopes = session_scopes(&server, &link(&client, json!({})).await).await;
    assert!(scopes.iter().all(|scope| scope.ends_with(":read")), "{scopes:?}");
}

async fn session_scopes(server: &Server, link: &Value) -> Vec<String> {
    let session = sign_in(server, json!({"link": link["token"]})).await.expect(200);
    let scopes = session["scopes"].as_array().unwrap().iter();
    scopes.map(|scope| scope.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_link_grants_only_what_its_maker_has_and_makes_no_links() {
    let (server, client) = engine().await;
    let key = json!({"name": "narrow", "scopes": ["keys:write", "hooks:read"]});
    let key = client.post("/keys", key).await.expect(201);
    let narrow = Client::new(server.base(), key["key"].as_str().unwrap());
    let refused = narrow.post("/console-links", json!({"scopes": ["deliveries:read"]})).await.expect(403);
    assert_eq!(refused["pointer"], "/scopes");
    assert_eq!(session_scopes(&server, &link(&narrow, json!({})).await).await, ["hooks:read"]);
    let reader = json!({"name": "reader", "scopes": ["hooks:read"]});
    let reader = client.post("/keys", reader).await.expect(201);
    let reader = Client::new(server.base(), reader["key"].as_str().unwrap());
    reader.post("/console-links", json!({})).await.expect(403);
    // By default a link reads, and this key cannot.
    let writer = json!({"name": "writer", "scopes": ["keys:write"]});
    let writer = client.post("/keys", writer).await.expect(201);
    let writer = Client::new(server.base(), writer["key"].as_str().unwrap());
    let refused = writer.post("/console-links", json!({})).await.expect(403);
    assert_eq!(refused["pointer"], "/scopes");
    writer.post("/console-links", json!({"scopes": ["keys:write"]})).await.expect(201);
    let made = link(&client, json!({"scopes": ["keys:write", "hooks:read"]})).await;
    let page = signed_in(&server, json!({"link": made["token"]})).await;
    page.post("/console-links", json!({})).await.expect(403);
    // Its key goes, and with it the link and the sessions.
    let path = format!("/api/v3/keys/{}", key["id"].as_str().unwrap());
    let made = link(&narrow, json!({})).await;
    let page = signed_in(&server, json!({"link": made["token"]})).await;
    client.send("DELETE", &path, "", &[]).await.expect(204);
    page.get("/hooks").await.expect(401);
    sign_in(&server, json!({"link": made["token"]})).await.expect(401);
}

#[tokio::test]
async fn an_operators_link_for_a_tenant_is_the_tenants() {
    let (server, client) = engine().await;
    server.tenant("other").await;
    let operator = server.operator();
    let acting = operator.clone().with_header("hookwright-tenant", "acme");
    let made = link(&acting, json!({"scopes": ["hooks:read"]})).await;
    let session = sign_in(&server, json!({"link": made["token"]})).await.expect(200);
    assert_eq!((&session["operator"], &session["tenant"]["name"]), (&json!(false), &json!("acme")));
    assert_eq!(session["key"], json!({"id": null, "name": null}), "the tenant learns whose key it is");
    let page = signed_in(&server, json!({"link": made["token"]})).await;
    page.get("/hooks").await.expect(200);
    let tenants = page.get("/tenants").await.expect(200);
    assert_eq!((&tenants["data"][0]["name"], &tenants["data"][1]), (&json!("acme"), &Value::Null));
    page.clone().with_header("hookwright-tenant", "other").get("/hooks").await.expect(403);
    let log = client.get("/audit-log?action=console_link").await.expect(200);
    let entry = &log["data"][0];
    assert_eq!((&entry["action"], &entry["object"]["id"]), (&json!("console_link.created"), &made["id"]));
    assert!(!log.to_string().contains(made["token"].as_str().unwrap()));
    // A suspended tenant's sessions are refused as its keys are.
    operator.patch("/tenants/acme", json!({"suspended": true})).await.expect(200);
    page.get("/hooks").await.expect(403);
}

#[tokio::test]
async fn an_operators_link_without_a_tenant_reads_unless_it_says_more() {
    let server = Server::start(BINARY).await;
    let operator = server.operator();
    let reading = signed_in(&server, json!({"link": link(&operator, json!({})).await["token"]})).await;
    reading.get("/tenants").await.expect(200);
    reading.post("/tenants", json!({"name": "acme"})).await.expect(403);
    let made = link(&operator, json!({"role": "operator"})).await;
    let writing = signed_in(&server, json!({"link": made["token"]})).await;
    writing.post("/tenants", json!({"name": "acme"})).await.expect(201);
    operator.post("/console-links", json!({"scopes": ["hooks:read"]})).await.expect(400);
    let acting = operator.clone().with_header("hookwright-tenant", "acme");
    acting.post("/console-links", json!({"role": "read"})).await.expect(400);
    let reader = operator.post("/operator-keys", json!({"name": "reader", "role": "read"})).await.expect(201);
    let reader = Client::new(server.base(), reader["key"].as_str().unwrap());
    reader.post("/console-links", json!({})).await.expect(403);
}

#[tokio::test]
async fn a_link_begins_with_the_address_of_its_users() {
    let url = ("HOOKWRIGHT_CONSOLE_URL", "https://hooks.shop.example");
    let server = Server::start_with(BINARY, &[url]).await;
    let client = server.tenant("acme").await;
    for client in [client, server.operator()] {
        let made = link(&client, json!({})).await;
        let token = made["token"].as_str().unwrap();
        assert_eq!(made["url"], format!("https://hooks.shop.example/#/link/{token}"));
    }
    // Operators stay on the listener where they are.
    let server = Server::start_with(BINARY, &[url, ("HOOKWRIGHT_OPERATOR_API", "admin")]).await;
    let admin = server.operator().at(server.admin().unwrap());
    admin.post("/tenants", json!({"name": "acme"})).await.expect(201);
    for (client, expected) in [
        (admin.clone(), server.admin().unwrap()),
        (admin.with_header("hookwright-tenant", "acme"), "https://hooks.shop.example"),
    ] {
        let made = link(&client, json!({})).await;
        assert!(made["url"].as_str().unwrap().starts_with(&format!("{expected}/#/link/")), "{made}");
    }
}

#[tokio::test]
async fn a_page_in_a_frame_keeps_a_token_instead_of_a_cookie() {
    let (server, client) = engine().await;
    let made = link(&client, json!({"scopes": ["projects:write"]})).await;
    let response = sign_in(&server, json!({"link": made["token"], "embed": true})).await;
    let session = response.expect(200);
    assert!(response.headers.get("set-cookie").is_none());
    let token = session["token"].as_str().unwrap();
    let page = Client::new(server.base(), token);
    page.post("/projects", json!({"id": 1})).await.expect(201);
    page.get("/hooks").await.expect(403);
    let shown = page.send("GET", "/console/session", "", &[]).await.expect(200);
    assert_eq!(shown["scopes"], session["scopes"]);
    // Each text is for one purpose only.
    let sealed = token.strip_prefix("hwc_").unwrap();
    let cookie = format!("hookwright_session={sealed}");
    anonymous(&server).with_header("cookie", &cookie).get("/projects").await.expect(401);
    sign_in(&server, json!({"link": sealed})).await.expect(401);
    Client::new(server.base(), &format!("hwc_{}", made["token"].as_str().unwrap()))
        .get("/projects")
        .await
        .expect(401);
}

#[tokio::test]
async fn what_a_link_says_has_bounds() {
    let (_server, client) = engine().await;
    for (input, pointer) in [
        (json!({"expires_in_s": 0}), "/expires_in_s"),
        (json!({"expires_in_s": 3_601}), "/expires_in_s"),
        (json!({"session_s": 59}), "/session_s"),
        (json!({"session_s": 43_201}), "/session_s"),
        (json!({"scopes": []}), "/scopes"),
        (json!({"theme": {"accent": "red"}}), "/theme/accent"),
        (json!({"theme": {"background": "#12345g"}}), "/theme/background"),
        (json!({"theme": {"logo_url": "http://shop.example/l.svg"}}), "/theme/logo_url"),
        (json!({"theme": {"logo_url": "https://shop.example/\nl.svg"}}), "/theme/logo_url"),
        (json!({"theme": {"name": ""}}), "/theme/name"),
        (json!({"theme": {"font": "x"}}), "/theme/font"),
    ] {
        let refused = client.post("/console-links", input.clone()).await.expect(400);
        assert_eq!(refused["pointer"], pointer, "{input}");
    }
}
