//! Throughput of the engine, compared with that of the same machine without it.
//!
//! `cargo bench -p hookwright-tests` prints one table. Load and receiver run in this process. Between them is nothing
//! (a), a minimal relay in its own process (b), or the real binary with its database synced to disk (c to f), with the
//! same cores, connections and payloads, alternating.
//!
//! Arguments after `--` select rows: `throughput`, `calls`, `memory`; `compared`, which is rows (c) to (f) without (a)
//! and (b); `plugins`, which is memory with a hundred plugins. `HOOKWRIGHT_BENCH_BINARY` measures another build of the
//! engine, to compare two builds. `postgres` and `growth` measure the engine on a PostgreSQL database: see [`postgres`].
//!
//! Figures are printed and not asserted, because machines differ.

mod calls;
mod engine;
mod load;
mod memory;
mod postgres;
mod relay;
mod sink;
mod table;

use std::time::Duration;

use anyhow::Result;

/// Connections of the load, which is also the number of concurrent requests.
pub const CONNECTIONS: usize = 64;
/// Number of unfinished deliveries at which the load waits for arrivals.
pub const WINDOW: u64 = 1_024;
/// Duration of one measurement.
pub const MEASURED: Duration = Duration::from_secs(5);
/// Time before each measurement.
pub const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    // Cargo passes `--bench`. The other arguments select rows; without any, all run.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if wanted.first().is_some_and(|first| first == relay::ARGUMENT) {
        return runtime()?.block_on(relay::run(&wanted[1]));
    }
    let runs = |row: &str| wanted.is_empty() || wanted.iter().any(|want| want == row);
    let mut table = table::Table::new();
    if runs("throughput") {
        runtime()?.block_on(engine::throughput(&mut table))?;
    }
    if runs("calls") {
        calls::run(&mut table)?;
    }
    if runs("memory") {
        runtime()?.block_on(memory::run(&mut table))?;
    }
    if wanted.iter().any(|want| want == "compared") {
        runtime()?.block_on(engine::compared(&mut table))?;
    }
    if wanted.iter().any(|want| want == "postgres") {
        runtime()?.block_on(postgres::throughput(&mut table))?;
    }
    if wanted.iter().any(|want| want == "growth") {
        runtime()?.block_on(postgres::growth(&mut table))?;
    }
    if wanted.iter().any(|want| want == "plugins") {
        runtime()?.block_on(memory::many_plugins(&mut table))?;
    }
    table.print();
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
