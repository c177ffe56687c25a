//! The demo's last part: a receiver fails, the engine says so, and a paused hook loses nothing.

use std::io::Write;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use super::api::{Api, DELIVERY_TIMEOUT, POLL_INTERVAL, text};
use super::receiver::{Arrival, Receiver};
use crate::cli::style::{BAD, GOOD, HEAD, MUTED, PLAIN};
use crate::clock;

/// The path of the hook that is told what happens to the other one.
const ALERTS: &str = "/alerts";
/// The path of a receiver that is down at first.
const ORDERS: &str = "/orders";

/// Shows what the engine does while a receiver of a tenant is down.
pub(super) async fn show(api: Api, out: &mut impl Write) -> Result<()> {
    let down = Receiver::bind().await?;
    let mut up = Receiver::bind().await?;
    let base = format!("http://{}", up.address()?);
    let alerts = json!({ "url": format!("{base}{ALERTS}"), "types": ["hookwright.*"] });
    let alerts = api.post("/hooks", &alerts).await?;
    up.expect(ALERTS.to_owned(), &secret(&api, text(&alerts, "id")?).await?)?;
    let orders = json!({ "url": format!("http://{}{ORDERS}", down.address()?), "types": ["order.*"],
        "retry": { "schedule_s": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1] } });
    let orders = text(&api.post("/hooks", &orders).await?, "id")?.to_owned();
    up.expect(ORDERS.to_owned(), &secret(&api, &orders).await?)?;
    // Nobody expects its requests: it answers with 404.
    let (down_sender, down_arrivals) = mpsc::channel(1);
    let down = tokio::spawn(down.serve(down_sender));
    let (sender, mut arrivals) = mpsc::channel(64);
    let up = tokio::spawn(up.serve(sender));

    writeln!(out, "\n{HEAD}A receiver is down{PLAIN}")?;
    let event = json!({ "type": "order.paid", "data": { "number": "A1" } });
    for _ in 0..3 {
        api.post("/events", &event).await?;
    }
    let state = state_when(&api, &orders, |hook| hook["state"]["name"] == "failing").await?["state"].take();
    writeln!(
        out,
        "  {BAD}failing{PLAIN}    {} of {} attempts failed: {}",
        state["failed"],
        state["attempts"],
        text(&state, "reason")?
    )?;
    let told = arrival(&mut arrivals, ALERTS).await?;
    let told: Value = serde_json::from_slice(&told.body).context("an operational event is not JSON")?;
    writeln!(out, "  → alerts   hookwright.hook.failing: {}", text(&told, "reason")?)?;

    let hook = format!("/hooks/{orders}");
    api.patch(&hook, &json!({ "paused": true, "url": format!("{base}{ORDERS}") })).await?;
    api.post("/events", &event).await?;
    let held = state_when(&api, &orders, |hook| hook["held"] == 4).await?["held"].take();
    writeln!(out, "  {MUTED}paused{PLAIN}     {held} deliveries wait while the receiver is mended")?;
    api.patch(&hook, &json!({ "paused": false })).await?;
    for _ in 0..4 {
        arrival(&mut arrivals, ORDERS).await?;
    }
    writeln!(out, "  {GOOD}resumed{PLAIN}    all of them arrived")?;
    drop((arrivals, down_arrivals));
    up.await?.and(down.await?).context("a receiver failed")
}

async fn secret(api: &Api, hook: &str) -> Result<String> {
    Ok(text(&api.get(&format!("/hooks/{hook}/secret")).await?, "secret")?.to_owned())
}

/// Waits until a hook is as `wanted`, and returns it.
async fn state_when(api: &Api, hook: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let deadline = Instant::from_std(clock::monotonic()) + DELIVERY_TIMEOUT;
    let mut ticks = tokio::time::interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shown = api.get(&format!("/hooks/{hook}")).await?;
        if wanted(&shown) {
            return Ok(shown);
        }
        if Instant::from_std(clock::monotonic()) > deadline {
            bail!("hook {hook} is still {}", shown["state"]);
        }
    }
}

/// The next verified request to `path`; others are dropped.
async fn arrival(arrivals: &mut mpsc::Receiver<Arrival>, path: &str) -> Result<Arrival> {
    let next = async {
        while let Some(arrival) = arrivals.recv().await {
            if arrival.path == path && arrival.is_verified {
                return Some(arrival);
            }
        }
        None
    };
    let next = tokio::time::timeout(DELIVERY_TIMEOUT, next).await.ok().flatten();
    next.with_context(|| format!("nothing arrived at {path} within {} s", DELIVERY_TIMEOUT.as_secs()))
}
