//! The check of settings with the tenant's events.

use hookwright_tests::guest;
use serde_json::{Value, json};

use crate::engine;

/// A filter that parses its data before its settings: it fails for `{}`, and refuses all settings for other data.
fn typed() -> Vec<u8> {
    let failure = |at: u32, code: u32, length: u32| {
        format!(
            "(i32.store8 (i32.const {at}) (i32.const 1)) (i32.store (i32.const {}) (i32.const {code})) \
             (i32.store (i32.const {}) (i32.const {length}))",
            at + 4,
            at + 8
        )
    };
    let (data, settings) = (failure(128, 64, 8), failure(192, 80, 12));
    guest::filter(
        r#"(data (i32.const 64) "bad-data") (data (i32.const 80) "bad-settings")"#,
        &format!(
            "{data} {settings}
             (select (i32.const 128) (i32.const 192) (i32.eq (local.get 8) (i32.const 2)))"
        ),
    )
}

#[tokio::test]
async fn settings_are_checked_with_the_newest_event_that_the_hook_matches() {
    let (_server, client) = engine().await;
    client.upload("typed", typed()).await;
    let hook = |types: Value| json!({"url": "https://example.com/", "types": types, "pipeline": [{"plugin": "typed", "settings": {"channel": ""}}]});
    let unknown = client.post("/hooks", hook(json!(["order.*"]))).await.expect(201);
    client.publish("other", json!({"total": 1})).await;
    client.post("/hooks", hook(json!(["order.*"]))).await.expect(201);

    client.publish("order.paid", json!({"total": 1})).await;
    let refused = client.post("/hooks", hook(json!(["order.*"]))).await.expect(400);
    assert_eq!(refused["pointer"], "/pipeline/0/settings", "{refused:#}");
    client.post("/hooks", hook(json!(["another.type"]))).await.expect(201);

    let path = format!("/api/v3/hooks/{}", unknown["id"].as_str().unwrap());
    let patch = json!({"pipeline": [{"plugin": "typed", "settings": {"channel": null}}]}).to_string();
    let merge = [("content-type", "application/merge-patch+json")];
    client.send("PATCH", &path, patch, &merge).await.expect(400);
}
