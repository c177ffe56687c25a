//! Apizee's company web hook: settings and deliveries.

use hookwright_tests::{Client, Receiver, Reply};
use serde_json::{Value, json};

use crate::engine;

const PATH: &str = "/apizee/webhook";

async fn put(client: &Client, body: Value, status: u16) -> Value {
    let headers = [("content-type", "application/json")];
    client.send("PUT", "/api/v3/apizee/webhook", body.to_string(), &headers).await.expect(status)
}

#[tokio::test]
async fn the_settings_can_be_written_read_and_deleted() {
    let (server, client) = engine().await;
    client.get(PATH).await.expect(404);
    let made = put(&client, json!({"url": "https://my.domain.tld/apizeehooks/"}), 200).await;
    assert_eq!(made["url"], "https://my.domain.tld/apizeehooks/");
    assert_eq!((&made["enabled"], &made["signing"]), (&true.into(), &"none".into()));
    assert_eq!((&made["headers"], &made["types"]), (&json!({}), &json!(["*"])));
    assert_eq!(client.get(PATH).await.expect(200), made);
    let body = json!({
        "url": "https://my.domain.tld/", "enabled": false, "headers": {"X-Key": "1", "User-Agent": "Mine"},
        "types": ["ticket.update", "conversation.*"], "signing": "standard",
    });
    let changed = put(&client, body.clone(), 200).await;
    for member in ["url", "enabled", "headers", "types", "signing"] {
        assert_eq!(changed[member], body[member], "{member}");
    }
    assert_eq!((&changed["hook"], &changed["created_at"]), (&made["hook"], &made["created_at"]));
    assert_eq!(client.get(PATH).await.expect(200), changed);
    // Each tenant has its own settings.
    let other_tenant = server.tenant("globex").await;
    other_tenant.get(PATH).await.expect(404);
    other_tenant.send("DELETE", "/api/v3/apizee/webhook", "", &[]).await.expect(404);
    // A disabled hook needs no URL.
    let off = put(&client, json!({"enabled": false}), 200).await;
    assert_eq!(off["url"], Value::Null);
    client.send("DELETE", "/api/v3/apizee/webhook", "", &[]).await.expect(204);
    client.get(PATH).await.expect(404);
    assert_eq!(client.get("/hooks").await.expect(200)["data"], json!([]));
}

#[tokio::test]
async fn invalid_settings_are_refused_with_their_location_and_change_nothing() {
    let (server, client) = engine().await;
    let before = put(&client, json!({"url": "https://my.domain.tld/"}), 200).await;
    let url = "https://a.example/";
    for (body, pointer) in [
        (json!({}), "/url"),
        (json!({"url": null}), "/url"),
        (json!({"url": 5}), "/url"),
        (json!({"url": ""}), "/url"),
        (json!({"url": "my.domain.tld"}), "/url"),
        (json!({"url": "ftp://my.domain.tld"}), "/url"),
        (json!({"url": "https://u:p@my.domain.tld"}), "/url"),
        (json!({"url": url, "enabled": "true"}), "/enabled"),
        (json!({"url": url, "enabled": 1}), "/enabled"),
        (json!({"url": url, "headers": []}), "/headers"),
        (json!({"url": url, "headers": {"Host": "x"}}), "/headers/Host"),
        (json!({"url": url, "headers": {"content-length": "1"}}), "/headers/content-length"),
        (json!({"url": url, "headers": {"a b": "1"}}), "/headers/a b"),
        (json!({"url": url, "headers": {"a": "1\n2"}}), "/headers/a"),
        (json!({"url": url, "headers": {"a": 1}}), "/headers/a"),
        (json!({"url": url, "headers": {"A": "1", "a": "2"}}), "/headers/a"),
        (json!({"url": url, "types": "ticket.update"}), "/types"),
        (json!({"url": url, "types": []}), "/types"),
        (json!({"url": url, "types": ["ticket.update", "ticket.reopen"]}), "/types/1"),
        (json!({"url": url, "types": ["conference.*"]}), "/types/0"),
        (json!({"url": url, "types": ["user.update"]}), "/types/0"),
        (json!({"url": url, "types": [""]}), "/types/0"),
        (json!({"url": url, "signing": "hmac"}), "/signing"),
        (json!({"url": url, "activate": true}), "/activate"),
    ] {
        let refused = put(&client, body.clone(), 400).await;
        assert_eq!(refused["pointer"], pointer, "{body}: {refused}");
    }
    assert_eq!(client.get(PATH).await.expect(200), before);
    let key = client.post("/keys", json!({"name": "r", "scopes": ["hooks:read"]})).await.expect(201);
    let reader = Client::new(server.base(), key["key"].as_str().unwrap());
    reader.get(PATH).await.expect(200);
    put(&reader, json!({"url": url}), 403).await;
    reader.send("DELETE", "/api/v3/apizee/webhook", "", &[]).await.expect(403);
}

