//! What publishers are told of a tenant's rate.

use std::time::Instant;

use hookwright_tests::TIMEOUT;
use serde_json::json;

use super::{DOMAIN, call, webitel};

#[tokio::test]
async fn a_publisher_is_told_what_is_left_of_a_rate_and_when_to_try_again() {
    let (server, _, client) = webitel().await;
    let event = json!({"Event-Name": "E", "variable_domain_name": DOMAIN});
    let unlimited = call(&client, "POST", "/events", event.clone()).await;
    unlimited.expect(200);
    assert!(unlimited.headers.get("ratelimit").is_none());
    let limits = json!({"limits": {"events_per_s": 1}});
    server.operator().patch(&format!("/tenants/{DOMAIN}"), limits).await.expect(200);
    let began = Instant::now();
    loop {
        let response = call(&client, "POST", "/events", event.clone()).await;
        assert_eq!(response.headers["ratelimit-policy"], "\"events\";q=1;w=1");
        if response.status == 429 {
            assert_eq!(response.headers["ratelimit"], "\"events\";r=0;t=1");
            assert_eq!(response.headers["retry-after"], "1");
            assert_eq!(response.json()["code"], "too-many-requests");
            break;
        }
        response.expect(200);
        assert!(response.headers.contains_key("ratelimit"));
        assert!(began.elapsed() < TIMEOUT);
    }
    let limits = json!({"limits": {"events_per_s": null, "storage_bytes": 1}});
    server.operator().patch(&format!("/tenants/{DOMAIN}"), limits).await.expect(200);
    let full = loop {
        let response = call(&client, "POST", "/events", event.clone()).await;
        if response.status == 429 {
            break response;
        }
        response.expect(200);
        assert!(began.elapsed() < TIMEOUT);
    };
    assert_eq!(
        (&full.json()["code"], &full.headers["retry-after"]),
        (&json!("storage-full"), &"60".parse().unwrap())
    );
}
