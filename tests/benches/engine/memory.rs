//! Memory with a hundred plugins and a thousand hooks, and during a million deliveries.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use hookwright_tests::{Client, Server};
use hyper::body::Bytes;
use serde_json::json;

use crate::engine::{binary, data, engine};
use crate::load::{self};
use crate::sink::Sink;
use crate::table::Table;

const PLUGINS: usize = 100;
const HOOKS: usize = 1_000;
const DELIVERIES: u64 = 1_000_000;

pub async fn run(table: &mut Table) -> Result<()> {
    many_plugins(table).await?;
    million(table).await
}

/// Measures with a hundred different plugins. Each is used by ten hooks and runs once.
pub async fn many_plugins(table: &mut Table) -> Result<()> {
    let sink = Sink::start(None).await?;
    let server = Server::start(binary()).await;
    let client = Client::new(server.base(), &server.tenant_key("bench").await);
    let wasm = client.get("/plugins/field-map/wasm").await;
    for number in 0..PLUGINS {
        let name = format!("plugin-{number}");
        client.upload(&name, with_custom_section(&wasm.bytes, number)).await;
        for _ in 0..HOOKS / PLUGINS {
            let hook = json!({"url": format!("http://{}/", sink.address), "types": ["order.paid"], "pipeline": [{"plugin": name, "settings": {"drop": ["/note"]}}]});
            client.post("/hooks", hook).await.expect(201);
        }
    }
    for number in 0..10 {
        let event = client.publish("order.paid", data(number)).await;
        client.finished(&event).await;
    }
    let (now, peak) = resident(&server)?;
    table.row(
        format!("memory, {PLUGINS} plugins, {HOOKS} hooks, each run"),
        format!("{now:9.1} MB resident, {peak:.1} MB at most"),
    );
    Ok(())
}

/// Adds a custom section to a component: the same code with another digest.
fn with_custom_section(wasm: &[u8], number: usize) -> Vec<u8> {
    let name = format!("bench-{number:04}");
    let mut all = wasm.to_vec();
    all.extend([0, (name.len() + 1) as u8, name.len() as u8]);
    all.extend(name.as_bytes());
    all
}

async fn million(table: &mut Table) -> Result<()> {
    let sink = Sink::start(None).await?;
    let bodies: Vec<Bytes> =
        (0..100).map(|n| json!({"type": "order.paid", "data": data(n)}).to_string().into()).collect();
    let (server, target) = engine(&sink, 1, json!([]), "/api/v3/events", bodies).await?;
    let mut seen = Vec::new();
    for tenth in 0..10 {
        load::paced(&target, f64::INFINITY, DELIVERIES / 10, Arc::new(|_| {})).await?;
        let (now, _) = resident(&server)?;
        seen.push(now);
        eprintln!("  after {} deliveries: {now:.1} MB", (tenth + 1) * DELIVERIES / 10);
    }
    let (first, last) = (seen[0], seen[seen.len() - 1]);
    table.row(
        "memory, a million deliveries",
        format!(
            "{last:9.1} MB at the end, {:+.1} % since the first tenth; {} arrived",
            (last / first - 1.0) * 100.0,
            sink.arrived()
        ),
    );
    Ok(())
}

/// Current and peak resident memory of the engine's process, in MB.
pub fn resident(server: &Server) -> Result<(f64, f64)> {
    let id = server.process_id().context("it runs")?;
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let read = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<f64>().ok()
    };
    let kilobytes = |name| read(name).with_context(|| format!("{name} in the process's status"));
    Ok((kilobytes("VmRSS:")? / 1000.0, kilobytes("VmHWM:")? / 1000.0))
}
