//! Deliveries to the endpoint, and polling.

use hookwright_tests::{Client, Receiver, Reply, Server};
use serde_json::{Value, json};

use super::{CLIENT_ID, JSON, PROJECT, WEB_HOOK, client_of};
use crate::BINARY;

/// Starts an engine that trusts the receiver's authority, with a web hook at the receiver.
async fn engine_with(
    authority: &str,
    receiver: &Receiver,
    more: Value,
) -> (Server, Client, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("authority.pem");
    std::fs::write(&file, authority).unwrap();
    let server = Server::start_with(BINARY, &[("HOOKWRIGHT_EGRESS_CA_FILE", file.to_str().unwrap())]).await;
    let client = client_of(&server, "acme", CLIENT_ID, PROJECT).await;
    let mut body = json!({"endpoint": format!("{}/web_hook", receiver.address())});
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    client.send("PUT", WEB_HOOK, body.to_string(), JSON).await.expect(200);
    (server, client, dir)
}

async fn trigger(client: &Client) -> Value {
    let path = format!("{WEB_HOOK}/trigger_session_test");
    client.send("POST", &path, "", &[]).await.expect(200)["result"].clone()
}

/// Polls like a client until the event is finished.
async fn finished(client: &Client, id: i64) -> Value {
    let began = std::time::Instant::now();
    loop {
        let path = format!("{WEB_HOOK}/events/{id}");
        let event = client.send("GET", &path, "", &[]).await.expect(200)["result"].clone();
        if !event["response_code"].is_null() {
            return event;
        }
        assert!(began.elapsed() < hookwright_tests::TIMEOUT, "still {event}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_test_arrives_over_tls_as_documented() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(200)).await;
    let more = json!({
        "enable_web_hook": "false", // A test is sent nevertheless.
        "enable_http_authorization": "true",
        "http_authorization_value": "Token token=\"do-not-show-me\"",
        "custom_parameters": {
            "custom parameter key 1": "custom parameter value 1",
            "custom parameter key 2": "custom parameter value 2",
            "event_type": "a built-in name wins",
        },
    });
    let (server, client, _dir) = engine_with(&authority, &receiver, more).await;
    let path = format!("{WEB_HOOK}/trigger_session_test");
    let response = client.send("POST", &path, "", &[]).await;
    let event = response.expect(200)["result"].clone();
    let (id, timestamp) = (event["id"].as_i64().unwrap(), event["event_timestamp"].clone());
    assert!(id < 1 << 53, "JavaScript can represent it exactly");
    let expected = format!(
        concat!(
            r#"{{"status":"success","message":"success","result":{{"id":{},"client_id":19817472,"#,
            r#""project_id":1249918,"session_id":null,"event_type":"session.test","event_timestamp":{},"#,
            r#""response_code":null,"response_message":null}}}}"#
        ),
        id, timestamp
    );
    assert_eq!(response.bytes, expected);

    let arrival = receiver.next().await;
    assert_eq!((arrival.method.as_str(), arrival.path.as_str()), ("POST", "/web_hook"));
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("authorization"), "Token token=\"do-not-show-me\"");
    assert_eq!((arrival.header("webhook-signature"), arrival.header("hookwright-event-type")), ("", ""));
    let posted = format!(
        concat!(
            r#"{{"client_id":19817472,"project_id":1249918,"session_id":null,"event_type":"session.test","#,
            r#""event_timestamp":{},"custom parameter key 1":"custom parameter value 1","#,
            r#""custom parameter key 2":"custom parameter value 2","ssl_version":1.2}}"#
        ),
        timestamp
    );
    assert_eq!(arrival.body, posted);

    let event = finished(&client, id).await;
    let endpoint = format!("{}/web_hook", receiver.address());
    assert_eq!(
        (&event["response_code"], &event["response_message"], &event["endpoint"]),
        (&200.into(), &"OK".into(), &endpoint.into())
    );
    // The record shows that the header was sent, but not its value.
    let listed = client.get("/deliveries").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let shown = client.get(&format!("/deliveries/{listed}")).await;
    assert_eq!(shown.expect(200)["attempts"][0]["request"]["headers"]["authorization"], "•••");
    assert!(!String::from_utf8_lossy(&shown.bytes).contains("do-not-show-me"));
    assert_eq!(server.stored_with(b"do-not-show-me").await, [""; 0]);
}

#[tokio::test]
async fn only_session_events_of_the_project_arrive() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(404)).await;
    let (_server, client, _dir) = engine_with(&authority, &receiver, json!({})).await;
    client.post("/projects", json!({"id": 7})).await.expect(201);
    let session = "7e9c00a0-f3d0-4a5c-a4c8-9d8258c31e34";
    for (event_type, project, deliveries) in [
        ("session.update", Some(PROJECT), 1),
        ("session.create", Some(PROJECT), 1),
        ("session.delete", Some(PROJECT), 1),
        ("session.update", Some(7), 0),
        ("session.update", None, 0),
        ("session.test", Some(PROJECT), 0),
        ("form.update", Some(PROJECT), 0),
    ] {
        let event = json!({
            "type": event_type, "project": project, "occurred_at": "2017-12-12T02:31:34.577Z",
            "data": {"session_id": session, "answers": {"name": "kept at home"}},
        });
        let receipt = client.post("/events", event).await.expect(202);
        assert_eq!(receipt["deliveries"], deliveries, "{event_type} {project:?}");
        if deliveries == 0 {
            continue;
        }
        let arrival = receiver.next().await;
        let expected = format!(
            concat!(
                r#"{{"client_id":19817472,"project_id":1249918,"session_id":"{}","event_type":"{}","#,
                r#""event_timestamp":1513045894.577,"ssl_version":1.2}}"#
            ),
            session, event_type
        );
        assert_eq!(arrival.body, expected);
        assert_eq!(arrival.header("authorization"), "");
        // The delivery will be retried; polling shows the last attempt.
        let id = receipt["id"].as_str().unwrap();
        let shown = client.deliveries_when(id, |delivery| delivery["state"] == "waiting").await;
        assert_eq!(shown[0]["attempts"][0]["response"]["status"], 404);
    }
}

