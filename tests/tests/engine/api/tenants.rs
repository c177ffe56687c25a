//! The life of tenants: renaming, suspending, limits with usage, deleting and exporting.

mod export;

use std::time::Instant;

use hookwright_tests::{Client, Receiver, Response, Server, TIMEOUT, guest};
use serde_json::{Value, json};

use crate::start::hook_when;
use crate::{BINARY, engine, hook};

async fn patch(operator: &Client, tenant: &str, patch: Value) -> Value {
    try_patch(operator, tenant, patch).await.expect(200)
}

async fn try_patch(operator: &Client, tenant: &str, patch: Value) -> Response {
    operator.patch(&format!("/tenants/{tenant}"), patch).await
}

async fn usage(client: &Client, tenant: &str, name: &str) -> Value {
    client.get(&format!("/tenants/{tenant}")).await.expect(200)["usage"][name].clone()
}

#[tokio::test]
async fn a_renamed_tenant_keeps_its_keys_and_its_former_name_is_free() {
    let (mut server, mut client) = engine().await;
    let operator = server.operator();
    server.tenant("other").await;
    let id = client.get("/tenants").await.expect(200)["data"][0]["id"].clone();
    for (name, status, kind) in [
        ("other", 409, "/problems/conflict"),
        ("", 400, "/problems/invalid-value"),
        ("a b", 400, "/problems/invalid-value"),
        (id.as_str().unwrap(), 400, "/problems/invalid-value"),
    ] {
        assert_eq!(try_patch(&operator, "acme", json!({"name": name})).await.expect(status)["type"], kind);
    }
    let renamed = patch(&operator, "acme", json!({"name": "new.example"})).await;
    assert_eq!((&renamed["id"], &renamed["name"]), (&id, &json!("new.example")));
    for round in 0..2 {
        assert_eq!(client.get("/tenants/new.example").await.expect(200)["id"], id, "{round}");
        client.get("/tenants/acme").await.expect(404);
        client.publish("t", json!(1)).await;
        let for_tenant = |name| server.operator().with_header("Hookwright-Tenant", name);
        for_tenant("new.example").get("/hooks").await.expect(200);
        for_tenant("acme").get("/hooks").await.expect(400);
        server.terminate().await;
        server = server.restart().await;
        client = client.at(server.base());
    }
    server.operator().post("/tenants", json!({"name": "acme"})).await.expect(201);
}

#[tokio::test]
async fn a_suspended_tenant_is_refused_everywhere_and_its_deliveries_are_held_until_it_is_resumed() {
    let (mut server, mut client) = engine().await;
    let other = server.tenant("other").await;
    let (receiver, mut operator) = (Receiver::start().await, server.operator());
    let id = hook(&client, &receiver, json!({})).await;
    patch(&operator, "acme", json!({"paused": true})).await;
    let event = client.publish("t", json!(1)).await;
    let shown = patch(&operator, "acme", json!({"suspended": true, "paused": false})).await;
    assert!(shown["suspended_since"].is_string() && shown["paused_since"].is_null(), "{shown}");
    for _ in 0..2 {
        let body = json!({"type": "t", "data": 1}).to_string();
        for (method, path) in [
            ("POST", "/api/v3/events"),
            ("GET", "/api/v3/hooks"),
            ("GET", "/api/v3/tenants"),
            ("GET", "/api/v1/projects/7/web_hook"),
        ] {
            let refused =
                client.send(method, path, if method == "POST" { &*body } else { "" }.to_owned(), &[]);
            let refused = refused.await;
            assert_eq!(refused.status, 403, "{path} {refused:?}");
        }
        let refused = client.post("/events", json!({"type": "t", "data": 1})).await.expect(403);
        assert_eq!(refused["type"], "/problems/tenant-suspended");
        // The operator sees everything, and nothing is accepted or sent for the tenant.
        let acting = operator.clone().with_header("Hookwright-Tenant", "acme");
        let held = acting.get(&format!("/hooks/{id}")).await.expect(200);
        assert_eq!((&held["state"]["name"], &held["held"]), (&json!("paused"), &json!(1)), "{held}");
        let refused = acting.post("/events", json!({"type": "t", "data": 1})).await.expect(403);
        assert_eq!(refused["type"], "/problems/tenant-suspended");
        acting.post(&format!("/hooks/{id}/test"), json!({})).await.expect(403);
        other.clone().at(server.base()).publish("t", json!(1)).await;
        assert!(receiver.so_far().is_empty());
        server.terminate().await;
        server = server.restart().await;
        client = client.at(server.base());
        operator = server.operator();
    }
    let shown = patch(&operator, "acme", json!({"suspended": false})).await;
    assert!(shown["suspended_since"].is_null());
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    client.publish("t", json!(2)).await;
}

