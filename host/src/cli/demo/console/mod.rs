//! `hookwright demo --console`: an engine with sample tenants, receivers that misbehave, and live traffic, to look at in a browser.
//!
//! One script has a bug, so that there is something to find and mend. Nothing is left behind.

mod receivers;
mod tenants;
mod traffic;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::api::{Api, text};
use super::as_tenant;
use crate::app;
use crate::cli::style::{FAINT, HEAD, PLAIN};
use crate::config::{self, CommandLine};
use crate::directory::new_key_text;
use crate::supervisor::Sockets;

use receivers::Receivers;
use traffic::Traffic;

/// The tenant with whose eyes one looks at first.
const SHOP: &str = "shop.example";
/// Another one, which must never be seen.
const CALLS: &str = "calls.example";
/// How many events there are when the address is printed.
const AT_ONCE: usize = 40;
/// How often an event is published.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long the printed links work, in seconds.
const LINK_S: u64 = 3_600;
/// How long their sessions last, in seconds.
const SESSION_S: u64 = 43_200;

/// Runs the demo until SIGINT or SIGTERM.
pub(in crate::cli) async fn run(listen: Option<SocketAddr>, out: &mut impl Write) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let directory = TempDir::with_prefix("hookwright-demo-").context("cannot create a directory")?;
    let admin_key = new_key_text();
    let command_line = CommandLine::default()
        .with("listen", listen.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string()))
        .with("admin_listen", "off")
        .with("data_dir", directory.path().to_string_lossy())
        .with("admin_key", &admin_key)
        .with("egress_allow", "127.0.0.0/8")
        .with("console", "true");
    let engine = app::start(config::load(&command_line, |_| None)?, Sockets::default()).await?;
    let api = || Api::new(engine.api().address, &admin_key);
    let shown = tokio::select! {
        shown = show(api, out) => shown,
        _ = tokio::signal::ctrl_c() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    engine.shutdown().await?;
    directory.close().context("cannot remove the demo's directory")?;
    shown
}

async fn show(api: impl Fn() -> Result<Api>, out: &mut impl Write) -> Result<()> {
    let receivers = Receivers::bind().await?;
    let base = receivers.base()?;
    let shop = as_tenant(api()?, SHOP).await?;
    let calls = as_tenant(api()?, CALLS).await?;
    for hook in tenants::shop(&base) {
        receivers.expect(&shop, &hook).await?;
    }
    for hook in tenants::calls(&base) {
        receivers.expect(&calls, &hook).await?;
    }
    let serving = receivers.serve();
    let mut traffic = Traffic::new(shop, calls);
    for _ in 0..AT_ONCE {
        traffic.publish().await?;
    }
    greet(out, &api).await?;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let publishing = async {
        loop {
            ticks.tick().await;
            traffic.publish().await?;
        }
    };
    tokio::select! {
        ended = publishing => ended,
        ended = serving => ended.context("the receivers failed"),
    }
}

async fn greet(out: &mut impl Write, api: &impl Fn() -> Result<Api>) -> Result<()> {
    let link = async |api: Api, mut members: Value| {
        members["expires_in_s"] = json!(LINK_S);
        members["session_s"] = json!(SESSION_S);
        let link = api.post("/console-links", &members).await?;
        anyhow::Ok(text(&link, "url")?.to_owned())
    };
    let scopes = [
        "events:read",
        "events:write",
        "hooks:read",
        "hooks:write",
        "plugins:read",
        "plugins:write",
        "deliveries:read",
        "deliveries:write",
        "keys:read",
        "keys:write",
        "projects:read",
        "audit:read",
    ];
    let shop = link(api()?.for_tenant(SHOP)?, json!({ "scopes": scopes })).await?;
    let operator = link(api()?, json!({ "role": "operator" })).await?;
    writeln!(out, "{HEAD}The console{PLAIN}, with two tenants and two events a second")?;
    writeln!(out)?;
    writeln!(out, "  Console:  {shop}")?;
    writeln!(out, "            {FAINT}as the tenant {SHOP}{PLAIN}")?;
    writeln!(out, "  Operator: {operator}")?;
    writeln!(
        out,
        "            {FAINT}all tenants and the engine; in a private window, or after signing out{PLAIN}"
    )?;
    writeln!(out)?;
    writeln!(
        out,
        "  Something to find: the hook \"Chat: new orders\" fails for some orders. Find out why, mend its"
    )?;
    writeln!(out, "  script in the playground on such an order, and retry what failed.")?;
    writeln!(out)?;
    writeln!(
        out,
        "  {FAINT}The links work for an hour. Ctrl-C ends the demo; nothing is left behind.{PLAIN}"
    )?;
    out.flush().context("cannot write")
}
