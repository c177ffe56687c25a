//! Incomplete request heads.

use anyhow::Result;
use async_trait::async_trait;

use crate::abuse::{Abuse, Guard};
use crate::peer::PAUSE;
use crate::site::Site;

/// Connections that each send most of a large head, without a key.
pub struct UnfinishedHeads;

const CONNECTIONS: usize = 1_500;
const LENGTH: usize = 63 * 1024;

#[async_trait]
impl Abuse for UnfinishedHeads {
    fn name(&self) -> &'static str {
        "unfinished-heads"
    }

    fn what(&self) -> &'static str {
        "1,500 connections with 63 KB of a head"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let mut text = "GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\n".to_owned();
        while text.len() < LENGTH {
            text.push_str(&format!("x-{}: {}\r\n", text.len(), "a".repeat(4_000)));
        }
        text.truncate(LENGTH);
        let (peer, head) = (site.peer(), std::sync::Arc::new(text.into_bytes()));
        let mut guard = Guard::new(site);
        guard.spawn_each(CONNECTIONS, |_| {
            let head = std::sync::Arc::clone(&head);
            async move {
                loop {
                    peer.hold(&head).await;
                    tokio::time::sleep(PAUSE * 10).await;
                }
            }
        });
        Ok(guard)
    }
}
