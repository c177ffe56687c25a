//! Lists that scan many rows and find few.

use anyhow::Result;
use async_trait::async_trait;
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::request;
use crate::site::Site;

/// Lists of deliveries with a type that no delivery has.
pub struct FarLists;

const LISTS: usize = 200;
const BATCHES: usize = 6;
const EVENTS: usize = 500;
/// Deliveries per event. They are never attempted, because their hooks are disabled afterwards.
const HOOKS: usize = 30;

#[async_trait]
impl Abuse for FarLists {
    fn name(&self) -> &'static str {
        "far-lists"
    }

    fn what(&self) -> &'static str {
        "200 lists at a time that look at 90,000 deliveries and find none"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("far-lists").await;
        for _ in 0..HOOKS {
            let nowhere = json!({"url": "http://127.0.0.1:9/", "types": ["t"], "retry": {"schedule_s": []}});
            tenant.hook(nowhere).await;
        }
        for _ in 0..BATCHES {
            tenant.batch((0..EVENTS).map(|_| json!({"type": "t", "data": 1}))).await;
        }
        let list = request("GET", "/deliveries?type=none", &tenant.key, "text/plain", "")?;
        let peer = site.peer();
        let mut guard = Guard::new(site);
        guard.spawn_each(LISTS, |_| peer.repeat(list.clone()));
        Ok(guard)
    }
}
