//! What the engine does in a second, beside what the same machine does without it.
//!
//! `cargo bench -p hookwright-tests` prints one table. Load and receiver run in this process, what
//! stands between them in one of its own: nothing (a), a bare relay (b), or the real binary with its
//! database synced to disk (c to f). Same cores, same connections, same payloads, in turns.
//!
//! Names of rows after `--` run these alone: `throughput`, `calls`, `memory`; and, of these, `compared`, rows (c) to
//! (f) without (a) and (b), and `plugins`, memory with a hundred plugins. With `HOOKWRIGHT_BENCH_BINARY`,
//! another build of the engine is measured, so that two can be compared in turn.
//!
//! Figures are printed, never asserted: machines differ.

mod calls;
mod engine;
mod load;
mod memory;
mod relay;
mod sink;
mod table;

use std::time::Duration;

use anyhow::Result;

/// Connections of the load, as many as requests under way.
pub const CONNECTIONS: usize = 64;
/// How many deliveries may be under way before the load waits for arrivals.
pub const WINDOW: u64 = 1_024;
/// How long each row is measured, each time.
pub const MEASURED: Duration = Duration::from_secs(5);
/// How long each row runs before it is measured.
pub const WARM_UP: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    // Cargo passes `--bench`; what is left names the rows to run, all if none.
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
    if wanted.iter().any(|want| want == "plugins") {
        runtime()?.block_on(memory::many_plugins(&mut table))?;
    }
    table.print();
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
