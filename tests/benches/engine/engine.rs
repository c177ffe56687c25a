//! Rows (a) to (f): deliveries per second, and the latency at half load.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, Result};
use hookwright_tests::{Client, Server, TIMEOUT};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::load::{self, Target};
use crate::relay;
use crate::sink::{OnArrival, Sink};
use crate::table::{Table, median};

/// The measured engine: the one built with this benchmark, or another build for a comparison.
pub fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_hookwright-under-test");
    #[expect(clippy::disallowed_methods, reason = "the only setting of the benchmark")]
    std::env::var_os("HOOKWRIGHT_BENCH_BINARY").filter(|path| !path.is_empty()).unwrap_or(built.into()).into()
}

pub const EVENT_TYPE: &str = "order.paid";
/// Events per batch, and hooks per event.
pub const BATCH: usize = 100;
pub const FAN_OUT: usize = 10;

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

pub fn event(number: u64) -> Bytes {
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

/// A row of the table.
#[derive(Clone, Copy)]
enum Row {
    OneHop,
    TwoHops,
    Plain,
    Rust,
    JavaScript,
    Batches,
}

/// All rows with their names, and the row that their ratio refers to.
const ROWS: [(Row, &str, Option<usize>); 6] = [
    (Row::OneHop, "(a) one hop, bare hyper", None),
    (Row::TwoHops, "(b) two hops, bare hyper relay", None),
    (Row::Plain, "(c) engine, durable, no plugin", Some(1)),
    (Row::Rust, "(d) engine, durable, Rust plugin", Some(1)),
    (Row::JavaScript, "(e) engine, durable, JavaScript", Some(1)),
    (Row::Batches, "(f) engine, batches, 1 event to 10 hooks", Some(0)),
];
/// The first row that measures the engine.
const FIRST_OF_ENGINE: usize = 2;

/// Number of measurements of each row. Rows alternate, and a ratio is computed within a round, because the speed of a
/// shared machine changes over time.
const ROUNDS: usize = 3;

impl Row {
    async fn measure(self, bodies: &[Bytes]) -> Result<Measured> {
        match self {
            Self::OneHop => {
                let sink = Sink::start(None).await?;
                let target = Target::new(sink.address, "/", bodies.to_vec());
                Ok(Measured { rate: load::saturate(&target, &sink, 1).await?, micros: None })
            }
            Self::TwoHops => {
                let sink = Sink::start(None).await?;
                let (mut child, address) = relay::start(sink.address).await?;
                let target = Target::new(address, "/", bodies.to_vec());
                let rate = load::saturate(&target, &sink, 1).await?;
                child.kill().await?;
                Ok(Measured { rate, micros: None })
            }
            Self::Plain => one_by_one(bodies, json!([])).await,
            Self::Rust => one_by_one(bodies, rust_step()).await,
            Self::JavaScript => one_by_one(bodies, javascript_step()).await,
            Self::Batches => batches().await,
        }
    }
}

/// Measures only rows (c) to (f), once, to compare two builds.
pub async fn compared(table: &mut Table) -> Result<()> {
    let bodies: Vec<Bytes> = (0..1024).map(event).collect();
    for (row, name, _beside) in &ROWS[FIRST_OF_ENGINE..] {
        let Measured { rate, micros } = row.measure(&bodies).await?;
        table.row(*name, format!("{rate:9.0} deliveries/s{}", cost(micros)));
    }
    Ok(())
}

pub async fn throughput(table: &mut Table) -> Result<()> {
    let bodies: Vec<Bytes> = (0..1024).map(event).collect();
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let mut rows = Vec::new();
        for (row, name, _beside) in ROWS {
            let measured = row.measure(&bodies).await?;
            eprintln!("round {round} of {ROUNDS}: {name}: {:.0}/s{}", measured.rate, cost(measured.micros));
            rows.push(measured);
        }
        rounds.push(rows);
    }
    for (index, (_row, name, beside)) in ROWS.into_iter().enumerate() {
        let of =
            |figure: &dyn Fn(&[Measured]) -> f64| median(rounds.iter().map(|rows| figure(rows)).collect());
        let rate = of(&|rows| rows[index].rate);
        let ratio = beside.map_or(String::new(), |beside| {
            let (name, _) = ROWS[beside].1.split_at(3);
            format!("  {:5.2} of {name}", of(&|rows| rows[index].rate / rows[beside].rate))
        });
        let micros = rounds.iter().filter_map(|rows| rows[index].micros).collect::<Vec<_>>();
        let micros = (!micros.is_empty()).then(|| median(micros));
        let what = if index < FIRST_OF_ENGINE { "requests" } else { "deliveries" };
        table.row(name, format!("{rate:9.0} {what}/s{ratio}{}", cost(micros)));
    }
    let plain = median(rounds.iter().map(|rows| rows[FIRST_OF_ENGINE].rate).collect());
    latency(table, "acceptance to arrival at half load", &[], plain / 2.0).await
}

