//! Dry runs of pipelines that no hook has yet: of one event, and of a hook's newest events.

use hookwright_tests::{Client, Receiver, Server};
use serde_json::{Value, json};

use crate::{engine, hook};

fn script(text: &str) -> Value {
    json!([{"plugin": "javascript", "settings": {"script": text}}])
}

async fn restricted(server: &Server, client: &Client, scopes: &[&str]) -> Client {
    let key = client.post("/keys", json!({"name": "k", "scopes": scopes})).await.expect(201);
    Client::new(server.base(), key["key"].as_str().unwrap())
}

#[tokio::test]
async fn a_preview_runs_a_given_pipeline_and_shows_what_it_used() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"pipeline": script("return 'stored'")})).await;
    let path = format!("/hooks/{id}/preview");
    let event = json!({"type": "t", "data": {"n": 9_007_199_254_740_993_u64}});
    let shown = client.post(&path, json!({"event": event})).await.expect(200);
    assert_eq!(shown["request"]["body"], "stored");
    let shown = client.post(&path, json!({"event": event, "pipeline": script("return 'given'")})).await;
    let shown = shown.expect(200);
    assert_eq!(shown["request"]["body"], "given");
    assert!(shown["request"]["headers"]["webhook-signature"].as_str().unwrap().starts_with("v1,"));
    let step = &shown["steps"][0];
    let number = |member: &str| step[member].as_u64().unwrap_or_else(|| panic!("{member}: {step:#}"));
    assert!((1..number("fuel_granted")).contains(&number("fuel")));
    assert!((1..number("memory_granted")).contains(&number("memory_bytes")));
    // The body, and the headers and the URL with it.
    assert!((20..500).contains(&number("output_bytes")), "{step:#}");
    assert!(number("output_granted") >= 1 << 20);
    // Without a pipeline, the data is sent as it is.
    let shown = client.post(&path, json!({"event": event, "pipeline": []})).await.expect(200);
    assert_eq!(shown["request"]["body"], r#"{"n":9007199254740993}"#);

    let refused = client.post(&path, json!({"event": event, "pipeline": [{"plugin": "missing"}]})).await;
    assert_eq!(refused.expect(400)["pointer"], "/pipeline/0/plugin");
    // A plugin can sign whatever it likes with the hook's secret.
    let reader = restricted(&server, &client, &["hooks:read"]).await;
    reader.post(&path, json!({"event": event})).await.expect(200);
    reader.post(&path, json!({"event": event, "pipeline": []})).await.expect(403);
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn a_fault_says_where_in_the_script_or_in_the_settings_it_is() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({})).await;
    let path = format!("/hooks/{id}/preview");
    let fault = async |pipeline: Value| {
        let body = json!({"event": {"type": "t", "data": {}}, "pipeline": pipeline});
        let shown = client.post(&path, body).await.expect(200);
        assert_eq!(shown["verdict"], "fault", "{shown:#}");
        shown["steps"].as_array().unwrap().last().unwrap()["fault"].clone()
    };
    let thrown = fault(script("let a = 1;\n  missing();")).await;
    assert_eq!((&thrown["line"], &thrown["column"]), (&json!(2), &json!(3)), "{thrown:#}");
    assert!(thrown.get("settings_pointer").is_none());
    let unparsed = fault(script("return {\n  a: 1,,\n};")).await;
    assert_eq!((&unparsed["line"], &unparsed["settings_pointer"]), (&json!(2), &json!("/script")));
    let unclosed = fault(script("if (event.data) {\n")).await;
    assert!(unclosed["line"].is_number() && unclosed.get("column").is_none(), "{unclosed:#}");
    let endless = fault(script("\nfor (;;) {}")).await;
    assert_eq!((&endless["kind"], &endless["line"]), (&json!("out-of-fuel"), &json!(2)), "{endless:#}");
    let settings = json!({"pointer": "/a", "greater": 1});
    let unknown = fault(json!([{"plugin": "event-filter", "settings": settings}])).await;
    assert_eq!(unknown["settings_pointer"], "/greater", "{unknown:#}");
}

