//! Deliveries: the effect of each member of a hook.

use hookwright_tests::{Arrival, Client, Receiver, Reply};
use serde_json::{Value, json};

use super::{DOMAIN, call, create, hook, text, webitel};

/// Posts the event `E` with these members, and returns its id.
async fn post(client: &Client, members: Value) -> String {
    let mut event = json!({"Event-Name": "E", "variable_domain_name": DOMAIN});
    for (name, value) in members.as_object().into_iter().flatten() {
        event[name] = value.clone();
    }
    let response = call(client, "POST", "/events", event).await;
    let id = response.expect(200)["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(text(&response), format!(r#"{{"status":"OK","data":{{"id":"{id}"}}}}"#));
    id
}

/// Returns the request of a hook with these members for an event with those members.
async fn sent(members: Value, event: Value) -> Arrival {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    create(&client, hook("E", &receiver.url("/hook?own=1"), members)).await;
    let event = post(&client, event).await;
    let delivery = engine.finished(&event).await.remove(0);
    assert_eq!(delivery["state"], "succeeded", "{delivery:#}");
    receiver.next().await
}

fn body(arrival: &Arrival) -> &str {
    std::str::from_utf8(&arrival.body).unwrap()
}

#[tokio::test]
async fn a_plain_hook_sends_the_envelope() {
    let arrival = sent(json!({}), json!({"n": 1.5})).await;
    let body = arrival.json();
    let id = body["id"].as_str().unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "a UUID of version 4: {id}");
    let data = json!({"Event-Name": "E", "variable_domain_name": DOMAIN, "n": 1.5});
    assert_eq!(body, json!({"id": id, "action": "E", "data": data}));
    assert_eq!((arrival.method.as_str(), arrival.path.as_str()), ("POST", "/hook?own=1"));
    assert_eq!(arrival.header("content-type"), "application/json");
    assert_eq!(arrival.header("accept"), "application/json");
    assert!(!arrival.headers.keys().any(|name| name.as_str().starts_with("webhook-")), "nothing is signed");
    assert!(!arrival.headers.contains_key("hookwright-event-type"));
}

#[tokio::test]
async fn fields_are_selected_and_then_renamed() {
    let members = json!({"fields": ["a", "b.c", "gone"], "map": {"a": "first", "Event-Name": "name"}});
    let arrival = sent(members, json!({"a": [1, {"x": null}], "b.c": "2", "d": 4})).await;
    assert_eq!(arrival.json()["data"], json!({"first": [1, {"x": null}], "b.c": "2"}));
    let arrival = sent(json!({"map": {"Event-Name": "name"}}), json!({})).await;
    assert_eq!(arrival.json()["data"], json!({"name": "E", "variable_domain_name": DOMAIN}));
}

