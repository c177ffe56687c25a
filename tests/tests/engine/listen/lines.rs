//! Lines in words and in JSON, and how the command ends.

use hookwright_tests::{Receiver, Reply};
use serde_json::{Value, json};

use super::Listener;
use crate::{engine, hook};

#[tokio::test]
async fn what_happens_is_told_line_by_line() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "k", "scopes": ["deliveries:read"]})).await.expect(201);
    let receiver = Receiver::responding(|_| Reply::status(503)).await;
    let id = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    hook(&client, &receiver, json!({"types": ["user.*"]})).await;
    let mut words =
        Listener::start(server.base(), key["key"].as_str().unwrap(), &["--type", "order.*"]).await;
    let mut objects =
        Listener::start(server.base(), key["key"].as_str().unwrap(), &["--json", "--hook", &id]).await;
    client.publish("user.made", json!({})).await;
    let event = client.publish("order.paid", json!({})).await;
    let shown = client.deliveries_when(&event, |delivery| delivery["state"] == "waiting").await.remove(0);
    let delivery = shown["id"].as_str().unwrap();
    let created = words.line_with("created").await;
    assert!(
        created.contains("order.paid") && created.contains(delivery) && created.contains(&id),
        "{created}"
    );
    let waiting = words.line_with("waiting").await;
    assert!(waiting.contains("attempt 1: 503 in ") && waiting.contains("; next at 20"), "{waiting}");
    let created = objects.object("delivery").await;
    assert_eq!((&created["change"], &created["delivery"]["id"]), (&json!("created"), &shown["id"]));
    let attempted = objects.object("delivery").await;
    assert_eq!(
        (&attempted["change"], &attempted["attempt"]["status"], &attempted["delivery"]["state"]),
        (&json!("attempted"), &json!(503), &json!("waiting"))
    );
    for (listener, signal) in [(words, "-INT"), (objects, "-TERM")] {
        listener.signal(signal).await;
        assert_eq!(listener.end().await, (Some(0), String::new()), "{signal}");
    }
}

#[tokio::test]
async fn it_ends_cleanly_when_nobody_reads_on() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "k"})).await.expect(201);
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    for form in [&[][..], &["--json"]] {
        let listener = Listener::start(server.base(), key["key"].as_str().unwrap(), form).await;
        let ended = tokio::spawn(listener.end());
        // Its pipe closes at some time meanwhile.
        while !ended.is_finished() {
            let event = client.publish("order.paid", json!({})).await;
            client.finished(&event).await;
        }
        assert_eq!(ended.await.unwrap(), (Some(0), String::new()));
    }
}

#[tokio::test]
async fn what_cannot_work_ends_with_an_error_that_says_what_to_do() {
    let (server, client) = engine().await;
    let scoped = |scopes: Value| {
        let client = client.clone();
        async move {
            let key = client.post("/keys", json!({"name": "k", "scopes": scopes})).await.expect(201);
            key["key"].as_str().unwrap().to_owned()
        }
    };
    let (hooks, deliveries) = (scoped(json!(["hooks:read"])).await, scoped(json!(["deliveries:read"])).await);
    let unused = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    for (base, key, options, code, expected) in [
        (server.base(), "hwk_wrong", &[][..], 2, "401"),
        (server.base(), &hooks, &[], 2, "deliveries:read"),
        (server.base(), &deliveries, &["--forward", "1"], 2, "hooks:read"),
        (server.base(), &deliveries, &["--hook", "hook_x"], 2, "hook"),
        (server.base(), "", &[], 2, "HOOKWRIGHT_KEY"),
        (server.base(), &deliveries, &["--url", "ftp://x"], 2, "ftp://x"),
        (&unused, &deliveries, &[], 1, "cannot reach the engine"),
    ] {
        let (ended, error) = Listener::spawn(base, key, options).end().await;
        assert_eq!(ended, Some(code), "{options:?}: {error}");
        assert!(error.contains(expected), "{options:?}: {error}");
        assert!(key.is_empty() || !error.contains(key), "{error}");
    }
    let not_an_engine = Receiver::responding(|_| Reply::status(404)).await;
    let (ended, error) = Listener::spawn(&not_an_engine.url(""), &deliveries, &[]).end().await;
    assert!(ended == Some(2) && error.contains("not the API of Hookwright"), "{error}");
}

#[tokio::test]
async fn it_ends_when_its_key_is_deleted() {
    let (server, client) = engine().await;
    let made = client.post("/keys", json!({"name": "k"})).await.expect(201);
    let mut listener = Listener::start(server.base(), made["key"].as_str().unwrap(), &[]).await;
    let path = format!("/api/v3/keys/{}", made["id"].as_str().unwrap());
    client.send("DELETE", &path, "", &[]).await.expect(204);
    listener.line_with("disconnected: the key or its scopes changed").await;
    let (code, error) = listener.end().await;
    assert!(code == Some(2) && error.contains("401"), "{error}");
}

#[tokio::test]
async fn a_key_may_be_in_a_file_and_an_operators_key_names_a_tenant() {
    let (server, client) = engine().await;
    let directory = hookwright_tests::scratch::directory();
    let file = directory.path().join("key");
    std::fs::write(&file, format!("{}\n", hookwright_tests::server::ADMIN_KEY)).unwrap();
    let file = file.to_str().unwrap();
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let mut listener = Listener::start(server.base(), "", &["--key-file", file, "--tenant", "acme"]).await;
    client.publish("order.paid", json!({})).await;
    listener.line_with("order.paid").await;
}

#[tokio::test]
async fn a_signal_ends_it_while_nobody_reads_its_output() {
    let (server, client) = engine().await;
    let key = client.post("/keys", json!({"name": "k"})).await.expect(201);
    let (remote, local) = (Receiver::start().await, Receiver::responding(long_answer).await);
    hook(&client, &remote, json!({"paused": true})).await;
    let target = local.url("/");
    let options = ["--json", "--forward", &target];
    let mut listener = Listener::start(server.base(), key["key"].as_str().unwrap(), &options).await;
    // More than a pipe holds.
    for n in 0..40 {
        client.publish("order.paid", json!({"n": n})).await;
        local.next().await;
    }
    listener.signal("-TERM").await;
    let ended = tokio::time::timeout(hookwright_tests::TIMEOUT, listener.child.wait()).await;
    assert_eq!(ended.expect("it ends in time").unwrap().code(), Some(0));
}

fn long_answer(_: &hookwright_tests::Arrival) -> Reply {
    Reply::Status(200, Vec::new(), vec![b'a'; 4 << 10])
}
