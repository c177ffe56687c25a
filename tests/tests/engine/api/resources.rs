//! Resources, from creation to deletion.

use hookwright_tests::{Receiver, guest};
use serde_json::{Value, json};

use crate::{engine, hook};

#[tokio::test]
async fn a_hook_is_created_read_changed_and_deleted() {
    let (_server, client) = engine().await;
    let full = json!({
        "url": "https://example.com/hook?a=1",
        "types": ["session.*", "order.paid"],
        "enabled": false,
        "description": "to billing",
        "headers": {"X-One": "1"},
        "pipeline": [{"plugin": "field-map", "settings": {"drop": ["/secret"]}}],
        "timeout_ms": 5000,
        "retry": {"schedule_s": [5, 300]},
        "signing": "none",
    });
    let created = client.post("/hooks", full.clone()).await.expect(201);
    for (name, value) in full.as_object().unwrap() {
        assert_eq!(&created[name], value, "{name}");
    }
    let path = format!("/api/v3/hooks/{}", created["id"].as_str().unwrap());
    let mut shown = client.send("GET", &path, "", &[]).await.expect(200);
    assert_eq!(shown.as_object_mut().unwrap().remove("held"), Some(json!(0)), "the hook is disabled");
    assert_eq!(shown, created);

    let patch = r#"{"enabled": true, "description": null, "headers": {"X-One": null, "X-Two": "2"}}"#;
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = client.send("PATCH", &path, patch, &merge).await.expect(200);
    assert_eq!(patched["enabled"], true);
    assert_eq!(patched["headers"], json!({"X-Two": "2"}));
    assert_eq!(patched["url"], created["url"]);
    client.send("PATCH", &path, r#"{"url": "nonsense"}"#, &merge).await.expect(400);
    assert_eq!(client.send("GET", &path, "", &[]).await.expect(200), patched);

    let replaced = json!({"url": "https://example.com/other", "types": ["*"]}).to_string();
    let replaced = client.send("PUT", &path, replaced, &[]).await.expect(200);
    assert_eq!(
        (&replaced["pipeline"], &replaced["enabled"], &replaced["signing"]),
        (&json!([]), &json!(true), &json!("standard"))
    );
    assert_eq!(replaced["created_at"], created["created_at"]);

    assert_eq!(client.send("DELETE", &path, "", &[]).await.status, 204);
    client.send("GET", &path, "", &[]).await.expect(404);
}

#[tokio::test]
async fn a_hook_can_be_limited_to_the_events_of_one_project() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    for id in [7, 8] {
        client.post("/projects", json!({"id": id})).await.expect(201);
    }
    let id = hook(&client, &receiver, json!({"project": 7})).await;
    for (project, deliveries) in [(json!(7), 1), (json!(8), 0), (json!(null), 0)] {
        let event = json!({"type": "t", "project": project, "data": 1});
        assert_eq!(client.post("/events", event).await.expect(202)["deliveries"], deliveries, "{project}");
    }
    client.send("DELETE", "/api/v3/projects/7", "", &[]).await.expect(409);
    let merge = [("content-type", "application/merge-patch+json")];
    let patched = client.send("PATCH", &format!("/api/v3/hooks/{id}"), r#"{"project": null}"#, &merge).await;
    assert_eq!(patched.expect(200)["project"], json!(null));
    client.send("DELETE", "/api/v3/projects/7", "", &[]).await.expect(204);
    assert_eq!(client.post("/events", json!({"type": "t", "data": 1})).await.expect(202)["deliveries"], 1);
}

#[tokio::test]
async fn a_rotated_secret_signs_together_with_the_old_one() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})).await;
    let path = format!("/hooks/{id}/secret");
    assert_eq!(client.get(&path).await.expect(200)["secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    client.post(&format!("{path}/rotate"), json!({})).await.expect(200);
    assert_ne!(client.get(&path).await.expect(200)["secret"], "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    client.publish("t", json!(1)).await;
    assert_eq!(receiver.next().await.header("webhook-signature").split(' ').count(), 2);
}

#[tokio::test]
async fn plugin_versions_are_immutable_and_a_used_plugin_cannot_be_deleted() {
    let (_server, client) = engine().await;
    let wasm = client.get("/plugins/field-map/wasm").await.bytes.to_vec();
    let first = client.upload("mine", wasm.clone()).await;
    assert_eq!((&first["version"], &first["roles"]), (&json!(1), &json!(["mapper"])));
    let again = client.send("PUT", "/api/v3/plugins/mine", wasm, &[]).await.expect(200);
    assert_eq!(again["version"], 1);
    let other = client.get("/plugins/event-filter/wasm").await.bytes.to_vec();
    let second = client.upload("mine", other.clone()).await;
    assert_eq!((&second["version"], &second["roles"]), (&json!(2), &json!(["filter"])));
    assert_eq!(client.get("/plugins/mine/wasm?version=2").await.bytes, other);
    assert_eq!(client.get("/plugins/mine/versions").await.expect(200)["data"].as_array().unwrap().len(), 2);

    let hook = json!({"url": "https://example.com/", "types": ["*"], "pipeline": [{"plugin": "mine@1"}]});
    let hook = client.post("/hooks", hook).await.expect(201);
    let refused = client.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains(hook["id"].as_str().unwrap()), "{refused}");
    client.send("DELETE", &format!("/api/v3/hooks/{}", hook["id"].as_str().unwrap()), "", &[]).await;
    assert_eq!(client.send("DELETE", "/api/v3/plugins/mine", "", &[]).await.status, 204);
    client.get("/plugins/mine").await.expect(404);
}

#[tokio::test]
async fn new_settings_of_a_hook_are_checked_by_its_plugins() {
    let (_server, client) = engine().await;
    let wasm = |name| format!("/plugins/{name}/wasm");
    client.upload("mine", client.get(&wasm("field-map")).await.bytes.to_vec()).await;
    let step = json!({"plugin": "mine", "settings": {"drop": ["/a"]}});
    let hook = json!({"url": "https://example.com/", "types": ["*"], "pipeline": [step]});
    let hook = client.post("/hooks", hook).await.expect(201);
    let path = format!("/api/v3/hooks/{}", hook["id"].as_str().unwrap());
    let patch = async |patch: Value| {
        let merge = [("content-type", "application/merge-patch+json")];
        client.send("PATCH", &path, patch.to_string(), &merge).await
    };

    // The new version refuses such settings, but the hook's existing settings do not prevent other changes.
    let newer = client.get(&wasm("webitel-map")).await.bytes;
    client.send("PUT", "/api/v3/plugins/mine?force=true", newer, &[]).await.expect(201);
    let changed = patch(json!({"description": "as it was"})).await.expect(200);
    let more = json!({"plugin": "mine", "settings": {"drop": ["/b"]}});
    let refused = patch(json!({"description": "refused", "pipeline": [step, more]})).await.expect(400);
    assert_eq!(refused["pointer"], "/pipeline/1/settings");
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("`mine`: settings at `drop`: unknown field `drop`"), "{detail}");
    assert_eq!(client.send("GET", &path, "", &[]).await.expect(200), changed);
    let replaced = json!({"url": "https://example.com/", "types": ["*"], "pipeline": [more]}).to_string();
    client.send("PUT", &path, replaced, &[]).await.expect(400);

    // Other failures may be due to the event of the trial.
    client.upload("other", guest::filter("", "unreachable")).await;
    patch(json!({"pipeline": [{"plugin": "other"}]})).await.expect(200);
}

