//! Plugins that run until they are stopped.

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Receiver, guest};
use serde_json::{Value, json};

use crate::abuse::{Abuse, Guard};
use crate::site::{Site, Tenant, event};

/// Tenants whose scripts loop over large events.
pub struct ScriptLoops;

/// Tenants whose plugins call `memory.grow` in a loop.
pub struct MemoryLoops;

const TENANTS: usize = 10;
/// Events of each tenant: more than can be processed during the measurement.
const EVENTS: usize = 40;

#[async_trait]
impl Abuse for ScriptLoops {
    fn name(&self) -> &'static str {
        "script-loops"
    }

    fn what(&self) -> &'static str {
        "10 tenants with `for(;;);` over events of 0.3 MB"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let step = |_: &Tenant| json!({"plugin": "javascript", "settings": {"script": "for(;;);"}});
        loops(site, "script-loops", 300_000, None, step).await
    }
}

#[async_trait]
impl Abuse for MemoryLoops {
    fn name(&self) -> &'static str {
        "memory-loops"
    }

    fn what(&self) -> &'static str {
        "10 tenants with a loop around `memory.grow`"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let wasm =
            guest::filter("", "(loop $more (drop (memory.grow (i32.const 1))) (br $more)) (unreachable)");
        loops(site, "memory-loops", 100, Some(wasm), |_| json!({"plugin": "loops"})).await
    }
}

async fn loops(
    site: &Site,
    name: &str,
    size: usize,
    wasm: Option<Vec<u8>>,
    step: impl Fn(&Tenant) -> Value,
) -> Result<Guard> {
    let mut guard = Guard::new(site);
    let receiver = Receiver::start().await;
    for number in 0..TENANTS {
        let tenant = site.tenant(&format!("{name}-{number}")).await;
        if let Some(wasm) = wasm.clone() {
            let headers = [("content-type", "application/wasm")];
            // If the engine refuses the upload, there is one abuser less.
            let _ = tenant.client.try_send("PUT", "/api/v3/plugins/loops", wasm, &headers).await;
        }
        let hook = json!({"url": receiver.url("/"), "types": ["*"], "pipeline": [step(&tenant)], "retry": {"schedule_s": [1]}});
        guard.spawn(async move {
            // Creating the hook runs the plugin, so it takes some time.
            if tenant.hook(hook).await.is_some() {
                tenant.batch((0..EVENTS).map(|_| event("t", size))).await;
            }
        });
    }
    guard.hold(receiver);
    Ok(guard)
}
