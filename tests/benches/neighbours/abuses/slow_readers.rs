//! Large responses that are read slowly.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use hookwright_tests::{Receiver, Reply};
use serde_json::json;

use crate::abuse::{Abuse, Guard};
use crate::peer::{PAUSE, Peer, whole};
use crate::site::{Site, event};

/// Downloads of a large plugin.
pub struct SlowDownloads;

/// Deliveries with many attempts, each with a large response.
pub struct SlowAttempts;

const DOWNLOADS: usize = 24;
const PLUGIN_LEN: usize = 31_000_000;
const READERS: usize = 30;
const ATTEMPTS: usize = 101;
const RESPONSE_LEN: usize = 64_000;
/// Bytes that a reader reads at once, and the pause after that.
const CHUNK: usize = 512;
const WAIT: Duration = Duration::from_millis(500);

#[async_trait]
impl Abuse for SlowDownloads {
    fn name(&self) -> &'static str {
        "slow-downloads"
    }

    fn what(&self) -> &'static str {
        "24 readers of a plugin of 31 MB at 1 KB a second"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("slow-downloads").await;
        let small = tenant.client.get("/plugins/field-map/wasm").await;
        let wasm = with_custom_section(&small.bytes, PLUGIN_LEN);
        let headers = [("content-type", "application/wasm")];
        // If the engine refuses the upload, there is less to download.
        let sent = tenant.client.try_send("PUT", "/api/v3/plugins/large", wasm, &headers).await;
        let name = if sent.is_ok_and(|response| response.status == 201) { "large" } else { "field-map" };
        let request = whole("GET", &format!("/plugins/{name}/wasm"), &tenant.key, "text/plain", b"");
        Ok(readers(site, DOWNLOADS, request))
    }
}

#[async_trait]
impl Abuse for SlowAttempts {
    fn name(&self) -> &'static str {
        "slow-attempts"
    }

    fn what(&self) -> &'static str {
        "30 readers of a delivery with 101 attempts and large responses"
    }

    async fn start(&self, site: &Site) -> Result<Guard> {
        let tenant = site.tenant("slow-attempts").await;
        let receiver =
            Receiver::responding(|_| Reply::Status(500, Vec::new(), vec![b'\x01'; RESPONSE_LEN])).await;
        let hook = json!({"url": receiver.url("/"), "types": ["*"], "retry": {"schedule_s": []}});
        tenant.hook(hook).await;
        let posted = tenant.client.post("/events", event("t", 800_000)).await.json();
        let path = format!("/events/{}/deliveries", posted["id"].as_str().unwrap_or_default());
        let listed = tenant.client.get(&path).await.json();
        let delivery = listed["data"][0]["id"].as_str().unwrap_or_default().to_owned();
        for _ in 1..ATTEMPTS {
            // A retry is refused while an attempt is running. The exact number of attempts does not matter.
            let retried = tenant.client.post(&format!("/deliveries/{delivery}/retry"), json!({})).await;
            if retried.status >= 400 {
                tokio::time::sleep(PAUSE / 10).await;
            }
        }
        let request = whole("GET", &format!("/deliveries/{delivery}"), &tenant.key, "text/plain", b"");
        let mut guard = readers(site, READERS, request);
        guard.hold(receiver);
        Ok(guard)
    }
}

fn readers(site: &Site, count: usize, request: Vec<u8>) -> Guard {
    let (peer, request): (Peer, _) = (site.peer(), Arc::new(request));
    let mut guard = Guard::new(site);
    guard.spawn_each(count, |_| {
        let request = Arc::clone(&request);
        async move {
            loop {
                peer.read_slowly(&request, CHUNK, WAIT).await;
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    guard
}

/// Adds a custom section of about `length` bytes to the component.
pub(super) fn with_custom_section(wasm: &[u8], length: usize) -> Vec<u8> {
    let name = b"fill";
    let size = length.saturating_sub(wasm.len()).max(64);
    let mut all = wasm.to_vec();
    all.push(0);
    let mut left = size;
    while left >= 0x80 {
        all.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    all.push(left as u8);
    all.push(name.len() as u8);
    all.extend(name);
    all.resize(all.len() + size - name.len() - 1, 7);
    all
}
