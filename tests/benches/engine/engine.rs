//! Rows (a) to (f): deliveries in a second, and how long one takes at half load.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, Result};
use hookwright_tests::{Client, Server};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::load::{self, Target};
use crate::relay;
use crate::sink::{OnArrival, Sink};
use crate::table::Table;

/// The engine that is measured: the one built with this benchmark, or another build to compare it with.
pub fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_hookwright-under-test");
    #[expect(clippy::disallowed_methods, reason = "the benchmark's one setting; the engine's are its own")]
    std::env::var_os("HOOKWRIGHT_BENCH_BINARY").filter(|path| !path.is_empty()).unwrap_or(built.into()).into()
}

const EVENT_TYPE: &str = "order.paid";
/// Events in one batch, hooks for each event.
const BATCH: usize = 100;
const FAN_OUT: usize = 10;

/// About 1 KB of JSON.
pub fn data(number: u64) -> Value {
    json!({
        "number": number,
        "action": "paid",
        "order": {"id": 81_234_567, "currency": "EUR", "total": 129.95, "lines": [
            {"sku": "A-1001", "name": "Wireless keyboard", "quantity": 1, "price": 79.95},
            {"sku": "B-2002", "name": "Mouse pad, 90 x 40 cm", "quantity": 2, "price": 25.0},
        ]},
        "customer": {"id": 5_512, "name": "Customer 5512", "email": "customer-5512@example.com", "tags": ["returning", "newsletter"]},
        "shipping": {"street": "1 Example Street", "city": "Exampleton", "zip": "00000", "country": "XX"},
        "note": "x".repeat(400),
    })
}

fn event(number: u64) -> Bytes {
    json!({"type": EVENT_TYPE, "data": data(number)}).to_string().into()
}

/// A plugin step for each kind of row.
fn rust_step() -> Value {
    json!([{"plugin": "field-map", "settings": {"move": {"/order": "/purchase/order"}, "drop": ["/note"]}}])
}

fn javascript_step() -> Value {
    let script =
        "event.data.note = undefined; return {...request, body: {kind: event.type, data: event.data}};";
    json!([{"plugin": "javascript", "settings": {"script": script}}])
}

/// Rows (c) to (f) alone: what two builds are compared by.
pub async fn compared(table: &mut Table) -> Result<()> {
    let bodies: Vec<Bytes> = (0..1024).map(event).collect();
    for (name, pipeline) in [("(c)", json!([])), ("(d)", rust_step()), ("(e)", javascript_step())] {
        let (rate, cost) = one_by_one(&bodies, pipeline).await?;
        table.row(name, format!("{rate:9.0} deliveries/s  {cost}"));
    }
    let (rate, cost) = batches().await?;
    table.row("(f)", format!("{rate:9.0} deliveries/s  {cost}"));
    Ok(())
}

pub async fn throughput(table: &mut Table) -> Result<()> {
    let bodies: Vec<Bytes> = (0..1024).map(event).collect();

    let sink = Sink::start(None).await?;
    let one_hop = load::saturate(&Target::new(sink.address, "/", bodies.clone()), &sink, 1).await?;
    table.row("(a) one hop, bare hyper", format!("{one_hop:9.0} requests/s"));

    let sink = Sink::start(None).await?;
    let (mut child, address) = relay::start(sink.address).await?;
    let two_hops = load::saturate(&Target::new(address, "/", bodies.clone()), &sink, 1).await?;
    child.kill().await?;
    table.row("(b) two hops, bare hyper relay", format!("{two_hops:9.0} requests/s"));

    let mut plain = 0.0;
    for (name, pipeline) in [
        ("(c) engine, durable, no plugin", json!([])),
        ("(d) engine, durable, Rust plugin", rust_step()),
        ("(e) engine, durable, JavaScript", javascript_step()),
    ] {
        let (rate, cost) = one_by_one(&bodies, pipeline).await?;
        table.row(name, format!("{rate:9.0} deliveries/s  {:5.2} of (b)  {cost}", rate / two_hops));
        if plain == 0.0 {
            plain = rate;
        }
    }

    let (rate, cost) = batches().await?;
    table.row(
        "(f) engine, batches, 1 event to 10 hooks",
        format!("{rate:9.0} deliveries/s  {:5.2} of (a)  {cost}", rate / one_hop),
    );

    latency(table, plain / 2.0).await
}

async fn one_by_one(bodies: &[Bytes], pipeline: Value) -> Result<(f64, Cost)> {
    let sink = Sink::start(None).await?;
    let (server, target) = engine(&sink, 1, pipeline, "/api/v3/events", bodies.to_vec()).await?;
    measured(&server, &target, &sink, 1).await
}

/// Batches of a hundred events, each of which goes to ten hooks.
async fn batches() -> Result<(f64, Cost)> {
    let sink = Sink::start(None).await?;
    let lines: Vec<Bytes> = (0..BATCH as u64).map(event).collect();
    let body = lines.join(&b"\n"[..]).into();
    let (server, mut target) = engine(&sink, FAN_OUT, json!([]), "/api/v3/events/batch", vec![body]).await?;
    target.headers[0].1 = "application/x-ndjson".to_owned();
    let deliveries = (BATCH * FAN_OUT) as u64;
    (target.connections, target.window) = (4, 6 * deliveries);
    measured(&server, &target, &sink, deliveries).await
}

