//! Incomplete bodies.

use anyhow::Result;
use async_trait::async_trait;

use crate::abuse::{Abuse, Guard};
use crate::peer::{PAUSE, whole};
use crate::site::{Site, event};

/// Large batches that are sent without their last bytes.
pub struct HalfSentBatches;

const CONNECTIONS: usize = 40;
const LENGTH: usize = 15_000_000;

#[async_trait]
impl Abuse for HalfSentBatches {
    fn name(&self) -> &'static str {
        "half-sent-batches"
    }

    fn what(&self) -> &'static str {
        "40 batches of 15 MB without their last bytes"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("half-sent-batches").await;
        let line = format!("{}\n", event("t", 9_900));
        let body = line.repeat(LENGTH / line.len());
        let mut request =
            whole("POST", "/events/batch", &tenant.key, "application/x-ndjson", body.as_bytes());
        request.truncate(request.len() - 10);
        let (peer, request) = (site.peer(), std::sync::Arc::new(request));
        let mut guard = Guard::new(site);
        guard.spawn_each(CONNECTIONS, |_| {
            let request = std::sync::Arc::clone(&request);
            async move {
                loop {
                    peer.hold(&request).await;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        Ok(guard)
    }
}