#[tokio::test]
async fn limits_of_a_tenant_replace_those_of_the_settings_and_have_their_usage_beside_them() {
    let settings =
        [("HOOKWRIGHT_MAX_PROJECTS_PER_TENANT", "1"), ("HOOKWRIGHT_MAX_STORAGE_BYTES_PER_TENANT", "off")];
    let server = Server::start_with(BINARY, &settings).await;
    let (client, other, operator) =
        (server.tenant("acme").await, server.tenant("other").await, server.operator());
    let receiver = Receiver::start().await;
    for (limits, pointer) in [
        (json!({"hooks": -1}), "/limits/hooks"),
        (json!({"hooks": "many"}), "/limits/hooks"),
        (json!({"events_per_s": 0}), "/limits/events_per_s"),
        (json!({"max_in_flight": 65_537}), "/limits/max_in_flight"),
        (json!({"dreams": 1}), "/limits/dreams"),
    ] {
        let refused = try_patch(&operator, "acme", json!({"limits": limits})).await.expect(400);
        assert_eq!(refused["pointer"], pointer, "{refused}");
    }
    for (name, value) in [("retain_events_s", json!(0)), ("retain_bodies_s", json!(3_153_600_001_u64))] {
        let refused = try_patch(&operator, "acme", json!({name: value})).await.expect(400);
        assert_eq!(refused["pointer"], format!("/{name}"));
    }
    try_patch(&client, "acme", json!({"limits": {"hooks": 5}})).await.expect(403);
    let limits =
        json!({"hooks": 1, "keys": 2, "projects": 2, "plugin_bytes": 100, "settings_bytes": 100_000});
    let shown = patch(&operator, "acme", json!({"limits": limits, "retain_events_s": 86_400})).await;
    assert_eq!((&shown["limits"]["hooks"], &shown["retain_events_s"]), (&json!(1), &json!(86_400)));
    assert_eq!(shown["own_limits"], json!(["hooks", "keys", "projects", "plugin_bytes", "settings_bytes"]));
    assert_eq!(
        (&shown["limits"]["storage_bytes"], &shown["limits"]["max_in_flight"]),
        (&Value::Null, &json!(256))
    );

    hook(&client, &receiver, json!({})).await;
    let refused = client.post("/hooks", json!({"url": receiver.url("/"), "types": ["a"]})).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("has 1 hooks, and may have 1"), "{refused}");
    client.post("/keys", json!({"name": "second"})).await.expect(201);
    client.post("/keys", json!({"name": "third"})).await.expect(409);
    for (number, status) in [(1, 201), (2, 201), (3, 409)] {
        client.post("/projects", json!({"id": number})).await.expect(status);
    }
    let wasm = guest::filter("", "(i32.const 0)");
    let upload =
        client.send("PUT", "/api/v3/plugins/mine", wasm, &[("content-type", "application/wasm")]).await;
    assert_eq!(upload.expect(409)["type"], "/problems/limit-reached");
    // Another tenant has the limits of the settings.
    other.post("/projects", json!({"id": 1})).await.expect(201);
    other.post("/projects", json!({"id": 2})).await.expect(409);
    for (name, used) in
        [("hooks", 1), ("keys", 2), ("projects", 2), ("plugin_bytes", 0), ("max_in_flight", 0)]
    {
        assert_eq!(usage(&client, "acme", name).await, used, "{name}");
    }
    assert!(usage(&client, "acme", "settings_bytes").await.as_u64().unwrap() > 1_000);
    client.get("/tenants/other").await.expect(404);

    let shown = patch(&operator, "acme", json!({"limits": {"hooks": null}, "retain_events_s": null})).await;
    assert_eq!((&shown["limits"]["hooks"], &shown["retain_events_s"]), (&json!(10_000), &Value::Null));
    let shown = patch(&operator, "acme", json!({"limits": null})).await;
    assert_eq!((&shown["limits"]["projects"], &shown["own_limits"]), (&json!(1), &json!([])));
}