/// The rate of deliveries, and what each cost, after the first has arrived: what plugins take to compile is no part of it.
async fn measured(server: &Server, target: &Target, sink: &Sink, deliveries: u64) -> Result<(f64, Cost)> {
    load::paced(target, f64::INFINITY, 1, Arc::new(|_| {})).await?;
    let began = Instant::now();
    while sink.arrived() < deliveries {
        anyhow::ensure!(began.elapsed() < crate::MEASURED * 10, "{} of {deliveries} arrived", sink.arrived());
        tokio::time::sleep(crate::WARM_UP / 200).await;
    }
    let before = Cost::so_far(server, sink.arrived());
    let rate = load::saturate(target, sink, deliveries).await?;
    Ok((rate, Cost::so_far(server, sink.arrived()).since(&before)))
}

/// Processor time of the engine's process, and what it was spent on: steadier than rates where others use
/// the machine, too.
struct Cost {
    /// In clock ticks, of which Linux tells a hundred a second; none where it is not to be had.
    ticks: Option<u64>,
    deliveries: u64,
}

impl Cost {
    fn so_far(server: &Server, deliveries: u64) -> Self {
        let read = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process_id()?)).ok()?;
            // The name, in brackets, may have spaces; user and system time are the 12th and 13th field behind.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
        };
        Self { ticks: read(), deliveries }
    }

    fn since(self, before: &Self) -> Self {
        let ticks = self.ticks.zip(before.ticks).map(|(now, before)| now - before);
        Self { ticks, deliveries: self.deliveries - before.deliveries }
    }
}

impl std::fmt::Display for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(ticks) = self.ticks else { return Ok(()) };
        write!(f, "{:5.1} µs of processor each", ticks as f64 * 1e4 / self.deliveries as f64)
    }
}

/// An engine with `hooks` hooks, all at `sink`, and where to post to it.
pub async fn engine(
    sink: &Sink,
    hooks: usize,
    pipeline: Value,
    path: &str,
    bodies: Vec<Bytes>,
) -> Result<(Server, Target)> {
    let server = Server::start(binary()).await;
    let key = server.tenant_key("bench").await;
    let client = Client::new(server.base(), &key);
    for _ in 0..hooks {
        let hook =
            json!({"url": format!("http://{}/", sink.address), "types": [EVENT_TYPE], "pipeline": pipeline});
        client.post("/hooks", hook).await.expect(201);
    }
    let address = server.base().trim_start_matches("http://").parse().context("an address")?;
    let mut target = Target::new(address, path, bodies);
    target.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
    Ok((server, target))
}

/// From the answer that an event is accepted to its arrival, at `rate` events a second.
async fn latency(table: &mut Table, rate: f64) -> Result<()> {
    const TOTAL: u64 = 60_000;
    let accepted: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..TOTAL).map(|_| OnceLock::new()).collect());
    let arrived: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..TOTAL).map(|_| OnceLock::new()).collect());
    let count = Arc::new(AtomicU64::new(0));
    let on_arrival: OnArrival = {
        let (arrived, count) = (Arc::clone(&arrived), Arc::clone(&count));
        Arc::new(move |body| {
            // The number stands first: `{"action":…` is sorted behind it by nobody.
            let number = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["number"].as_u64());
            if let Some(number) = number {
                let _ = arrived[number as usize].set(Instant::now());
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let sink = Sink::start(Some(on_arrival)).await?;
    let bodies = (0..TOTAL).map(event).collect();
    let (server, target) = engine(&sink, 1, json!([]), "/api/v3/events", bodies).await?;
    let on_accepted = {
        let accepted = Arc::clone(&accepted);
        Arc::new(move |number: u64| {
            let _ = accepted[number as usize].set(Instant::now());
        })
    };
    load::paced(&target, rate, TOTAL, on_accepted).await?;
    let began = Instant::now();
    while count.load(Ordering::Relaxed) < TOTAL && began.elapsed() < crate::MEASURED {
        tokio::time::sleep(crate::WARM_UP / 100).await;
    }
    drop(server);
    let mut millis: Vec<f64> = accepted
        .iter()
        .zip(arrived.iter())
        .filter_map(|(accepted, arrived)| Some(arrived.get()?.saturating_duration_since(*accepted.get()?)))
        .map(|duration| duration.as_secs_f64() * 1000.0)
        .collect();
    millis.sort_by(f64::total_cmp);
    let at = |share: f64| {
        millis
            .get(((millis.len() as f64 * share) as usize).min(millis.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    };
    table.row(
        "acceptance to arrival at half load",
        format!(
            "{rate:9.0} events/s: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, {} of {TOTAL} arrived",
            at(0.5),
            at(0.99),
            at(0.999),
            millis.len()
        ),
    );
    Ok(())
}
