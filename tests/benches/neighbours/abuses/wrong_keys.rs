//! Requests with unknown keys.

use anyhow::Result;
use async_trait::async_trait;

use crate::abuse::{Abuse, Guard};
use crate::peer::request;
use crate::site::Site;

/// Connections that try one key after another.
pub struct WrongKeys;

const CONNECTIONS: usize = 16;

#[async_trait]
impl Abuse for WrongKeys {
    fn name(&self) -> &'static str {
        "wrong-keys"
    }

    fn what(&self) -> &'static str {
        "16 connections with unknown keys, as fast as the engine responds"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let peer = site.peer();
        let wrong = request("GET", "/hooks", "hwk_nobodyhasthiskey", "text/plain", "")?;
        let mut guard = Guard::new(site);
        guard.spawn_each(CONNECTIONS, |_| peer.repeat(wrong.clone()));
        Ok(guard)
    }
}
