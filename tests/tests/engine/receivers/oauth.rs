//! OAuth 2.0 client credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookwright_tests::{Arrival, Client, Receiver, Reply};
use serde_json::{Value, json};

use super::patch;
use crate::{engine, hook};

const SECRET: &str = "a-client-secret-that-nobody-sees";

fn token_response(token: &str) -> Reply {
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
    Reply::Status(200, vec![("content-type", "application/json".to_owned())], body.to_string().into_bytes())
}

/// A server that issues the tokens `t1`, `t2` and so on.
async fn token_server() -> Receiver {
    let issued = AtomicUsize::new(0);
    Receiver::responding(move |_| token_response(&format!("t{}", issued.fetch_add(1, Ordering::SeqCst) + 1)))
        .await
}

fn oauth(tokens: &Receiver) -> Value {
    json!({"token_url": tokens.url("/token"), "client_id": "shop", "client_secret": SECRET,
        "scopes": ["read", "write"], "parameters": {"audience": "https://a.example"}})
}

fn is_accepted(arrival: &Arrival, token: &str) -> bool {
    arrival.header("authorization") == format!("Bearer {token}")
}

async fn attempt(client: &Client) -> Value {
    let event = client.publish("t", json!({})).await;
    client.finished(&event).await[0]["attempts"][0].clone()
}