#[tokio::test]
async fn a_custom_body_is_sent_without_envelope_and_escaped_by_default() {
    let raw = r#"{ "id": "${uuid}", "who": "${name}", "n": ${n}, "none": "${gone}" }"#;
    let event = json!({"uuid": "e", "variable_uuid": "v", "name": "O\"Neil", "n": 5});
    // `fields` and `map` do not affect a custom body.
    let members = json!({"customBody": true, "rawBody": raw, "fields": ["n"], "map": {"n": "m"}});
    let arrival = sent(members, event.clone()).await;
    assert_eq!(body(&arrival), r#"{"id":"v","who":"O\"Neil","n":5,"none":""}"#);
    // Like the original system: the result is not JSON, so an envelope without data is sent.
    let members = json!({"customBody": true, "rawBody": raw, "escapeBody": false});
    let arrival = sent(members, event.clone()).await;
    assert_eq!((&arrival.json()["action"], &arrival.json()["data"]), (&json!("E"), &json!({})));
    for members in [
        json!({"customBody": false, "rawBody": raw, "fields": ["n"]}),
        json!({"customBody": true, "fields": ["n"]}),
    ] {
        assert_eq!(sent(members, event.clone()).await.json()["data"], json!({"n": 5}));
    }
    // An empty text is not JSON either.
    let members = json!({"customBody": true, "rawBody": "", "fields": ["n"]});
    assert_eq!(sent(members, event.clone()).await.json()["data"], json!({}));
}

#[tokio::test]
async fn headers_are_templates_and_get_uses_a_query() {
    let members = json!({
        "action": {"type": "web", "method": "put", "url": "replaced"},
        "headers": {"X-Call": "<${call.id}>", "X-None": "${gone}", "X-Number": 5, "content-type": "application/x-call"},
        "fields": ["n"],
    });
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let with = |method: &str| {
        let mut hook = hook("E", &receiver.url("/hook?own=1&n=0"), members.clone());
        hook["action"] = json!({"type": "web", "method": method, "url": receiver.url("/hook?own=1&n=0")});
        hook
    };
    let id = create(&client, with("put")).await;
    let event = json!({"call.id": "c\r\n1", "n": {"a b": [1, null]}, "x": 1});
    engine.finished(&post(&client, event.clone()).await).await;
    let arrival = receiver.next().await;
    assert_eq!(arrival.method, "PUT");
    assert_eq!((arrival.header("x-call"), arrival.header("content-type")), ("<c1>", "application/x-call"));
    assert_eq!(arrival.headers.get("x-none").map(http::HeaderValue::as_bytes), Some(b"".as_slice()));
    assert!(!arrival.headers.contains_key("x-number"));
    assert_eq!(arrival.json()["data"], json!({"n": {"a b": [1, null]}}));

    call(&client, "PUT", &format!("/hooks/{id}"), with("Get")).await.expect(200);
    engine.finished(&post(&client, event.clone()).await).await;
    let arrival = receiver.next().await;
    assert_eq!((arrival.method.as_str(), body(&arrival)), ("GET", ""));
    assert_eq!(arrival.path, "/hook?own=1&n%5Ba%20b%5D%5B0%5D=1&n%5Ba%20b%5D%5B1%5D=");
    // The data of a channel has several kilobytes.
    let long = "x".repeat(8_000);
    engine.finished(&post(&client, json!({"n": long})).await).await;
    assert_eq!(receiver.next().await.path, format!("/hook?own=1&n={long}"));
    call(&client, "PUT", &format!("/hooks/{id}"), with("DELETE")).await.expect(200);
    engine.finished(&post(&client, event).await).await;
    assert_eq!(receiver.next().await.method, "DELETE");
}

#[tokio::test]
async fn only_events_that_pass_the_filter_are_sent() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let filter =
        json!({"n": {"operation": ">=", "value": "10"}, "Caller.ID": {"operation": "reg", "value": "/^a/i"}});
    create(&client, hook("E", &receiver.url("/"), json!({"filter": filter, "fields": ["n"]}))).await;
    for (event, state) in [
        (json!({"n": 9, "Caller.ID": "Ab"}), "dropped"),
        (json!({"n": "10", "Caller.ID": "Ab"}), "succeeded"),
        (json!({"n": 11, "Caller.ID": "b"}), "dropped"),
        (json!({"n": 11}), "dropped"),
    ] {
        let delivery = engine.finished(&post(&client, event.clone()).await).await.remove(0);
        assert_eq!(delivery["state"], state, "{event}");
    }
    assert_eq!(receiver.so_far().len(), 1);
}

#[tokio::test]
async fn an_event_is_delivered_to_enabled_hooks_of_exactly_its_name() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let name = "CUSTOM->engine::dialer_member_end";
    for (event, path, more) in [
        (name, "/yes", json!({})),
        (name, "/off", json!({"enable": false})),
        ("CUSTOM", "/class", json!({})),
        ("CUSTOM->engine::dialer_member", "/shorter", json!({})),
        ("custom->engine::dialer_member_end", "/case", json!({})),
    ] {
        create(&client, hook(event, &receiver.url(path), more)).await;
    }
    let absent =
        json!({"event": name, "action": {"type": "web", "method": "POST", "url": receiver.url("/absent")}});
    create(&client, absent).await;
    let raw = json!({"Event-Name": "CUSTOM", "Event-Subclass": "engine::dialer_member_end",
        "Channel-Presence-ID": format!("100@{DOMAIN}"), "dialerId": "d1"});
    let first = call(&client, "POST", "/events", raw.clone()).await.expect(200);
    engine.finished(first["data"]["id"].as_str().unwrap()).await;
    // With its full name through API v3.
    engine.finished(&engine.publish(name, raw.clone()).await).await;
    let arrivals = receiver.so_far();
    assert_eq!(arrivals.iter().map(|arrival| arrival.path.as_str()).collect::<Vec<_>>(), ["/yes", "/yes"]);
    for arrival in &arrivals {
        assert_eq!((&arrival.json()["action"], &arrival.json()["data"]), (&json!(name), &raw));
    }
}

