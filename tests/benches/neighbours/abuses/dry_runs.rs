//! Abandoned dry runs.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::{PAUSE, whole};
use crate::site::{Site, event};

/// Dry runs of an endless script with large events, whose clients disconnect at once.
pub struct DryRuns;

/// Requests at the start. After that, each client sends one per pause.
const BURST: usize = 400;
const CLIENTS: usize = 4;
const DATA: usize = 900_000;

#[async_trait]
impl Abuse for DryRuns {
    fn name(&self) -> &'static str {
        "dry-runs"
    }

    fn what(&self) -> &'static str {
        "400 dry runs of 0.9 MB and `for(;;);`, then 80 per second, all abandoned"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("dry-runs").await;
        let body = json!({"event": event("t", DATA), "settings": {"script": "for(;;);"}}).to_string();
        let request =
            whole("POST", "/plugins/javascript/run", &tenant.key, "application/json", body.as_bytes());
        let (peer, request) = (site.peer(), std::sync::Arc::new(request));
        let mut guard = Guard::new(site);
        guard.spawn_each(CLIENTS, |_| {
            let request = std::sync::Arc::clone(&request);
            async move {
                for _ in 0..BURST / CLIENTS {
                    peer.send_and_hang_up(&request).await;
                }
                loop {
                    peer.send_and_hang_up(&request).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Ok(guard)
    }
}
