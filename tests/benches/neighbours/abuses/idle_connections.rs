//! Idle connections.

use anyhow::Result;
use async_trait::async_trait;

use crate::abuse::{Abuse, Guard};
use crate::peer::PAUSE;
use crate::site::Site;

/// More connections than the engine has file descriptors.
pub struct IdleConnections;

/// Number of source addresses, and of connections from each.
const ADDRESSES: usize = 4;
const CONNECTIONS: usize = 1_100;

#[async_trait]
impl Abuse for IdleConnections {
    fn name(&self) -> &'static str {
        "idle-connections"
    }

    fn what(&self) -> &'static str {
        "4,400 connections from four addresses, made again when they are closed"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let mut guard = Guard::new(site);
        for _ in 0..ADDRESSES {
            let peer = site.peer();
            guard.spawn_each(CONNECTIONS, |_| async move {
                loop {
                    peer.hold(b"").await;
                    tokio::time::sleep(PAUSE * 10).await;
                }
            });
        }
        Ok(guard)
    }
}
