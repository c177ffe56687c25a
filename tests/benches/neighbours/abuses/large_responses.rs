//! Receivers with large responses.

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Receiver, Reply};
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::site::{Site, event};

/// One tenant whose deliveries fail with large responses and are retried, so that many large attempts are stored.
pub struct LargeResponses;

const EVENTS: usize = 200;
const BODY: usize = 64 * 1024;
const HEADER: usize = 4_000;

#[async_trait]
impl Abuse for LargeResponses {
    fn name(&self) -> &'static str {
        "large-responses"
    }

    fn what(&self) -> &'static str {
        "200 deliveries that are retried each second, with responses of 64 KB and headers of 40 KB"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        const NAMES: [&str; 10] = ["x-a", "x-b", "x-c", "x-d", "x-e", "x-f", "x-g", "x-h", "x-i", "x-j"];
        let headers: Vec<_> = NAMES.iter().map(|name| (*name, "h".repeat(HEADER))).collect();
        let receiver =
            Receiver::responding(move |_| Reply::Status(500, headers.clone(), vec![b'\x01'; BODY])).await;
        let tenant = site.tenant("large-responses").await;
        let hook = json!({"url": receiver.url("/"), "types": ["*"], "retry": {"schedule_s": vec![1; 100]}});
        tenant.hook(hook).await;
        tenant.batch((0..EVENTS).map(|_| event("t", 1))).await;
        let mut guard = Guard::new(site);
        guard.hold(receiver);
        Ok(guard)
    }
}
