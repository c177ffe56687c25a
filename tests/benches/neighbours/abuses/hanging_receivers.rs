//! Receivers that never respond.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;
use tokio::net::TcpListener;

use crate::abuse::{Abuse, Guard};
use crate::site::{Site, event};

/// Many tenants, each with a hook whose receiver accepts connections and never responds.
pub struct HangingReceivers;

const TENANTS: usize = 200;
const EVENTS: usize = 100;
const TIMEOUT_MS: u64 = 60_000;

#[async_trait]
impl Abuse for HangingReceivers {
    fn name(&self) -> &'static str {
        "hanging-receivers"
    }

    fn what(&self) -> &'static str {
        "200 tenants whose receivers hang for 60 s"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let mut guard = Guard::new(site);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        guard.spawn_now(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        for number in 0..TENANTS {
            let tenant = site.tenant(&format!("hanging-{number}")).await;
            let hook = json!({"url": url, "types": ["*"], "timeout_ms": TIMEOUT_MS});
            if tenant.hook(hook).await.is_some() {
                tenant.batch((0..EVENTS).map(|_| event("t", 100))).await;
            }
        }
        Ok(guard)
    }
}
