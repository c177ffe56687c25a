//! Whether deleting what is too old keeps up, disturbs nobody, and gives its space back.
//!
//! `cargo bench -p hookwright-tests --bench retention` publishes at a steady rate, alternately to an engine that deletes
//! and to one that keeps everything. A month passes in `--period-s` seconds: as much is deleted as is accepted, as in a
//! real month. When the first period has passed, the database has all that it should retain, and the table says how large
//! it is then, compared with what an engine without deletions needs for the events of one period; and the p99 of both.
//! Options and their defaults:
//!
//! - `--rate 2000` events a second, `--period-s 120`, `--periods 3` that are measured, `--rounds 2`
//! - `--postgres 1`: on PostgreSQL, which deletes a month by whole days. There, `--days 10` days of `--events-a-day 50000`
//!   are too old when the load begins. About one of them is deleted in 75 seconds.
//!
//! `HOOKWRIGHT_BENCH_BINARY` runs another build of the engine. A database of less than 400 MB misses the aim for its size,
//! because 16 MB of free space are kept in the file in any case. Figures are printed and not asserted.

mod days;
mod engine;
mod load;
mod options;
mod report;
#[expect(dead_code, reason = "this benchmark distinguishes arrivals and does not count them")]
#[path = "../engine/sink.rs"]
mod sink;
mod times;

use anyhow::Result;

use options::Options;

fn main() -> Result<()> {
    let options = Options::from_arguments()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rounds = Vec::new();
    for round in 1..=options.rounds {
        let keeping = runtime.block_on(engine::run(&options, false))?;
        let deleting = runtime.block_on(engine::run(&options, true))?;
        eprintln!("round {round} of {}: {}", options.rounds, report::line(&options, &deleting, &keeping));
        rounds.push((deleting, keeping));
    }
    println!("\n{}", report::summary(&options, &rounds));
    Ok(())
}