#[tokio::test]
async fn polling_shows_the_outcome() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(503)).await;
    let (_server, client, _dir) = engine_with(&authority, &receiver, json!({})).await;
    let event = trigger(&client).await;
    let event = finished(&client, event["id"].as_i64().unwrap()).await;
    assert_eq!(
        (&event["response_code"], &event["response_message"]),
        (&503.into(), &"Service Unavailable".into())
    );
    assert_eq!(receiver.so_far().len(), 1, "a test is sent once");
    // Without a listener the status is 0, with a description, so that clients stop polling.
    let put = r#"{"endpoint": "127.0.0.1:1/gone"}"#;
    client.send("PUT", WEB_HOOK, put, JSON).await.expect(200);
    let event = trigger(&client).await;
    let event = finished(&client, event["id"].as_i64().unwrap()).await;
    assert_eq!(event["response_code"], 0);
    assert!(event["response_message"].as_str().unwrap().len() > 5, "{event}");
    assert_eq!(event["endpoint"], "127.0.0.1:1/gone");
}

#[tokio::test]
async fn a_retry_contains_the_authorization_which_is_not_stored_in_plain_text() {
    let (receiver, authority) = Receiver::tls(|_| Reply::status(500)).await;
    let more = json!({"enable_http_authorization": true, "http_authorization_value": "Basic do-not-show-me"});
    let (server, client, _dir) = engine_with(&authority, &receiver, more).await;
    let event = json!({"type": "session.create", "project": PROJECT, "data": {"session_id": "x"}});
    let id = client.post("/events", event).await.expect(202)["id"].as_str().unwrap().to_owned();
    client.deliveries_when(&id, |delivery| delivery["state"] == "waiting").await;
    // The request waits on disk for its retry.
    assert_eq!(server.stored_with(b"do-not-show-me").await, [""; 0]);
    let first = receiver.next().await;
    let second = receiver.next().await;
    let sent = [first.header("authorization"), second.header("authorization")];
    assert_eq!(sent, ["Basic do-not-show-me"; 2]);
    assert_eq!(first.body, second.body);
    let shown = client.deliveries_when(&id, |delivery| delivery["attempts"][1].is_object()).await;
    assert_eq!(
        shown[0]["attempts"][1]["steps"],
        json!([]),
        "the request of the first attempt was sent again"
    );
    // While it is disabled, it is stored and not sent. When it is enabled again, it is sent without being given again.
    for (flag, sent) in [(false, ""), (true, "Basic do-not-show-me")] {
        let put = json!({"enable_http_authorization": flag}).to_string();
        client.send("PUT", WEB_HOOK, put, JSON).await.expect(200);
        trigger(&client).await;
        assert_eq!(receiver.next().await.header("authorization"), sent);
    }
}

#[tokio::test]
async fn a_test_interrupted_by_a_restart_is_finished_and_not_sent_again() {
    let (receiver, authority) = Receiver::tls(|_| Reply::Never).await;
    let more = json!({"enable_web_hook": false});
    let (mut server, client, _dir) = engine_with(&authority, &receiver, more).await;
    let event = trigger(&client).await;
    receiver.next().await;
    server.kill().await;
    let server = server.restart().await;
    let client = client.at(server.base());
    let event = finished(&client, event["id"].as_i64().unwrap()).await;
    assert_eq!((&event["response_code"], &event["response_message"]), (&0.into(), &"cancelled".into()));
    client.send("PUT", WEB_HOOK, r#"{"enable_web_hook": true}"#, JSON).await.expect(200);
    let session = json!({"type": "session.create", "project": PROJECT, "data": {"session_id": "x"}});
    client.post("/events", session).await.expect(202);
    assert_eq!(receiver.next().await.json()["event_type"], "session.create");
}
