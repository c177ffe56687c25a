//! The hooks of the demo's tenants.

use serde_json::{Value, json};

/// The script with the bug: guests order without a customer.
const CHAT_SCRIPT: &str = include_str!("chat.js");
/// Retries that one can watch.
const SOON: [u32; 4] = [5, 20, 60, 300];

/// A hook, and how its receiver behaves.
pub(super) struct SampleHook {
    /// The body of the request that creates it.
    pub(super) request: Value,
    /// The path at the receiver.
    pub(super) path: &'static str,
}

fn hook(base: &str, path: &'static str, description: &str, types: &[&str], more: Value) -> SampleHook {
    let mut request = json!({
        "url": format!("{base}{path}"), "types": types, "description": description, "retain_bodies_s": 86_400,
        "retry": { "schedule_s": SOON },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        request[name] = value.clone();
    }
    SampleHook { request, path }
}

/// Those of the shop.
pub(super) fn shop(base: &str) -> Vec<SampleHook> {
    let large = json!([
        { "plugin": "event-filter", "settings": { "all": [{ "pointer": "/total", "greater_or_equal": 100 }] } },
        { "plugin": "field-map", "settings": {
            "pick": ["/number", "/total", "/currency", "/id"],
            "copy": { "/customer/email": "/contact" },
            "set": { "/via": "hookwright" },
        } },
    ]);
    vec![
        hook(base, "/shop/warehouse", "Warehouse", &["order.*"], json!({})),
        hook(
            base,
            "/shop/chat",
            "Chat: new orders",
            &["order.paid"],
            json!({
                "pipeline": [{ "plugin": "javascript", "settings": { "script": CHAT_SCRIPT } }],
            }),
        ),
        hook(base, "/shop/large", "Accounting: large orders", &["order.paid"], json!({ "pipeline": large })),
        hook(base, "/shop/flaky", "Analytics, which fails now and then", &["*"], json!({})),
        hook(
            base,
            "/shop/slow",
            "Loyalty points, which hang",
            &["order.paid"],
            json!({
                "timeout_ms": 1_500, "retry": { "schedule_s": [10] },
            }),
        ),
        hook(
            base,
            "/shop/other-secret",
            "Billing, with a wrong secret",
            &["order.refunded"],
            json!({
                "retry": { "schedule_s": [3, 6] },
            }),
        ),
        hook(base, "/shop/gone", "Old newsletter", &["customer.*"], json!({})),
    ]
}

/// Those of the other tenant.
pub(super) fn calls(base: &str) -> Vec<SampleHook> {
    let cloud_events = json!([
        { "plugin": "cloudevents", "settings": { "mode": "structured", "source": "/calls" } },
    ]);
    vec![
        hook(base, "/calls/crm", "CRM", &["call.*"], json!({ "pipeline": cloud_events })),
        hook(base, "/calls/down", "Wallboard, which is down", &["call.ended"], json!({})),
    ]
}