#[tokio::test]
async fn the_published_examples_arrive_byte_for_byte() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    put(&client, json!({"url": receiver.url("/apizeehooks/")}), 200).await;
    let ticket = concat!(
        r#"{"event":"update","time":1575976413,"object":"ticket","objectId":100,"#,
        r#""props":{"state":"invited"}}"#
    );
    let conversation = concat!(
        r#"{"event":"update","time":1632144306,"object":"conversation","#,
        r#""objectId":"734e3a7b-eb17-4d3f-901d-bcff178b","props":{"eventType":"conversationEnded","#,
        r#""name":"TEST","finishedAt":"2021-09-20T13:25:06+00:00"}}"#
    );
    let located = concat!(
        r#"{"event":"create","time":1575976413,"object":"ticket","objectId":7,"#,
        r#""props":{"geoloc.lat":47.866675,"geoloc.lng":-3.865805,"state":"new"}}"#
    );
    let cases = [
        (
            r#"{"type": "ticket.update", "occurred_at": "2019-12-10T11:13:33Z",
                "data": {"objectId": 100, "props": {"state": "invited"}}}"#,
            ticket,
        ),
        (
            r#"{"type": "conversation.update", "occurred_at": "2021-09-20T13:25:06+00:00", "data":
                {"objectId": "734e3a7b-eb17-4d3f-901d-bcff178b", "props": {"eventType": "conversationEnded",
                "name": "TEST", "finishedAt": "2021-09-20T13:25:06+00:00"}}}"#,
            conversation,
        ),
        (
            r#"{"type": "ticket.create", "occurred_at": "2019-12-10T11:13:33.999Z",
                "data": {"objectId": 7, "props": {"geoloc": {"lat": 47.866675, "lng": -3.865805}, "state": "new"}}}"#,
            located,
        ),
    ];
    for (event, expected) in cases {
        let headers = [("content-type", "application/json")];
        client.send("POST", "/api/v3/events", event, &headers).await.expect(202);
        let arrival = receiver.next().await;
        assert_eq!(arrival.body, expected);
        assert_eq!((arrival.method.as_str(), arrival.path.as_str()), ("POST", "/apizeehooks/"));
        assert_eq!(arrival.header("content-type"), "application/JSON");
        assert_eq!(arrival.header("user-agent"), "Cloud Apizee");
        assert_eq!((arrival.header("webhook-id"), arrival.header("hookwright-event-type")), ("", ""));
    }
}

#[tokio::test]
async fn only_events_of_the_original_system_are_sent() {
    let (_server, client) = engine().await;
    let receiver = Receiver::responding(|_| Reply::status(204)).await;
    let deliveries = async |event_type: &str| {
        let event = json!({"type": event_type, "data": {"objectId": 1, "props": {}}});
        client.post("/events", event).await.expect(202)["deliveries"].clone()
    };
    put(&client, json!({"url": receiver.url("/")}), 200).await;
    for event_type in ["ticket.create", "media.update", "conversation.delete", "smsmessage.create"] {
        assert_eq!(deliveries(event_type).await, 1, "{event_type}");
        assert_eq!(receiver.next().await.json()["props"], json!({}));
    }
    for event_type in ["user.create", "conference.update", "ticket", "ticket.close", "ticket.update.x"] {
        assert_eq!(deliveries(event_type).await, 0, "{event_type}");
    }
    let filtered = json!({"url": receiver.url("/"), "types": ["media.*", "ticket.update"]});
    put(&client, filtered, 200).await;
    for (event_type, wanted) in [("media.delete", 1), ("ticket.update", 1), ("ticket.create", 0)] {
        assert_eq!(deliveries(event_type).await, wanted, "{event_type}");
    }
    put(&client, json!({"url": receiver.url("/"), "enabled": false}), 200).await;
    assert_eq!(deliveries("ticket.update").await, 0);
}

#[tokio::test]
async fn custom_headers_replace_the_default_headers_and_signatures_are_optional() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let headers = json!({"content-type": "application/json", "User-Agent": "Mine", "X-Key": "1"});
    put(&client, json!({"url": receiver.url("/"), "headers": headers, "signing": "standard"}), 200).await;
    client.publish("media.create", json!({"objectId": 1, "props": {"_parent.id": 5}})).await;
    let arrival = receiver.next().await;
    let found = ["content-type", "user-agent", "x-key"].map(|name| arrival.header(name));
    assert_eq!(found, ["application/json", "Mine", "1"]);
    assert!(arrival.header("webhook-signature").starts_with("v1,"));
    assert_eq!(arrival.json()["props"], json!({"_parent.id": 5}));
}
