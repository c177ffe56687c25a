//! The page and its files.

use hookwright_tests::Server;
use serde_json::json;

use super::{anonymous, signed_in};
use crate::{BINARY, engine};

#[tokio::test]
async fn the_page_has_a_strict_policy_and_a_nonce_of_its_own() {
    let (server, _) = engine().await;
    let client = anonymous(&server);
    let html = [("accept", "text/html")];
    let page = client.send("GET", "/", "", &html).await;
    assert_eq!((page.status, &page.headers["cache-control"]), (200, &"no-cache".parse().unwrap()));
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "form-action 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    let (_, rest) = policy.split_once("'nonce-").unwrap();
    let nonce = rest.split('\'').next().unwrap();
    let text = String::from_utf8_lossy(&page.bytes);
    assert!(text.contains(nonce) && !text.contains("{{"), "{text}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    let again = client.send("GET", "/", "", &html).await;
    assert_ne!(again.headers["content-security-policy"], policy, "the nonce was used twice");
    let tag = page.headers["etag"].to_str().unwrap();
    let known = client.send("GET", "/", "", &[("if-none-match", tag), html[0]]).await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
    assert!(known.headers.get("content-security-policy").is_none(), "the stored page has another nonce");
}

#[tokio::test]
async fn the_page_begins_with_an_outline_of_the_frame_for_who_is_signed_in() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "page"})).await.expect(201);
    let with_key = signed_in(&server, json!({"key": key["key"]})).await;
    let link = json!({"theme": {"name": "Shop hooks"}});
    let link = client.post("/console-links", link).await.expect(201);
    let with_theme = signed_in(&server, json!({"link": link["token"]})).await;
    let with_nothing = anonymous(&server);
    let with_another_cookie = anonymous(&server).with_header("cookie", "hookwright_session=abc");
    let mut tags = std::collections::HashSet::new();
    for (what, page, first) in [
        ("a session", &with_key, "frame"),
        ("a session with a theme", &with_theme, "nothing"),
        ("no session", &with_nothing, "nothing"),
        ("the cookie of another engine", &with_another_cookie, "nothing"),
    ] {
        let shown = page.send("GET", "/", "", &[("accept", "text/html")]).await;
        let text = String::from_utf8_lossy(&shown.bytes);
        assert!(text.contains(&format!("<div id=\"first\" data-view=\"{first}\">")), "{what}: {text}");
        assert_eq!(shown.headers["vary"], "accept, cookie", "{what}");
        tags.insert(shown.headers["etag"].to_str().unwrap().to_owned());
    }
    assert_eq!(tags.len(), 2, "with the outline the tag is another one: {tags:?}");
}

#[tokio::test]
async fn clients_that_ask_for_json_get_a_problem_at_the_root() {
    let (server, client) = engine().await;
    for (path, headers) in [
        ("/", &[("accept", "application/json")] as &[_]),
        ("/console/none-0123456789ab.js", &[]),
        ("/console/index.html", &[]),
        ("/console/../Cargo.toml", &[]),
        ("/console/%2e%2e/%2e%2e/Cargo.toml", &[]),
    ] {
        let response = client.send("GET", path, "", headers).await;
        assert_eq!(response.expect(404)["type"], "/problems/not-found", "{path}");
    }
    let moved = anonymous(&server).send("GET", "/console", "", &[]).await;
    assert_eq!((moved.status, &moved.headers["location"]), (308, &"/".parse().unwrap()));
}

#[tokio::test]
async fn without_the_setting_there_is_no_console() {
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_CONSOLE", "false")]).await;
    let client = server.tenant("acme").await;
    for (method, path) in [("GET", "/"), ("GET", "/console/session"), ("POST", "/console/session")] {
        let response = client.send(method, path, "", &[("accept", "text/html")]).await;
        assert_eq!(response.expect(404)["type"], "/problems/not-found", "{method} {path}");
    }
    let link = client.post("/console-links", json!({})).await;
    assert!(link.expect(409)["detail"].as_str().unwrap().contains("`console` is false"));
}

#[tokio::test]
async fn only_named_origins_may_show_the_page_in_a_frame() {
    let origins = "https://shop.example,http://localhost:3000";
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_CONSOLE_FRAME_ANCESTORS", origins)]).await;
    let page = anonymous(&server).send("GET", "/", "", &[]).await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.ends_with("frame-ancestors https://shop.example http://localhost:3000"), "{policy}");
}
