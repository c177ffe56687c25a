//! Isolation between clients.

use super::{CLIENT_ID, JSON, PROJECT, WEB_HOOK, client_of, engine, text};

#[tokio::test]
async fn a_project_of_another_client_looks_like_a_missing_one() {
    let (server, owner) = engine().await;
    let other_client = client_of(&server, "globex", CLIENT_ID + 1, PROJECT + 1).await;
    let made = text(&owner, "PUT", WEB_HOOK, r#"{"endpoint": "127.0.0.1:1/x"}"#, 200).await;
    let trigger = format!("{WEB_HOOK}/trigger_session_test");
    let event = owner.send("POST", &trigger, "", &[]).await.expect(200)["result"]["id"].as_i64().unwrap();
    // The other client has its own web hook, so only the ownership differs.
    let own = WEB_HOOK.replace("1249918", "1249919");
    other_client.send("PUT", &own, r#"{"endpoint": "127.0.0.1:1/y"}"#, JSON).await.expect(200);
    for (method, path, body) in [
        ("GET", WEB_HOOK.to_owned(), ""),
        ("PUT", WEB_HOOK.to_owned(), r#"{"endpoint": "example.com/mine"}"#),
        ("PUT", WEB_HOOK.to_owned(), r#"{"endpoint": 5}"#),
        ("DELETE", WEB_HOOK.to_owned(), ""),
        ("POST", trigger.clone(), ""),
        ("GET", format!("{WEB_HOOK}/events/{event}"), ""),
        // The event's number with a project of its own.
        ("GET", format!("{own}/events/{event}"), ""),
    ] {
        let headers = if body.is_empty() { &[][..] } else { JSON };
        let theirs = other_client.send(method, &path, body.to_owned(), headers).await;
        let missing = path.replace("1249918", "77").replace(&event.to_string(), "78");
        let missing = other_client.send(method, &missing, body.to_owned(), headers).await;
        assert_eq!(theirs.status, 404, "{method} {path}");
        let theirs = String::from_utf8_lossy(&theirs.bytes).replace("1249918", "77");
        let theirs = theirs.replace(&event.to_string(), "78");
        assert_eq!(theirs, String::from_utf8_lossy(&missing.bytes), "{method} {path}");
    }
    assert_eq!(text(&owner, "GET", WEB_HOOK, "", 200).await, made);
    owner.send("GET", &format!("{WEB_HOOK}/events/{event}"), "", &[]).await.expect(200);
}

#[tokio::test]
async fn two_clients_can_have_projects_with_the_same_number() {
    let (server, first) = engine().await;
    let second = client_of(&server, "globex", CLIENT_ID + 1, PROJECT).await;
    text(&first, "PUT", WEB_HOOK, r#"{"endpoint": "one.example"}"#, 200).await;
    text(&second, "GET", WEB_HOOK, "", 404).await;
    text(&second, "PUT", WEB_HOOK, r#"{"endpoint": "two.example"}"#, 200).await;
    let shown = text(&first, "GET", WEB_HOOK, "", 200).await;
    assert!(shown.contains("one.example") && shown.contains("19817472"), "{shown}");
    text(&second, "DELETE", WEB_HOOK, "", 200).await;
    text(&first, "GET", WEB_HOOK, "", 200).await;
}
