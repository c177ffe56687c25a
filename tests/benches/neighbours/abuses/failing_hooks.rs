//! Thousands of failing hooks.

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Receiver, Reply};
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::{PAUSE, request};
use crate::site::Site;

/// One tenant with many hooks whose deliveries always fail and are retried.
pub struct FailingHooks;

const HOOKS: usize = 2_000;
/// Clients that create the hooks.
const CLIENTS: usize = 8;

#[async_trait]
impl Abuse for FailingHooks {
    fn name(&self) -> &'static str {
        "failing-hooks"
    }

    fn what(&self) -> &'static str {
        "an event a second for 2,000 hooks that respond with 500 and are retried each second"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("failing-hooks").await;
        let receiver = Receiver::responding(|_| Reply::status(500)).await;
        let hook =
            json!({"url": receiver.url("/"), "types": ["fails"], "retry": {"schedule_s": vec![1; 50]}});
        let peer = site.peer();
        let make = request("POST", "/hooks", &tenant.key, "application/json", hook.to_string())?;
        let made = (0..CLIENTS).map(|_| peer.times(HOOKS / CLIENTS, make.clone()));
        futures_util::future::join_all(made).await;
        let mut guard = Guard::new(site);
        guard.hold(receiver);
        guard.spawn(async move {
            loop {
                tenant.batch([json!({"type": "fails", "data": 1})]).await;
                tokio::time::sleep(PAUSE * 20).await;
            }
        });
        Ok(guard)
    }
}