#[tokio::test]
async fn a_tenant_that_publishes_too_fast_or_has_too_much_stored_is_told_when_to_go_on() {
    let (mut server, mut client) = engine().await;
    let other = server.tenant("other").await;
    let operator = server.operator();
    let event = || json!({"type": "t", "data": "x".repeat(1_000)});
    let unlimited = client.post("/events", event()).await;
    assert!(unlimited.headers.get("ratelimit").is_none());
    patch(&operator, "acme", json!({"limits": {"events_per_s": 5}})).await;
    let first = client.post("/events", event()).await;
    first.expect(202);
    assert_eq!(first.headers["ratelimit-policy"], "\"events\";q=5;w=1");
    assert_eq!(first.headers["ratelimit"], "\"events\";r=4;t=1");
    // A batch counts by its events, and may be larger than the rate: the rest is missing afterwards.
    let line = event().to_string();
    let batch = format!("{line}\n").repeat(105);
    let ndjson = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", batch, &ndjson).await.expect(202);
    let refused = client.post("/events", event()).await;
    assert_eq!(refused.expect(429)["type"], "/problems/too-many-requests");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((10..=21).contains(&seconds), "{seconds}");
    assert_eq!(refused.headers["ratelimit"], format!("\"events\";r=0;t={seconds}"));
    other.post("/events", event()).await.expect(202);
    patch(&operator, "acme", json!({"limits": {"events_per_s": null}})).await;
    client.post("/events", event()).await.expect(202);

    // 108 events of about 1,200 bytes. What is counted survives a restart.
    let used = usage(&client, "acme", "storage_bytes").await.as_u64().unwrap();
    assert!((100_000..160_000).contains(&used), "{used}");
    server.terminate().await;
    server = server.restart().await;
    client = client.at(server.base());
    let operator = server.operator();
    patch(&operator, "acme", json!({"limits": {"storage_bytes": used / 2}})).await;
    let began = Instant::now();
    let refused = loop {
        let response = client.post("/events", event()).await;
        if response.status != 202 {
            break response;
        }
        assert!(began.elapsed() < TIMEOUT);
    };
    assert_eq!(refused.expect(429)["type"], "/problems/storage-full");
    assert_eq!(refused.headers["retry-after"], "60");
    other.at(server.base()).post("/events", event()).await.expect(202);
    patch(&operator, "acme", json!({"limits": {"storage_bytes": 1_u64 << 40}})).await;
    client.post("/events", event()).await.expect(202);
}

#[tokio::test]
async fn deliveries_with_plugins_wait_for_fuel_and_others_do_not() {
    let (server, client) = engine().await;
    let (receiver, plain, operator) = (Receiver::start().await, Receiver::start().await, server.operator());
    let settings = json!({"script": "let n = 0; for (let i = 0; i < 30000; i++) n += i; return {body: {n}}"});
    let with =
        hook(&client, &receiver, json!({"pipeline": [{"plugin": "javascript", "settings": settings}]})).await;
    hook(&client, &plain, json!({})).await;
    patch(&operator, "acme", json!({"limits": {"fuel_per_min": 1_000_000}})).await;
    // The first call passes the limit; in the same minute, nothing else is sent through the plugin.
    let began = Instant::now();
    let mut events = Vec::new();
    loop {
        events.push(client.publish("t", json!(events.len())).await);
        let shown = client.get(&format!("/hooks/{with}")).await.expect(200);
        let waiting = client.get(&format!("/deliveries?hook={with}&state=waiting,pending")).await.expect(200);
        if waiting["data"].as_array().unwrap().len() >= 2 && events.len() > 5 {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "{shown}");
    }
    for _ in &events {
        plain.next().await;
    }
    assert!(usage(&client, "acme", "fuel_per_min").await.as_u64().is_some());
    let first = receiver.next().await;
    assert!(receiver.so_far().is_empty(), "{first:?}");
    // Without the limit, what waits for the next minute can be sent at once.
    patch(&operator, "acme", json!({"limits": {"fuel_per_min": null}})).await;
    let waiting =
        client.get(&format!("/deliveries?hook={with}&state=waiting,pending&limit=250")).await.expect(200);
    let waiting = waiting["data"].as_array().unwrap().clone();
    for delivery in &waiting {
        assert_eq!(delivery["attempt_count"], 0, "waiting uses up no attempt");
        let path = format!("/deliveries/{}/retry", delivery["id"].as_str().unwrap());
        // What was stored since then is sent already.
        let retried = client.post(&path, json!({})).await.status;
        assert!(matches!(retried, 202 | 409), "{retried}");
    }
    for event in &events {
        let all = client.finished(event).await;
        assert!(all.len() == 2 && all.iter().all(|one| one["state"] == "succeeded"), "{all:?}");
    }
}

