//! Endless changes of configuration.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::request;
use crate::site::Site;

/// One tenant that changes its hooks as fast as possible.
pub struct Configuration;

const CLIENTS: usize = 100;
const HOOKS: usize = 10;

#[async_trait]
impl Abuse for Configuration {
    fn name(&self) -> &'static str {
        "configuration"
    }

    fn what(&self) -> &'static str {
        "100 changes of hooks at a time"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("configuration").await;
        let mut guard = Guard::new(site);
        let peer = site.peer();
        for _ in 0..HOOKS {
            let Some(hook) = tenant.hook(json!({"url": "http://127.0.0.1:9/", "types": ["never"]})).await
            else {
                continue;
            };
            let patch = json!({"description": "changed"}).to_string();
            let path = format!("/hooks/{hook}");
            let change = request("PATCH", &path, &tenant.key, "application/merge-patch+json", patch)?;
            guard.spawn_each(CLIENTS / HOOKS, |_| peer.repeat(change.clone()));
        }
        Ok(guard)
    }
}
