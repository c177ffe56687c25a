//! `hookwright demo`: publishes events and shows their deliveries.
//!
//! The demo runs the real engine in this process, on a temporary directory, and uses its HTTP API. Its
//! receiver verifies the signatures. The setting `egress_allow` permits hooks to reach
//! it on loopback.

mod api;
pub(super) mod cluster;
pub(super) mod console;
mod outage;
mod receiver;
mod result;
mod samples;
mod show;

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app;
use crate::clock;
use crate::config::{self, CommandLine};
use crate::directory::new_key_text;
use crate::supervisor::Sockets;

use api::{Api, DELIVERY_TIMEOUT, POLL_INTERVAL, text};
use receiver::{Arrival, Receiver};
use result::DemoResult;
use samples::{MadeHook, hooks};
pub(super) use samples::{Sample, events};
use show::Summary;

/// Runs the demo.
pub(super) async fn run(events: Vec<Sample>, out: &mut impl Write) -> Result<()> {
    let directory = TempDir::with_prefix("hookwright-demo-").context("cannot create a directory")?;
    let admin_key = new_key_text();
    let command_line = CommandLine::default()
        .with("listen", "127.0.0.1:0")
        .with("admin_listen", "off")
        .with("data_dir", directory.path().to_string_lossy())
        .with("admin_key", &admin_key)
        .with("egress_allow", "127.0.0.0/8");
    let engine = app::start(config::load(&command_line, |_| None)?, Sockets::default()).await?;
    let api = || Api::new(engine.api().address, &admin_key);
    let shown = async {
        let summary = show_all(api()?, &events, out).await?;
        outage::show(as_tenant(api()?, "outage.example").await?, out).await?;
        show::summary(out, &summary)?;
        if summary.unverified > 0 {
            bail!("{} deliveries arrived without a valid signature", summary.unverified);
        }
        Ok(())
    };
    let shown = tokio::select! {
        shown = shown => shown,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    engine.shutdown().await?;
    directory.close().context("cannot remove the demo's directory")?;
    shown
}

async fn show_all(api: Api, events: &[Sample], out: &mut impl Write) -> Result<Summary> {
    let api = as_tenant(api, "demo.example").await?;
    let receiver = Receiver::bind().await?;
    let address = receiver.address()?;
    let (receiver, hooks) = make_hooks(&api, receiver).await?;
    let (sender, arrivals) = mpsc::channel(64);
    let serving = tokio::spawn(receiver.serve(sender));
    show::introduction(out, address, &hooks)?;

    let mut summary = Summary::default();
    let mut client = DemoClient { api, hooks, arrivals };
    for (at, event) in events.iter().enumerate() {
        let results = client.post(event).await?;
        summary.count(&results);
        show::event(out, event, at, events.len(), &client.hooks, &results)?;
    }
    drop(client);
    serving.await?.context("the receiver failed")?;
    Ok(summary)
}

/// Creates a tenant and a key, and returns a client with that key.
async fn as_tenant(api: Api, name: &str) -> Result<Api> {
    let tenant = api.post("/tenants", &json!({ "name": name })).await?;
    let api = api.for_tenant(text(&tenant, "id")?)?;
    let key = api.post("/keys", &json!({ "name": "demo" })).await?;
    api.with_key(text(&key, "key")?)
}

async fn make_hooks(api: &Api, mut receiver: Receiver) -> Result<(Receiver, Vec<MadeHook>)> {
    let base = format!("http://{}", receiver.address()?);
    let mut made = Vec::new();
    for hook in hooks() {
        let id = text(&api.post("/hooks", &hook.request(&base)).await?, "id")?.to_owned();
        let secret = api.get(&format!("/hooks/{id}/secret")).await?;
        receiver.expect(hook.path(), text(&secret, "secret")?)?;
        made.push((id, hook));
    }
    Ok((receiver, made))
}

/// Publishes events and waits for their deliveries.
struct DemoClient {
    api: Api,
    hooks: Vec<MadeHook>,
    arrivals: mpsc::Receiver<Arrival>,
}

impl DemoClient {
    /// Publishes an event and returns the result for each hook, in order.
    async fn post(&mut self, event: &Sample) -> Result<Vec<DemoResult>> {
        let accepted = self.api.post("/events", event).await?;
        let id = text(&accepted, "id")?;
        let (deliveries, mut arrived) = self.wait_for_deliveries(id).await?;
        let mut results = Vec::with_capacity(self.hooks.len());
        for (hook_id, hook) in &self.hooks {
            let delivery = deliveries.iter().find(|delivery| delivery["hook"] == **hook_id);
            let delivery = delivery.with_context(|| format!("event {id} has no delivery for {hook_id}"))?;
            // A delivery may arrive more than once; the first arrival is shown.
            let arrival = arrived.iter().position(|arrival: &Arrival| arrival.path == hook.path());
            results.push(match arrival {
                Some(at) if delivery["state"] == "succeeded" => {
                    DemoResult::Arrived(Box::new(arrived.swap_remove(at)))
                }
                _ => self.explain(text(delivery, "id")?).await?,
            });
        }
        Ok(results)
    }

    /// Waits until no delivery of the event is pending or in progress. Returns the deliveries and the
    /// arrivals.
    async fn wait_for_deliveries(&mut self, event: &str) -> Result<(Vec<Value>, Vec<Arrival>)> {
        let deadline = Instant::from_std(clock::monotonic()) + DELIVERY_TIMEOUT;
        let mut tick = tokio::time::interval(POLL_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut arrived = Vec::new();
        let path = format!("/events/{event}/deliveries");
        loop {
            tokio::select! {
                Some(arrival) = self.arrivals.recv() => {
                    arrived.push(arrival);
                    continue;
                }
                _ = tick.tick() => {}
                () = tokio::time::sleep_until(deadline) => {
                    bail!("the deliveries of event {event} did not finish within {} s", DELIVERY_TIMEOUT.as_secs());
                }
            }
            let response = self.api.get(&path).await?;
            let deliveries = response["data"].as_array().context("a list of deliveries has no `data`")?;
            let under_way =
                |delivery: &Value| matches!(delivery["state"].as_str(), Some("pending" | "delivering"));
            if !deliveries.iter().any(under_way) {
                // The receiver queues an arrival before it responds, so all successful deliveries are in the
                // channel.
                arrived.extend(std::iter::from_fn(|| self.arrivals.try_recv().ok()));
                return Ok((deliveries.clone(), arrived));
            }
        }
    }

    /// Reads from the last attempt why a delivery did not arrive.
    async fn explain(&self, delivery: &str) -> Result<DemoResult> {
        let delivery = self.api.get(&format!("/deliveries/{delivery}")).await?;
        let last =
            delivery["attempts"].as_array().and_then(|attempts| attempts.last()).unwrap_or(&Value::Null);
        if delivery["state"] == "dropped" {
            return Ok(DemoResult::Dropped(last["step"].as_u64().unwrap_or(0)));
        }
        let messages = [&last["fault"]["message"], &last["error"]["message"]];
        let message = messages.into_iter().find_map(Value::as_str).map(str::to_owned);
        let otherwise = || format!("{}, {}", delivery["state"], last["outcome"]);
        Ok(DemoResult::Failed(message.unwrap_or_else(otherwise)))
    }
}
