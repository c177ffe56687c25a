//! What operators see of the whole engine: its figures, and the hooks of all tenants that are not in order.

use hookwright_tests::{Client, Receiver, Reply, TIMEOUT};
use serde_json::{Value, json};

use crate::start::{hook_when, patch_hook};
use crate::{BINARY, engine, hook};

/// The figures when `are_there` accepts them.
async fn figures_when(operator: &Client, are_there: impl Fn(&Value) -> bool) -> Value {
    let began = std::time::Instant::now();
    loop {
        let figures = operator.get("/engine/figures").await.expect(200);
        if are_there(&figures) {
            return figures;
        }
        assert!(began.elapsed() < TIMEOUT, "{figures}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_operator_sees_how_a_node_is_doing() {
    let (server, client) = engine().await;
    client.get("/engine/figures").await.expect(403);
    let operator = server.operator();
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let event = client.publish("order.paid", json!({})).await;
    client.finished(&event).await;
    let figures = figures_when(&operator, |figures| figures["hooks"]["ok"] == 1).await;
    assert!(figures["sampled_at"].is_string() && figures["node"].is_u64(), "{figures}");
    for times in ["commits", "arrivals"] {
        let times = &figures[times];
        assert!(times["count"].as_u64() >= Some(1) && times["over_s"].is_u64(), "{figures}");
        assert!(times["p50_ms"].as_f64() > Some(0.0), "{figures}");
        assert!(times["p99_ms"].as_f64() >= times["p50_ms"].as_f64(), "{figures}");
    }
    let storage = &figures["storage"];
    for size in ["database_bytes", "disk_free_bytes", "disk_size_bytes"] {
        assert!(storage[size].as_u64() > Some(0), "{size}: {figures}");
    }
    assert_eq!(storage["wal_bytes"].is_u64(), !BINARY.is_on_postgres(), "{figures}");
    assert_eq!((&figures["oldest_due_s"], &figures["deliveries"]["pending"]), (&json!(0.0), &json!(0)));
    assert!(figures["in_flight_limit"].as_u64() > Some(0), "{figures}");
}

/// The hooks of a list, over all its pages.
async fn all_pages(operator: &Client, query: &str) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = operator.get(&format!("/engine/hooks?limit=1{query}{cursor}")).await.expect(200);
        found.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

#[tokio::test]
async fn an_operator_sees_the_hooks_of_all_tenants_that_are_not_in_order() {
    let (server, acme) = engine().await;
    let globex = server.tenant("globex").await;
    acme.get("/engine/hooks").await.expect(403);
    let operator = server.operator();
    assert_eq!(all_pages(&operator, "").await, [Value::Null; 0]);
    let well = Receiver::start().await;
    let ill = Receiver::responding(|_| Reply::status(500)).await;
    hook(&acme, &well, json!({})).await;
    let failing = hook(&acme, &ill, json!({"description": "Billing", "retry": {"schedule_s": []}})).await;
    for _ in 0..3 {
        let event = acme.publish("order.paid", json!({})).await;
        acme.finished(&event).await;
    }
    hook_when(&acme, &failing, |hook| hook["state"]["name"] == "failing").await;
    let paused = hook(&globex, &well, json!({})).await;
    patch_hook(&globex, &paused, json!({"paused": true})).await;
    let off = hook(&globex, &well, json!({})).await;
    patch_hook(&globex, &off, json!({"enabled": false})).await;

    let listed = all_pages(&operator, "").await;
    let ids: Vec<_> = listed.iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [&off, &paused, &failing], "the latest change first");
    let states: Vec<_> = listed.iter().map(|hook| hook["state"]["name"].as_str().unwrap()).collect();
    assert_eq!(states, ["disabled", "paused", "failing"]);
    let last = &listed[2];
    assert_eq!((&last["tenant_name"], &last["description"]), (&json!("acme"), &json!("Billing")));
    assert!(last["url"].as_str().unwrap().starts_with("http://127.0.0.1"), "{last}");
    assert_eq!(last["state"], acme.get(&format!("/hooks/{failing}")).await.expect(200)["state"]);
    let some = all_pages(&operator, "&state=failing,paused").await;
    assert_eq!(some, [listed[1].clone(), listed[2].clone()]);
    for wrong in ["state=ok", "state=", "cursor=x", "tenant=acme"] {
        operator.get(&format!("/engine/hooks?{wrong}")).await.expect(400);
    }
}
