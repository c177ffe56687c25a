//! The export of a tenant.

use hookwright_tests::{Client, Receiver, guest};
use serde_json::{Value, json};

use crate::{engine, hook};

/// The lines of an export.
async fn export(client: &Client, query: &str) -> Vec<Value> {
    let response = client.get(&format!("/tenants/acme/export{query}")).await;
    assert_eq!(response.status, 200, "{response:?}");
    assert_eq!(response.headers["content-type"], "application/x-ndjson");
    let text = String::from_utf8(response.bytes.to_vec()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'l>(lines: &'l [Value], kind: &str) -> Vec<&'l Value> {
    lines.iter().filter_map(|line| line.get(kind)).collect()
}

#[tokio::test]
async fn an_export_has_everything_of_its_tenant_and_can_be_continued() {
    let (server, client) = engine().await;
    let other = server.tenant("other").await;
    let (receiver, operator) = (Receiver::start().await, server.operator());
    let id = hook(&client, &receiver, json!({})).await;
    client.post("/projects", json!({"id": 7})).await.expect(201);
    client.upload("mine", guest::filter("", "(i32.const 0)")).await;
    hook(&other, &receiver, json!({})).await;
    for number in 0..60 {
        let event = client.publish("t", json!({"number": number})).await;
        client.finished(&event).await;
        other.publish("t", json!("of another")).await;
    }
    let lines = export(&operator, "").await;
    let counts: Vec<_> = ["tenant", "project", "key", "plugin", "hook", "event", "delivery", "end"]
        .map(|kind| of_kind(&lines, kind).len())
        .to_vec();
    assert_eq!(counts, [1, 1, 1, 1, 1, 60, 60, 1]);
    assert_eq!(lines.last().unwrap()["end"], json!({"events": 60, "deliveries": 60}));
    assert_eq!(of_kind(&lines, "hook")[0]["id"], id);
    assert!(of_kind(&lines, "hook")[0].get("secrets").is_none());
    let numbers: Vec<_> =
        of_kind(&lines, "event").iter().map(|event| event["data"]["number"].clone()).collect();
    assert_eq!(numbers, (0..60).rev().map(Value::from).collect::<Vec<_>>());
    for delivery in of_kind(&lines, "delivery") {
        assert_eq!(delivery["attempts"][0]["response"]["status"], 200);
    }
    // As after a connection that was cut off.
    for (kind, last) in [("event", 11), ("delivery", 30)] {
        let member = if kind == "event" { "engine_id" } else { "id" };
        let cursor = of_kind(&lines, kind)[last][member].as_str().unwrap().to_owned();
        let rest = export(&operator, &format!("?cursor={cursor}")).await;
        assert_eq!(of_kind(&rest, kind), of_kind(&lines, kind)[last + 1..], "{kind}");
        assert_eq!(of_kind(&rest, "tenant").len(), 0);
    }
    let oldest = of_kind(&lines, "event")[59]["accepted_at"].as_str().unwrap();
    let none = export(&operator, &format!("?until={oldest}")).await;
    assert_eq!((of_kind(&none, "event").len(), of_kind(&none, "hook").len()), (0, 1));
    let with = export(&operator, "?secrets=true").await;
    assert!(of_kind(&with, "hook")[0]["secrets"]["secret"].as_str().unwrap().starts_with("whsec_"));

    // A key of the tenant gets the same, without secrets, if it may read everything.
    assert_eq!(export(&client, "").await.len(), lines.len());
    client.get("/tenants/acme/export?secrets=true").await.expect(403);
    let some = client.post("/keys", json!({"name": "some", "scopes": ["events:read"]})).await.expect(201);
    let some = Client::new(server.base(), some["key"].as_str().unwrap());
    some.get("/tenants/acme/export").await.expect(403);
    other.get("/tenants/acme/export").await.expect(404);
    for query in ["?cursor=nonsense", "?secrets=perhaps", "?what=1", "?since=yesterday"] {
        operator.get(&format!("/tenants/acme/export{query}")).await.expect(400);
    }
}