#[tokio::test]
async fn a_pipeline_is_compared_with_that_of_the_hook_over_its_newest_events() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"pipeline": script("return {body: event.data}")})).await;
    let mut events = Vec::new();
    for n in 0..6 {
        let event = client.publish("t", json!({"n": n, "list": [n]})).await;
        client.finished(&event).await;
        events.push(event);
    }
    // Tests and events of other hooks do not count.
    client.post(&format!("/hooks/{id}/test"), json!({})).await.expect(202);
    let path = format!("/hooks/{id}/compare");
    let equal =
        client.post(&path, json!({"pipeline": script("return {body: event.data};")})).await.expect(200);
    assert_eq!((&equal["events"], &equal["same"], &equal["differ"]), (&json!(6), &json!(6), &json!(0)));
    assert_eq!((&equal["complete"], &equal["differences"]), (&json!(true), &json!([])));

    let other = "const {n, list} = event.data;
        if (n === 0) return null;
        if (n === 1) throw new Error('one');
        if (n === 2) request.headers['x-n'] = '2';
        return {headers: request.headers, body: n === 3 ? {n: 30, list: [...list, 4]} : event.data};";
    let compared = client.post(&path, json!({"pipeline": script(other)})).await.expect(200);
    assert_eq!((&compared["same"], &compared["differ"]), (&json!(2), &json!(4)), "{compared:#}");
    assert_eq!(compared["before"], json!({"keep": 6, "drop": 0, "fault": 0}));
    assert_eq!(compared["after"], json!({"keep": 4, "drop": 1, "fault": 1}));
    let differences = compared["differences"].as_array().unwrap();
    let of: Vec<_> = differences.iter().map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(of, [&*events[3], &events[2], &events[1], &events[0]], "the newest is the first");
    assert_eq!(differences[0]["differs"], json!(["body"]));
    let values = json!([
        {"pointer": "/list/1", "before": null, "after": "4"},
        {"pointer": "/n", "before": "3", "after": "30"},
    ]);
    assert_eq!(differences[0]["body"], values);
    assert_eq!(differences[1]["differs"], json!(["headers"]));
    assert_eq!((&differences[2]["after"], &differences[2]["step"]), (&json!("fault"), &json!(0)));
    assert_eq!(differences[2]["fault"]["line"], 3);
    assert_eq!((&differences[3]["after"], &differences[3]["differs"]), (&json!("drop"), &Value::Null));

    let two = client.post(&path, json!({"pipeline": script(other), "events": 2})).await.expect(200);
    assert_eq!((&two["events"], &two["same"]), (&json!(2), &json!(2)));
    for (events, pointer) in [(json!(0), "/events"), (json!(51), "/events")] {
        let refused = client.post(&path, json!({"pipeline": [], "events": events})).await.expect(400);
        assert_eq!(refused["pointer"], pointer);
    }
    for scopes in [&["hooks:read", "events:read"], &["hooks:write", "deliveries:read"]] {
        restricted(&server, &client, scopes).await.post(&path, json!({"pipeline": []})).await.expect(403);
    }
}

#[tokio::test]
async fn a_hook_without_deliveries_is_compared_over_the_events_it_would_get() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    client.publish("order.paid", json!({"n": 1})).await;
    client.publish("other", json!({"n": 2})).await;
    let id = hook(&client, &receiver, json!({"types": ["order.*"]})).await;
    let path = format!("/hooks/{id}/compare");
    let compared = client.post(&path, json!({"pipeline": script("return 'x'")})).await.expect(200);
    assert_eq!((&compared["events"], &compared["differ"]), (&json!(1), &json!(1)), "{compared:#}");
    assert_eq!(compared["differences"][0]["type"], "order.paid");
    assert_eq!(compared["differences"][0]["body"], json!([]), "the body is not JSON");
}
