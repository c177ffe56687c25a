//! The environment of a row: the engine and the runtimes.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use hookwright_tests::{Client, Server};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::peer::Peer;

/// Runtimes of the measurement and of the abusers.
pub struct Runtimes {
    pub measuring: Runtime,
    pub abusing: Runtime,
}

impl Runtimes {
    /// Abusers represent other machines. Their threads have a lower priority, so that the figures contain the engine's
    /// work and not that of the abusers.
    pub fn start() -> Result<Self> {
        const NICE: i32 = 10;
        let measuring = Builder::new_multi_thread().enable_all().build()?;
        let abusing = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(|| {
                let thread = Some(rustix::thread::gettid());
                if let Err(error) = rustix::process::setpriority_process(thread, NICE) {
                    eprintln!("cannot lower the priority of an abuser's thread: {error}");
                }
            })
            .build()?;
        Ok(Self { measuring, abusing })
    }
}

/// The engine under abuse.
pub struct Site {
    pub server: Server,
    address: SocketAddr,
    abusers: Handle,
    addresses: AtomicUsize,
    begin: watch::Sender<bool>,
}

/// A tenant of an abuse.
#[derive(Clone)]
pub struct Tenant {
    pub key: String,
    pub client: Client,
}

impl Site {
    pub fn new(server: Server, abusers: Handle) -> Result<Self> {
        let address = server.base().trim_start_matches("http://").parse().context("an address")?;
        Ok(Self {
            server,
            address,
            abusers,
            addresses: AtomicUsize::new(0),
            begin: watch::Sender::new(false),
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn abusers(&self) -> &Handle {
        &self.abusers
    }

    /// Starts all abuses.
    pub fn begin(&self) {
        self.begin.send_replace(true);
    }

    /// Becomes true when the abuses start.
    pub fn beginning(&self) -> watch::Receiver<bool> {
        self.begin.subscribe()
    }

    /// Returns an unused client address, so that limits of an address affect only one abuse.
    pub fn peer(&self) -> Peer {
        let number = self.addresses.fetch_add(1, Ordering::Relaxed);
        Peer::new([127, 66, (number / 250) as u8, (number % 250 + 1) as u8], self.address)
    }

    pub async fn tenant(&self, name: &str) -> Tenant {
        let key = self.server.tenant_key(name).await;
        Tenant { client: Client::new(self.server.base(), &key), key }
    }
}

impl Tenant {
    /// Creates a hook with these members, if the engine allows it, and returns its id.
    pub async fn hook(&self, members: Value) -> Option<String> {
        let response = self.client.try_send("POST", "/api/v3/hooks", members.to_string(), JSON).await.ok()?;
        response.json()["id"].as_str().map(str::to_owned)
    }

    /// Posts these events as a batch, and returns whether it was accepted.
    pub async fn batch(&self, events: impl IntoIterator<Item = Value>) -> bool {
        let lines: Vec<String> = events.into_iter().map(|event| event.to_string()).collect();
        let sent = self.client.try_send("POST", "/api/v3/events/batch", lines.join("\n"), NDJSON).await;
        sent.is_ok_and(|response| response.status == 202)
    }
}

/// Headers of a JSON request.
pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// Headers of a batch.
pub const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// An event of this type with `size` bytes of data.
pub fn event(event_type: &str, size: usize) -> Value {
    json!({"type": event_type, "data": {"fill": "x".repeat(size)}})
}
