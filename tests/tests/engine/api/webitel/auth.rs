//! The preflight request.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hookwright_tests::{Client, Receiver, Reply};
use serde_json::{Value, json};

use super::{DOMAIN, call, create, hook, webitel};

/// Starts a receiver that responds with different tokens and cookies each time.
async fn auth_server() -> Receiver {
    let count = Arc::new(AtomicUsize::new(0));
    Receiver::responding(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
        let headers = vec![
            ("x-session", format!("s{n}")),
            ("set-cookie", format!("sid=c{n}; Path=/; HttpOnly")),
            ("set-cookie", "lang=en".to_owned()),
        ];
        let body = json!({"token": format!("t{n}"), "n": n, "Event-Name": "forged"}).to_string();
        Reply::Status(200, headers, body.into_bytes())
    })
    .await
}

async fn post(client: &Client) -> String {
    let event = json!({"Event-Name": "E", "variable_domain_name": DOMAIN, "user": "100", "auth:body:token": "forged"});
    let sent = call(client, "POST", "/events", event).await.expect(200);
    sent["data"]["id"].as_str().unwrap().to_owned()
}

/// Members of a hook with a preflight request to `auth`, with additional members in its `auth`.
fn with_preflight(auth: &Receiver, more: Value) -> Value {
    let mut members = json!({"auth": {"enabled": true, "url": auth.url("/login?app=1")}});
    for (name, value) in more.as_object().unwrap() {
        members["auth"][name] = value.clone();
    }
    members
}

