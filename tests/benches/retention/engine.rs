//! One run of an engine under load.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hookwright::storage::postgres::temporary::{self, TemporaryServer};
use hookwright_tests::database::Database;
use hookwright_tests::{Client, Program, Server, TIMEOUT};
use serde_json::{Value, json};

use crate::days;
use crate::load::{self, EVENT_TYPE};
use crate::options::{Options, binary};
use crate::sink::Sink;
use crate::times::{Latency, Times};

/// How often sizes are taken.
const SAMPLED_EVERY: Duration = Duration::from_millis(500);
/// A month.
const MONTH_S: u64 = 30 * 86_400;

/// The size of the database at one time, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// How many events were accepted.
    pub accepted: u64,
    pub database: u64,
    /// The write-ahead log, of SQLite.
    pub log: u64,
    /// Days that are too old, on PostgreSQL.
    pub days: u64,
}

impl Sample {
    pub fn bytes(&self) -> u64 {
        self.database + self.log
    }
}

/// What was measured.
#[derive(Debug)]
pub struct Run {
    pub samples: Vec<Sample>,
    pub acceptance: Latency,
    pub arrival: Latency,
}

/// The database of a run.
enum Place {
    File(std::path::PathBuf),
    Postgres { url: String, _server: TemporaryServer },
}

/// Runs an engine that deletes, or one that keeps everything.
pub async fn run(options: &Options, deletes: bool) -> Result<Run> {
    let keep = if options.is_on_postgres { MONTH_S } else { options.period_s };
    let keep = if deletes { keep.to_string() } else { "off".to_owned() };
    // The engine ends before its database.
    let (place, server) = start(options, &keep).await?;
    let times = Times::new(options.events());
    let arriving = times.clone();
    let sink = Sink::start(Some(Arc::new(move |body: &[u8]| {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        if let Some(number) = body["number"].as_u64() {
            arriving.arrived(number);
        }
    })))
    .await?;
    let key = server.tenant_key("bench").await;
    let client = Client::new(server.base(), &key);
    let hook = json!({"url": format!("http://{}/", sink.address), "types": [EVENT_TYPE]});
    client.post("/hooks", hook).await.expect(201);
    if let Place::Postgres { url, .. } = &place {
        client.finished(&client.publish(EVENT_TYPE, json!({"note": "x".repeat(850)})).await).await;
        days::fill(url, options.days, options.events_a_day).await?;
    }
    let address = server.base().trim_start_matches("http://").parse().context("an address")?;
    let published = Arc::<AtomicU64>::default();
    let load = load::publish((address, &key), (options.rate, options.events()), &times, &published);
    let mut samples = Vec::new();
    tokio::select! {
        done = load => done?,
        failed = sample(&place, &published, &mut samples) => failed?,
    }
    let ended = Instant::now();
    while !times.all_arrived() {
        ensure!(ended.elapsed() < TIMEOUT, "not all events arrive");
        tokio::time::sleep(SAMPLED_EVERY).await;
    }
    let (acceptance, arrival) = times.latencies(options.first_measured());
    Ok(Run { samples, acceptance, arrival })
}

async fn start(options: &Options, keep: &str) -> Result<(Place, Server)> {
    let environment = [("HOOKWRIGHT_RETAIN_EVENTS_S", keep)];
    let program = Program::from(binary());
    if !options.is_on_postgres {
        let server = Server::start_with(program, &environment).await;
        let file = server.data_dir().join("hookwright.db");
        ensure!(file.exists(), "the engine's database is not in its data directory");
        return Ok((Place::File(file), server));
    }
    let binaries =
        temporary::installed().context("PostgreSQL is not installed (Debian: apt-get install postgresql)")?;
    let postgres = TemporaryServer::start_with(
        &binaries,
        true,
        "shared_buffers = '256MB'\nmax_wal_size = '2GB'\nautovacuum_naptime = '15s'\n",
    )?;
    let database = Database::on(&postgres.url(), "retention").await;
    let url = database.url();
    let server = Server::start_on(program, database, &environment).await;
    Ok((Place::Postgres { url, _server: postgres }, server))
}

/// Takes samples until it is dropped, or fails.
async fn sample(place: &Place, published: &AtomicU64, samples: &mut Vec<Sample>) -> Result<()> {
    loop {
        tokio::time::sleep(SAMPLED_EVERY).await;
        let accepted = published.load(Ordering::Relaxed);
        let (database, log, days) = match place {
            Place::File(file) => {
                let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |found| found.len());
                (size(file), size(&file.with_extension("db-wal")), 0)
            }
            Place::Postgres { url, .. } => {
                let (bytes, days) = days::size(url).await?;
                (bytes, 0, days)
            }
        };
        samples.push(Sample { accepted, database, log, days });
    }
}
