//! Compilation of plugins after an upgrade.

use std::sync::{Mutex, MutexGuard};

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Client, Receiver};
use serde_json::json;

use super::slow_readers::with_custom_section;
use crate::abuse::{Abuse, Guard};
use crate::site::{Site, Tenant};

/// One tenant with many plugins without compiled code, and a delivery for each.
#[derive(Default)]
pub struct ColdPlugins {
    // Each row has its own engine, and therefore its own keys.
    prepared: Mutex<Option<Prepared>>,
}

/// What exists before the upgrade.
struct Prepared {
    key: String,
    receiver: Receiver,
}

const PLUGINS: usize = 100;

#[async_trait]
impl Abuse for ColdPlugins {
    fn name(&self) -> &'static str {
        "cold-plugins"
    }

    fn what(&self) -> &'static str {
        "deliveries for 100 plugins of one tenant, right after an upgrade"
    }

    async fn prepare(&self, site: &Site) -> Result<bool> {
        let tenant = site.tenant("cold-plugins").await;
        let receiver = Receiver::start().await;
        let small = tenant.client.get("/plugins/field-map/wasm").await;
        for number in 0..PLUGINS {
            // Different bytes make different plugins.
            let wasm = with_custom_section(&small.bytes, small.bytes.len() + 100 + number);
            let headers = [("content-type", "application/wasm")];
            let path = format!("/api/v3/plugins/cold-{number}");
            tenant.client.try_send("PUT", &path, wasm, &headers).await?;
            let step = json!({"plugin": format!("cold-{number}"), "settings": {}});
            let types = [format!("cold.{number}")];
            tenant.hook(json!({"url": receiver.url("/"), "types": types, "pipeline": [step]})).await;
        }
        *self.lock() = Some(Prepared { key: tenant.key, receiver });
        Ok(true)
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let mut guard = Guard::new(site);
        if let Some(Prepared { key, receiver }) = self.lock().take() {
            guard.hold(receiver);
            let tenant = Tenant { client: Client::new(site.server.base(), &key), key };
            guard.spawn(async move {
                let events = (0..PLUGINS).map(|number| json!({"type": format!("cold.{number}"), "data": {}}));
                tenant.batch(events).await;
            });
        }
        Ok(guard)
    }
}

impl ColdPlugins {
    fn lock(&self) -> MutexGuard<'_, Option<Prepared>> {
        self.prepared.lock().expect("no task panics with the lock")
    }
}