#[tokio::test]
async fn tokens_and_cookies_of_its_response_are_available_to_the_main_request_but_not_in_the_data() {
    let (server, engine, client) = webitel().await;
    let (auth, receiver) = (auth_server().await, Receiver::start().await);
    let mut members = with_preflight(
        &auth,
        json!({"method": "post", "headers": {"X-Key": "k${user}"}, "map": {"login": "${user}", "none": "${gone}"}, "cookie": true}),
    );
    members["headers"] = json!({"Authorization": "Bearer ${auth:body:token}", "X-Session": "${auth:header:x-session}",
        "X-Cookie": "${auth:header:sid}", "X-Number": "${auth:body:n}"});
    let id = create(&client, hook("E", &receiver.url("/"), members.clone())).await;
    let delivery = engine.finished(&post(&client).await).await.remove(0);
    assert_eq!(delivery["state"], "succeeded", "{delivery:#}");
    let preflight = auth.next().await;
    assert_eq!((preflight.method.as_str(), preflight.path.as_str()), ("POST", "/login?app=1"));
    assert_eq!(preflight.json(), json!({"login": "100", "none": ""}));
    assert_eq!((preflight.header("x-key"), preflight.header("authorization")), ("k100", ""));
    let main = receiver.next().await;
    for (name, value) in [
        ("authorization", "Bearer t1"),
        ("x-session", "s1"),
        ("x-cookie", "c1"),
        ("x-number", ""),
        ("cookie", "sid=c1; lang=en"),
    ] {
        assert_eq!(main.header(name), value, "{name}");
    }
    let data = json!({"Event-Name": "E", "variable_domain_name": DOMAIN, "user": "100", "auth:body:token": "forged"});
    assert_eq!(main.json()["data"], data, "the response is not part of the data");

    // The record contains the names of the headers, but not their values.
    let recorded = &delivery["attempts"][0]["request"]["headers"];
    assert_eq!((&recorded["x-session"], &recorded["accept"]), (&json!("•••"), &json!("application/json")));
    for secret in ["Bearer t1", "\"s1\"", "sid=c1"] {
        assert_eq!(server.stored_with(secret.as_bytes()).await, [""; 0], "{secret}");
    }

    // The template of the body can use it too. With GET, `map` is the query.
    members["auth"]["method"] = json!("GET");
    members["auth"]["cookie"] = json!(false);
    members["customBody"] = json!(true);
    members["rawBody"] = json!(r#"{"token": "${auth:body:token}", "cookie": "${auth:header:lang}"}"#);
    call(&client, "PUT", &format!("/hooks/{id}"), hook("E", &receiver.url("/"), members)).await.expect(200);
    engine.finished(&post(&client).await).await;
    let preflight = auth.next().await;
    assert_eq!((preflight.method.as_str(), preflight.path.as_str()), ("GET", "/login?app=1&login=100&none="));
    assert!(preflight.body.is_empty());
    let main = receiver.next().await;
    assert_eq!((main.json(), main.header("cookie")), (json!({"token": "t2", "cookie": "en"}), ""));
}

#[tokio::test]
async fn without_a_200_the_main_request_is_not_sent() {
    let (_server, engine, client) = webitel().await;
    let auth = Receiver::responding(|arrival| Reply::status(arrival.path[1..].parse().unwrap())).await;
    let receiver = Receiver::start().await;
    for status in [201, 204, 302, 401, 500] {
        let url = auth.url(&format!("/{status}"));
        let members = json!({"auth": {"enabled": true, "url": url}});
        let id = create(&client, hook("E", &receiver.url("/"), members)).await;
        let delivery = engine.finished(&post(&client).await).await.remove(0);
        let attempt = &delivery["attempts"][0];
        assert_eq!(delivery["state"], "exhausted", "{status}");
        assert_eq!(
            (&attempt["outcome"], &attempt["error"]["kind"], &attempt["request"]),
            (&json!("unreachable"), &json!("preflight"), &Value::Null),
            "{status}: {attempt:#}"
        );
        assert!(attempt["error"]["message"].as_str().unwrap().contains(&status.to_string()), "{attempt:#}");
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
    assert_eq!((auth.so_far().len(), receiver.so_far().len()), (5, 0));
}

#[tokio::test]
async fn a_retry_repeats_it() {
    let (_server, engine, client) = webitel().await;
    let auth = auth_server().await;
    let receiver = Receiver::responding(|arrival| {
        Reply::status(if arrival.header("x-token") == "t1" { 403 } else { 200 })
    })
    .await;
    let mut members = with_preflight(&auth, json!({}));
    members["headers"] = json!({"X-Token": "${auth:body:token}"});
    members["retries"] = json!(2);
    members["delay"] = json!(1);
    create(&client, hook("E", &receiver.url("/"), members)).await;
    let delivery = engine.finished(&post(&client).await).await.remove(0);
    assert_eq!(
        (&delivery["state"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("succeeded"), 2)
    );
    let tokens: Vec<_> =
        receiver.so_far().iter().map(|arrival| arrival.header("x-token").to_owned()).collect();
    assert_eq!((auth.so_far().len(), tokens), (2, vec!["t1".to_owned(), "t2".to_owned()]));
}

#[tokio::test]
async fn it_is_sent_only_if_it_is_enabled_and_has_a_url_and_the_egress_policy_allows_it() {
    let (_server, engine, client) = webitel().await;
    let (auth, receiver) = (auth_server().await, Receiver::start().await);
    for (members, state) in [
        (json!({"enabled": false, "url": auth.url("/")}), "succeeded"),
        (json!({"url": auth.url("/")}), "succeeded"),
        (json!({"enabled": true}), "succeeded"),
        (json!({"enabled": true, "url": ""}), "succeeded"),
        (json!({"enabled": false, "url": "nonsense"}), "succeeded"),
        (json!({"enabled": true, "url": "http://169.254.169.254/latest/"}), "exhausted"),
        (json!({"enabled": true, "url": "http://10.0.0.1/"}), "exhausted"),
    ] {
        let id = create(&client, hook("E", &receiver.url("/"), json!({"auth": members}))).await;
        let delivery = engine.finished(&post(&client).await).await.remove(0);
        assert_eq!(delivery["state"], state, "{members}: {delivery:#}");
        if state == "exhausted" {
            let message = delivery["attempts"][0]["error"]["message"].as_str().unwrap();
            assert!(message.contains("egress policy"), "{members}: {message}");
        }
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
    assert_eq!((auth.so_far().len(), receiver.so_far().len()), (0, 5));
}

#[tokio::test]
async fn it_is_not_sent_for_events_that_the_filter_drops() {
    let (_server, engine, client) = webitel().await;
    let (auth, receiver) = (auth_server().await, Receiver::start().await);
    for (user, state, preflight) in [("101", "dropped", 0), ("100", "succeeded", 1)] {
        let mut members = with_preflight(&auth, json!({}));
        members["filter"] = json!({"user": {"operation": "==", "value": user}});
        let id = create(&client, hook("E", &receiver.url("/"), members)).await;
        let delivery = engine.finished(&post(&client).await).await.remove(0);
        assert_eq!((&delivery["state"], auth.so_far().len()), (&json!(state), preflight), "{delivery:#}");
        call(&client, "DELETE", &format!("/hooks/{id}"), Value::Null).await.expect(200);
    }
    assert_eq!(receiver.so_far().len(), 1);
}