#[tokio::test]
async fn lists_are_paged_without_gaps_and_filtered() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let id = hook(&client, &receiver, json!({"types": ["a", "b"]})).await;
    for number in 0..7 {
        let event = client.publish(if number % 2 == 0 { "a" } else { "b" }, json!(number)).await;
        client.finished(&event).await;
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/deliveries?limit=3{cursor}")).await.expect(200);
        seen.extend(
            page["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|delivery| delivery["id"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| b.cmp(a));
    sorted.dedup();
    assert_eq!((seen.len(), &seen), (7, &sorted), "newest first, each once");
    for (query, expected) in [
        (format!("hook={id}"), 7),
        ("type=a".to_owned(), 4),
        ("state=succeeded&type=b".to_owned(), 3),
        ("state=exhausted".to_owned(), 0),
        ("since=2020-01-01T00:00:00Z".to_owned(), 7),
        ("until=2020-01-01T00:00:00Z".to_owned(), 0),
    ] {
        let list = client.get(&format!("/deliveries?{query}")).await.expect(200);
        assert_eq!(list["data"].as_array().unwrap().len(), expected, "{query}");
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_request_and_sends_nothing() {
    let (_server, client) = engine().await;
    let receiver = Receiver::start().await;
    let pipeline = json!([
        {"plugin": "event-filter", "settings": {"pointer": "/n", "greater_than": 1}},
        {"plugin": "field-map", "settings": {"move": {"/n": "/number"}}},
        {"plugin": "javascript", "settings": {"script": "console.log('n is', event.data.number); request.headers['x-n'] = String(event.data.number)"}},
    ]);
    let id = hook(&client, &receiver, json!({"pipeline": pipeline})).await;
    let path = format!("/hooks/{id}/preview");
    let kept = client.post(&path, json!({"event": {"type": "t", "data": {"n": 5}}})).await.expect(200);
    assert_eq!(kept["verdict"], "keep", "{kept:#}");
    assert_eq!(kept["request"]["body"], r#"{"number":5}"#);
    assert_eq!(kept["request"]["url"], receiver.url("/"));
    let steps = kept["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 3);
    for step in steps {
        assert!(step["fuel"].as_u64().unwrap() > 0 && step["memory_bytes"].as_u64().unwrap() > 0, "{step}");
    }
    assert_eq!(steps[2]["logs"][0]["message"], "n is 5");

    let dropped = client.post(&path, json!({"event": {"type": "t", "data": {"n": 1}}})).await.expect(200);
    assert_eq!(
        (&dropped["verdict"], dropped["steps"].as_array().unwrap().len()),
        (&json!("drop"), 1),
        "{dropped}"
    );

    // The verdict does not depend on whether the hook would get a delivery.
    assert_eq!(kept["warnings"], json!([]));
    let change = json!({"types": ["order.*"], "url": "http://10.0.0.1/", "enabled": false});
    let (hook, change) = (format!("/api/v3/hooks/{id}"), change.to_string());
    let patch = [("content-type", "application/merge-patch+json")];
    client.send("PATCH", &hook, change, &patch).await.expect(200);
    let obstructed = client.post(&path, json!({"event": {"type": "t", "data": {"n": 5}}})).await.expect(200);
    assert_eq!(obstructed["verdict"], "keep");
    assert_eq!(
        obstructed["warnings"],
        json!([
            "the hook is disabled, so it would get no delivery of this event",
            "the hook does not subscribe to events of type `t`, so it would get no delivery of this event",
            "10.0.0.1 has no address that the operator's egress policy allows",
        ])
    );

    let script = "let a = 1;\nlet b = missing;";
    let body = json!({"event": {"type": "t", "data": 1}, "settings": {"script": script}});
    let failed = client.post("/plugins/javascript/run", body).await.expect(200);
    let fault = &failed["steps"][0]["fault"];
    assert_eq!(fault["kind"], "failure", "{failed}");
    assert!(fault["message"].as_str().unwrap().contains("line 2"), "{fault}");
    assert_eq!(receiver.so_far().len(), 0);
}

#[tokio::test]
async fn every_route_is_described_in_the_openapi_document() {
    let (_server, client) = engine().await;
    let document = client.clone().without_key().get("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for path in [
        "/events",
        "/events/batch",
        "/events/{id}",
        "/hooks",
        "/hooks/{id}",
        "/hooks/{id}/preview",
        "/plugins/{name}",
        "/plugins/{name}/run",
        "/deliveries",
        "/deliveries/{id}/retry",
        "/tenants",
        "/keys",
        "/projects",
    ] {
        let full = format!("/api/v3{path}");
        assert!(document["paths"].get(&full).is_some() || document["paths"].get(path).is_some(), "{path}");
    }
}