async fn one_by_one(bodies: &[Bytes], pipeline: Value) -> Result<Measured> {
    let sink = Sink::start(None).await?;
    let (server, target) = engine(&sink, 1, pipeline, "/api/v3/events", bodies.to_vec()).await?;
    measured(&server, &target, &sink, 1).await
}

/// Batches of a hundred events. Each event is delivered to ten hooks.
async fn batches() -> Result<Measured> {
    let sink = Sink::start(None).await?;
    let (server, mut target) = engine(&sink, FAN_OUT, json!([]), "/api/v3/events", Vec::new()).await?;
    target.set_batches();
    measured(&server, &target, &sink, (BATCH * FAN_OUT) as u64).await
}

impl Target {
    /// Posts batches. Each event goes to [`FAN_OUT`] hooks.
    pub fn set_batches(&mut self) {
        let lines: Vec<Bytes> = (0..BATCH as u64).map(event).collect();
        self.bodies = Arc::new(vec![lines.join(&b"\n"[..]).into()]);
        self.path += "/batch";
        self.headers[0].1 = "application/x-ndjson".to_owned();
        (self.connections, self.window) = (4, 6 * (BATCH * FAN_OUT) as u64);
    }
}

/// Deliveries or requests per second, and the engine's CPU time per delivery in microseconds, if available. CPU time
/// varies less than rates on a shared machine.
struct Measured {
    rate: f64,
    micros: Option<f64>,
}

fn cost(micros: Option<f64>) -> String {
    micros.map_or(String::new(), |micros| format!("  {micros:5.1} µs of processor each"))
}

/// Measures from the first arrival on, so that the time to compile plugins does not count.
async fn measured(server: &Server, target: &Target, sink: &Sink, deliveries: u64) -> Result<Measured> {
    load::paced(target, f64::INFINITY, 1, Arc::new(|_| {})).await?;
    let began = Instant::now();
    while sink.arrived() < deliveries {
        anyhow::ensure!(began.elapsed() < TIMEOUT, "{} of {deliveries} arrived", sink.arrived());
        tokio::time::sleep(crate::WARM_UP / 200).await;
    }
    let before = (cpu_micros(server), sink.arrived());
    let rate = load::saturate(target, sink, deliveries).await?;
    let (after, arrived) = (cpu_micros(server), sink.arrived());
    let micros = after.zip(before.0).map(|(after, before)| after - before);
    Ok(Measured { rate, micros: micros.map(|micros| micros / (arrived - before.1) as f64) })
}

/// CPU time of a process so far. Linux reports it in hundredths of a second.
pub fn cpu_micros(server: &Server) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process_id()?)).ok()?;
    // The name in parentheses may contain spaces. User and system time are the 12th and 13th field after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
    Some(f64::from(ticks) * 1e4)
}

/// Starts an engine with `hooks` hooks at `sink`, and returns the target for posts.
pub async fn engine(
    sink: &Sink,
    hooks: usize,
    pipeline: Value,
    path: &str,
    bodies: Vec<Bytes>,
) -> Result<(Server, Target)> {
    engine_with(&[], sink, (hooks, pipeline), path, bodies).await
}

/// Like [`engine`], with these settings.
pub async fn engine_with(
    environment: &[(&str, &str)],
    sink: &Sink,
    (hooks, pipeline): (usize, Value),
    path: &str,
    bodies: Vec<Bytes>,
) -> Result<(Server, Target)> {
    let server = Server::start_with(binary(), environment).await;
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

/// Measures the time from the acceptance of an event to its arrival, at `rate` events per second, on an engine with the
/// settings of `environment`.
pub async fn latency(table: &mut Table, name: &str, environment: &[(&str, &str)], rate: f64) -> Result<()> {
    const TOTAL: u64 = 60_000;
    let accepted: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..TOTAL).map(|_| OnceLock::new()).collect());
    let arrived: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..TOTAL).map(|_| OnceLock::new()).collect());
    let count = Arc::new(AtomicU64::new(0));
    let on_arrival: OnArrival = {
        let (arrived, count) = (Arc::clone(&arrived), Arc::clone(&count));
        Arc::new(move |body| {
            // The number is the first member of the body.
            let number = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["number"].as_u64());
            if let Some(number) = number {
                let _ = arrived[number as usize].set(Instant::now());
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    let sink = Sink::start(Some(on_arrival)).await?;
    let bodies = (0..TOTAL).map(event).collect();
    let (server, target) = engine_with(environment, &sink, (1, json!([])), "/api/v3/events", bodies).await?;
    let on_accepted = {
        let accepted = Arc::clone(&accepted);
        Arc::new(move |number: u64| {
            let _ = accepted[number as usize].set(Instant::now());
        })
    };
    load::paced(&target, rate, TOTAL, on_accepted).await?;
    let began = Instant::now();
    while count.load(Ordering::Relaxed) < TOTAL && began.elapsed() < TIMEOUT {
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
        name,
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