#[tokio::test]
async fn all_deliveries_of_a_hook_share_a_token_that_nothing_shows() {
    let (server, client) = engine().await;
    let (tokens, receiver) = (token_server().await, Receiver::start().await);
    let id = hook(&client, &receiver, json!({"oauth2": oauth(&tokens)})).await;
    let lines: Vec<String> = (0..50).map(|n| json!({"type": "t", "data": n}).to_string()).collect();
    let headers = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", lines.join("\n"), &headers).await.expect(202);
    for _ in 0..lines.len() {
        assert!(is_accepted(&receiver.next().await, "t1"));
    }
    let asked = tokens.so_far();
    assert_eq!(asked.len(), 1);
    // `printf 'shop:…' | base64`
    let expected = "Basic c2hvcDphLWNsaWVudC1zZWNyZXQtdGhhdC1ub2JvZHktc2Vlcw==";
    assert_eq!((asked[0].method.as_str(), asked[0].header("authorization")), ("POST", expected));
    let body = "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fa.example";
    assert_eq!(std::str::from_utf8(&asked[0].body).unwrap(), body);

    let shown = attempt(&client).await;
    assert_eq!(shown["request"]["headers"]["authorization"], "•••");
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    let expected = json!({"token_url": tokens.url("/token"), "client_id": "shop", "scopes": ["read", "write"],
        "parameters": {"audience": "https://a.example"}, "authentication": "basic"});
    assert_eq!(shown["oauth2"], expected);
    assert_eq!(server.stored_with(SECRET.as_bytes()).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_secret_stays_until_its_client_token_url_or_receiver_changes() {
    let (_server, client) = engine().await;
    let (tokens, receiver) = (token_server().await, Receiver::start().await);
    let id = hook(&client, &receiver, json!({"oauth2": oauth(&tokens)})).await;
    let shown = client.get(&format!("/hooks/{id}")).await.expect(200);
    client.send("PUT", &format!("/api/v3/hooks/{id}"), shown.to_string(), &[]).await.expect(200);
    patch(&client, &id, json!({"oauth2": {"scopes": [], "parameters": null, "authentication": "post"}}))
        .await
        .expect(200);
    assert_eq!(attempt(&client).await["response"]["status"], 200);
    let body = format!("grant_type=client_credentials&client_id=shop&client_secret={SECRET}");
    assert_eq!(std::str::from_utf8(&tokens.next().await.body).unwrap(), body);
    for (members, pointer) in [
        (json!({"token_url": "https://elsewhere.example/"}), "/oauth2/client_secret"),
        (json!({"client_id": "other"}), "/oauth2/client_secret"),
        (json!({"token_url": "ftp://a.example/"}), "/oauth2/token_url"),
        (json!({"scopes": ["a b"]}), "/oauth2/scopes/0"),
        (json!({"parameters": {"grant_type": "password"}}), "/oauth2/parameters/grant_type"),
        (json!({"authentication": "digest"}), "/oauth2/authentication"),
    ] {
        let problem = patch(&client, &id, json!({"oauth2": members})).await.expect(400);
        assert_eq!(problem["pointer"], pointer, "{problem}");
    }
    patch(&client, &id, json!({"url": receiver.url("/another")})).await.expect(200);
    let problem = patch(&client, &id, json!({"url": "http://127.0.0.1:1/"})).await.expect(400);
    assert_eq!(problem["pointer"], "/oauth2/client_secret", "{problem}");
    let taken = json!({"headers": {"Authorization": "x"}});
    assert_eq!(patch(&client, &id, taken).await.expect(400)["pointer"], "/oauth2");
    patch(&client, &id, json!({"oauth2": null})).await.expect(200);
    client.publish("t", json!({})).await;
    receiver.next().await;
    assert_eq!(receiver.next().await.header("authorization"), "");
}

#[tokio::test]
async fn a_token_that_is_refused_is_requested_anew_once() {
    let (_server, client) = engine().await;
    let tokens = token_server().await;
    let accepted = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&accepted);
    let receiver = Receiver::responding(move |arrival| {
        let token = format!("t{}", current.load(Ordering::SeqCst));
        Reply::status(if is_accepted(arrival, &token) { 200 } else { 401 })
    })
    .await;
    hook(&client, &receiver, json!({"oauth2": oauth(&tokens), "retry": {"schedule_s": []}})).await;
    for (accepts, status, requests, issued) in
        [(1, 200, 1, 1), (2, 200, 2, 1), (9, 401, 2, 1), (4, 200, 2, 1)]
    {
        accepted.store(accepts, Ordering::SeqCst);
        assert_eq!(attempt(&client).await["response"]["status"], status, "t{accepts}");
        assert_eq!((receiver.so_far().len(), tokens.so_far().len()), (requests, issued), "t{accepts}");
    }
}

#[tokio::test]
async fn without_a_token_the_attempt_fails_and_says_why() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    for (reply, what) in [
        (
            Reply::Status(
                401,
                Vec::new(),
                br#"{"error": "invalid_client", "error_description": "a-client-secret"}"#.to_vec(),
            ),
            "answered 401 (`invalid_client`)",
        ),
        (Reply::status(302), "answered 302"),
        (
            Reply::Status(200, Vec::new(), b"a-client-secret".to_vec()),
            "sent no usable token response (RFC 6749, section 5.1)",
        ),
    ] {
        let tokens = Receiver::responding(move |_| reply.clone()).await;
        let members = json!({"oauth2": oauth(&tokens), "retry": {"schedule_s": []}});
        let id = hook(&client, &receiver, members).await;
        let attempt = attempt(&client).await;
        let message = format!("no access token: the token endpoint at 127.0.0.1 {what}");
        assert_eq!(attempt["error"], json!({"kind": "token", "message": message}));
        assert_eq!(attempt["request"], json!(null));
        client.send("DELETE", &format!("/api/v3/hooks/{id}"), "", &[]).await;
    }
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn a_token_does_not_go_where_a_plugin_sends_the_request() {
    let (_server, client) = engine().await;
    let (tokens, receiver, elsewhere) =
        (token_server().await, Receiver::start().await, Receiver::start().await);
    let pipeline = |url: String| {
        let script = format!("return {{url: {}}};", json!(url));
        json!([{"plugin": "javascript", "settings": {"script": script}}])
    };
    let members = json!({"oauth2": oauth(&tokens), "retry": {"schedule_s": []}, "pipeline": pipeline(elsewhere.url("/"))});
    let id = hook(&client, &receiver, members).await;
    let refused = attempt(&client).await;
    assert_eq!(
        (&refused["outcome"], &refused["fault"]["kind"]),
        (&json!("faulted"), &json!("invalid-output")),
        "{refused}"
    );
    patch(&client, &id, json!({"pipeline": pipeline(receiver.url("/other"))})).await.expect(200);
    assert_eq!(attempt(&client).await["response"]["status"], 200);
    assert_eq!(receiver.next().await.path, "/other");
    assert_eq!(elsewhere.so_far().len(), 0);
}
