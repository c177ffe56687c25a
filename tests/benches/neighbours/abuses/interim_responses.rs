//! Receivers with endless interim responses.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::abuse::{Abuse, Guard};
use crate::site::{Site, event};

/// Receivers that send `100 Continue` repeatedly.
pub struct InterimResponses;

const DELIVERIES: usize = 32;

#[async_trait]
impl Abuse for InterimResponses {
    fn name(&self) -> &'static str {
        "interim-responses"
    }

    fn what(&self) -> &'static str {
        "32 receivers that send `100 Continue` without end"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let mut guard = Guard::new(site);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        guard.spawn_now(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.spawn(async move {
                    let many = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(2_000);
                    while stream.write_all(&many).await.is_ok() {
                        tokio::task::yield_now().await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        let tenant = site.tenant("interim-responses").await;
        // Retry soon, so that the abuse continues after the engine has ended an attempt.
        let waits = vec![1; 20];
        tenant
            .hook(json!({"url": url, "types": ["*"], "timeout_ms": 60_000, "retry": {"schedule_s": waits}}))
            .await;
        tenant.batch((0..DELIVERIES).map(|_| event("t", 100))).await;
        Ok(guard)
    }
}