/// Waits until a tenant is deleted, and returns how it ended.
async fn deleted(operator: &Client, tenant: &str) -> Value {
    let began = Instant::now();
    loop {
        let shown = operator.get(&format!("/tenants/{tenant}/deletion")).await.expect(200);
        if shown["state"] == "completed" {
            return shown;
        }
        assert!(began.elapsed() < TIMEOUT, "{shown}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_tenant_is_gone_at_once_and_leaves_nothing_also_if_the_process_is_killed() {
    let (mut server, client) = engine().await;
    let mut other = server.tenant("other").await;
    let (receiver, operator) = (Receiver::start().await, server.operator());
    let marker = "marker-of-the-deleted-tenant";
    let id = client.get("/tenants").await.expect(200)["data"][0]["id"].as_str().unwrap().to_owned();
    let kept = hook(&other, &receiver, json!({})).await;
    hook(&client, &receiver, json!({"types": ["sent"]})).await;
    let held = hook(&client, &receiver, json!({"types": ["held"], "paused": true})).await;
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    client.post("/projects", json!({"id": 7})).await.expect(201);
    let line = json!({"type": "held", "data": marker}).to_string();
    let ndjson = [("content-type", "application/x-ndjson")];
    client.send("POST", "/api/v3/events/batch", format!("{line}\n").repeat(2_500), &ndjson).await.expect(202);
    let event = client.publish("sent", json!(marker)).await;
    client.finished(&event).await;
    let of_other = other.publish("t", json!("kept")).await;
    other.finished(&of_other).await;
    hook_when(&client, &held, |hook| hook["held"] == 2_500).await;

    for (path, status) in [
        ("/api/v3/tenants/acme".to_owned(), 400),
        ("/api/v3/tenants/acme?confirm=other".to_owned(), 400),
        ("/api/v3/tenants/none?confirm=none".to_owned(), 404),
    ] {
        operator.send("DELETE", &path, "", &[]).await.expect(status);
    }
    client.send("DELETE", "/api/v3/tenants/acme?confirm=acme", "", &[]).await.expect(403);
    operator.get(&format!("/tenants/{id}/deletion")).await.expect(404);
    let begun = operator.send("DELETE", "/api/v3/tenants/acme?confirm=acme", "", &[]).await;
    assert_eq!(begun.headers["location"], format!("/api/v3/tenants/{id}/deletion"));
    let begun = begun.expect(202);
    assert_eq!((&begun["name"], &begun["state"]), (&json!("acme"), &json!("running")));
    client.get("/hooks").await.expect(401);
    operator.get("/tenants/acme").await.expect(404);
    operator.get(&format!("/tenants/{id}")).await.expect(404);
    operator.clone().with_header("Hookwright-Tenant", &id).get("/hooks").await.expect(400);
    // The name is free for another one, which is not touched.
    let again = server.tenant("acme").await;
    again.publish("sent", json!("of the new one")).await;

    // Killed in the middle, as far as that can be had.
    let began = Instant::now();
    loop {
        let shown = operator.get(&format!("/tenants/{id}/deletion")).await.expect(200);
        if shown["removed"]["deliveries"].as_u64().unwrap() > 0 {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "{shown}");
        tokio::task::yield_now().await;
    }
    server.kill().await;
    server = server.restart().await;
    let operator = server.operator();
    let ended = deleted(&operator, &id).await;
    assert_eq!(ended["removed"], json!({"events": 2_501, "deliveries": 2_501, "attempts": 1}), "{ended}");
    assert!(ended["finished_at"].is_string());
    operator.send("DELETE", &format!("/api/v3/tenants/{id}?confirm=acme"), "", &[]).await.expect(404);
    client.at(server.base()).get("/hooks").await.expect(401);
    other = other.at(server.base());
    assert_eq!(other.get(&format!("/hooks/{kept}")).await.expect(200)["id"], kept);
    assert_eq!(other.finished(&of_other).await[0]["attempts"].as_array().unwrap().len(), 1);
    let again = again.at(server.base());
    assert_eq!(again.get("/events").await.expect(200)["data"].as_array().unwrap().len(), 1);
    let names: Vec<_> = operator.get("/tenants").await.expect(200)["data"].as_array().unwrap().clone();
    assert_eq!(names.iter().map(|tenant| &tenant["name"]).collect::<Vec<_>>(), ["other", "acme"]);
}
