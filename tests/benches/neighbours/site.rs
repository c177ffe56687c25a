//! The engine of one row, as abusers find it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use hookwright_tests::{Client, Server};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::peer::Peer;

/// Where the measurement runs, and where the abusers do.
pub struct Runtimes {
    pub measuring: Runtime,
    pub abusing: Runtime,
}

impl Runtimes {
    /// Abusers stand for other machines. On this one they give way, so that what is measured is the engine's work for
    /// them and not their own.
    pub fn start() -> Result<Self> {
        const NICE: i32 = 10;
        let measuring = Builder::new_multi_thread().enable_all().build()?;
        let abusing = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(|| {
                let thread = Some(rustix::thread::gettid());
                if let Err(error) = rustix::process::setpriority_process(thread, NICE) {
                    eprintln!("an abuser's thread keeps its priority: {error}");
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

/// A tenant that abuses, or one that is abused through.
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

    /// Lets all abuses begin.
    pub fn begin(&self) {
        self.begin.send_replace(true);
    }

    /// Becomes true when abuses may begin.
    pub fn beginning(&self) -> watch::Receiver<bool> {
        self.begin.subscribe()
    }

    /// A client address that no other abuse and not the well-behaved tenant has: limits for an address must not meet
    /// the wrong one.
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
    /// Makes a hook with these members, if the engine allows it.
    pub async fn hook(&self, members: Value) -> Option<String> {
        let answer = self.client.try_send("POST", "/api/v3/hooks", members.to_string(), JSON).await.ok()?;
        answer.json()["id"].as_str().map(str::to_owned)
    }

    /// Posts these events as one batch; whether it was accepted.
    pub async fn batch(&self, events: impl IntoIterator<Item = Value>) -> bool {
        let lines: Vec<String> = events.into_iter().map(|event| event.to_string()).collect();
        let sent = self.client.try_send("POST", "/api/v3/events/batch", lines.join("\n"), NDJSON).await;
        sent.is_ok_and(|answer| answer.status == 202)
    }
}

/// Headers of a request with JSON.
pub const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
/// Headers of a batch.
pub const NDJSON: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

/// An event of this type with `size` bytes of data.
pub fn event(event_type: &str, size: usize) -> Value {
    json!({"type": event_type, "data": {"fill": "x".repeat(size)}})
}
