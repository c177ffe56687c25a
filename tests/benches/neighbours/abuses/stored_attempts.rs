//! The maximum number and size of attempts.

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Receiver, Reply};
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::PAUSE;
use crate::site::Site;

/// One tenant that publishes three events of one byte and retries their deliveries by hand as fast as possible. The row
/// shows the stored bytes.
pub struct StoredAttempts;

const EVENTS: usize = 3;
const BODY: usize = 64 * 1024;
const HEADER: usize = 4_000;

#[async_trait]
impl Abuse for StoredAttempts {
    fn name(&self) -> &'static str {
        "stored-attempts"
    }

    fn what(&self) -> &'static str {
        "3 events of one byte, retried by hand without end, with responses of 64 KB and headers of 40 KB"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        const NAMES: [&str; 10] = ["x-a", "x-b", "x-c", "x-d", "x-e", "x-f", "x-g", "x-h", "x-i", "x-j"];
        let headers: Vec<_> = NAMES.iter().map(|name| (*name, "h".repeat(HEADER))).collect();
        let receiver =
            Receiver::responding(move |_| Reply::Status(500, headers.clone(), vec![b'\x01'; BODY])).await;
        let tenant = site.tenant("stored-attempts").await;
        let hook = json!({"url": receiver.url("/"), "types": ["*"], "retry": {"schedule_s": []}});
        tenant.hook(hook).await;
        let mut guard = Guard::new(site);
        guard.hold(receiver);
        for _ in 0..EVENTS {
            let posted = tenant.client.post("/events", json!({"type": "t", "data": 1})).await.json();
            let path = format!("/events/{}/deliveries", posted["id"].as_str().unwrap_or_default());
            let listed = tenant.client.get(&path).await.json();
            let delivery = listed["data"][0]["id"].as_str().unwrap_or_default().to_owned();
            let client = tenant.client.clone();
            guard.spawn(async move {
                let path = format!("/api/v3/deliveries/{delivery}/retry");
                loop {
                    let retried = client.try_send("POST", &path, "{}", crate::site::JSON).await;
                    if retried.is_err() {
                        return;
                    }
                    // A retry is refused while an attempt is running, and after the maximum number of attempts.
                    tokio::time::sleep(PAUSE / 5).await;
                }
            });
        }
        Ok(guard)
    }
}
