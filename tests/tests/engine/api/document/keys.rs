//! Valid requests about keys.

use hookwright_tests::Client;
use serde_json::{Value, json};

use super::Sample;

/// When keys expire.
const LATE: &str = "2100-01-01T00:00:00Z";

/// A sample for each operation with a JSON body.
pub(super) async fn samples(client: &Client, operator: &Client) -> Vec<Sample> {
    let id_of = |made: Value| made["id"].as_str().unwrap().to_owned();
    let key = id_of(client.post("/keys", json!({"name": "third"})).await.expect(201));
    let operator_key = id_of(operator.post("/operator-keys", json!({"name": "first"})).await.expect(201));
    let sample = |method, path: &'static str, body| {
        let by_operator = path.starts_with("/api/v3/operator-keys");
        let id = if by_operator { &operator_key } else { &key };
        Sample { method, path, url: path.replace("{id}", id), body, by_operator }
    };
    let rotation = json!({"name": "fourth", "expires_at": LATE, "old_expires_in_s": 86_400});
    let scoped = json!({"name": "second", "scopes": ["events:write"], "expires_at": LATE});
    let of_operator = |name| json!({"name": name, "role": "read", "expires_at": LATE});
    let theme = json!({
        "name": "Shop", "accent": "#3457d5", "background": "#ffffff", "logo_url": "https://shop.example/l.svg",
    });
    let link = json!({"scopes": ["hooks:read"], "expires_in_s": 60, "session_s": 60, "theme": theme});
    vec![
        sample("post", "/api/v3/console-links", link),
        sample("post", "/api/v3/keys", scoped),
        sample("patch", "/api/v3/keys/{id}", json!({"name": "third", "expires_at": LATE})),
        sample("post", "/api/v3/keys/{id}/rotate", rotation),
        sample("post", "/api/v3/operator-keys", of_operator("second")),
        sample("patch", "/api/v3/operator-keys/{id}", of_operator("first")),
    ]
}
