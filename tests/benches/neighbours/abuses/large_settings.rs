//! Large configuration.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::request;
use crate::site::Site;

/// Hooks with the maximum number of steps and the maximum size of settings.
pub struct LargeSettings;

const CLIENTS: usize = 4;
const STEPS: usize = 16;
const SETTINGS: usize = 255_000;

#[async_trait]
impl Abuse for LargeSettings {
    fn name(&self) -> &'static str {
        "large-settings"
    }

    fn what(&self) -> &'static str {
        "hooks with 16 steps of 255 KB settings, created as fast as the engine responds"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("large-settings").await;
        let script = format!("return request; // {}", "x".repeat(SETTINGS));
        let steps = vec![json!({"plugin": "javascript", "settings": {"script": script}}); STEPS];
        let hook = json!({"url": "http://127.0.0.1:9/", "types": ["never"], "pipeline": steps});
        let request = request("POST", "/hooks", &tenant.key, "application/json", hook.to_string())?;
        let peer = site.peer();
        let mut guard = Guard::new(site);
        guard.spawn_each(CLIENTS, |_| peer.repeat(request.clone()));
        Ok(guard)
    }
}