#[tokio::test]
async fn the_documented_hook_sends_its_body() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::start().await;
    let mut published: Value = serde_json::from_str(include_str!("published/create.request.json")).unwrap();
    published["action"]["url"] = json!(receiver.url("/yoe4hwyo"));
    create(&client, published).await;
    let event = json!({"Event-Name": "CUSTOM", "Event-Subclass": "engine::dialer_member_end",
        "variable_domain_name": DOMAIN, "dialerId": "d1", "id": "m1", "endCause": "NO_ANSWER"});
    let sent = call(&client, "POST", "/events", event).await.expect(200);
    engine.finished(sent["data"]["id"].as_str().unwrap()).await;
    let arrival = receiver.next().await;
    assert_eq!(body(&arrival), r#"{"dlr_id":"d1","member_id":"m1","end_cause":"NO_ANSWER"}"#);
    assert_eq!(arrival.header("content-type"), "application/json");
}

#[tokio::test]
async fn number_and_delay_of_retries_follow_the_hook_and_the_body_does_not_change() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::responding(|_| Reply::status(500)).await;
    create(&client, hook("E", &receiver.url("/"), json!({"retries": 1, "delay": 1}))).await;
    let delivery = engine.finished(&post(&client, json!({})).await).await.remove(0);
    assert_eq!(
        (&delivery["state"], delivery["attempts"].as_array().unwrap().len()),
        (&json!("exhausted"), 2)
    );
    let arrivals = receiver.so_far();
    assert_eq!(
        (arrivals.len(), &arrivals[0].body),
        (2, &arrivals[1].body),
        "with the same id in the envelope"
    );
    for (members, schedule) in [
        (json!({}), json!([])),
        (json!({"retries": 0}), json!([])),
        (json!({"retries": -1, "delay": 5}), json!([])),
        (json!({"retries": 101}), json!([])),
        (json!({"retries": 1_000_000_000}), json!([])),
        (json!({"retries": 2}), json!([60, 60])),
        (json!({"retries": 2.0, "delay": 0}), json!([60, 60])),
        (json!({"retries": 2, "delay": -5}), json!([60, 60])),
        (json!({"retries": 3, "delay": 604_800}), json!([604_800, 604_800, 604_800])),
        (json!({"retries": 100, "delay": 1}), json!(vec![1; 100])),
    ] {
        create(&client, hook("F", &receiver.url("/"), members.clone())).await;
        let hooks = engine.get("/hooks?limit=250").await.expect(200);
        let made = hooks["data"].as_array().unwrap().last().unwrap();
        assert_eq!(made["retry"]["schedule_s"], schedule, "{members}");
    }
}

#[tokio::test]
async fn any_2xx_is_success_and_410_disables_the_hook() {
    let (_server, engine, client) = webitel().await;
    let receiver = Receiver::responding(|arrival| Reply::status(arrival.path[1..].parse().unwrap())).await;
    let ids = [
        create(&client, hook("E", &receiver.url("/204"), json!({}))).await,
        create(&client, hook("F", &receiver.url("/302"), json!({}))).await,
        create(&client, hook("G", &receiver.url("/410"), json!({"retries": 5}))).await,
    ];
    for (event, state, enable) in
        [("E", "succeeded", true), ("F", "exhausted", true), ("G", "exhausted", false)]
    {
        let id = engine.publish(event, json!({})).await;
        assert_eq!(engine.finished(&id).await[0]["state"], state, "{event}");
        let hooks = call(&client, "GET", "/hooks?columns=event,enable", Value::Null).await.expect(200);
        let hooks = hooks["data"].as_array().unwrap().clone();
        let shown = hooks.iter().find(|hook| hook["event"] == event).unwrap();
        assert_eq!(shown["enable"], enable, "{event}");
    }
    // Replacing the hook enables it again.
    let path = format!("/hooks/{}", ids[2]);
    call(&client, "PUT", &path, hook("G", &receiver.url("/200"), json!({}))).await.expect(200);
    let id = engine.publish("G", json!({})).await;
    assert_eq!(engine.finished(&id).await[0]["state"], "succeeded");
}
