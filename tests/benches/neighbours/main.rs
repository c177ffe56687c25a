//! Effects of abuse by other tenants on a well-behaved tenant and on the engine.
//!
//! `cargo bench -p hookwright-tests --bench neighbours` prints one table: the tenant alone, with each kind of abuse,
//! and with all of them at once. Each row starts an engine, the real binary with 1,024 file descriptors. The row
//! `all` also runs in a control group of 512 MB.
//!
//! Arguments after `--` select rows, such as `half-sent-batches` or `all`; without any, all run. `list` prints the
//! names. `HOOKWRIGHT_BENCH_BINARY` measures another build of the engine.
//!
//! Figures are printed and not asserted, because machines differ. Aims: a p99 of at most twice that of the tenant
//! alone, and at most 400 MB.

mod abuse;
mod abuses;
mod limits;
mod memory;
mod peer;
mod row;
#[expect(dead_code, reason = "this benchmark distinguishes arrivals and does not count them")]
#[path = "../engine/sink.rs"]
mod sink;
mod site;
mod table;
mod victim;

use anyhow::{Context as _, Result};

use abuse::Abuse;
use limits::Limits;
use row::{Row, Setting};

/// The row with all abuses at once.
const ALL: &str = "all";

fn main() -> Result<()> {
    // Cargo passes `--bench`. The other arguments select rows.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let abuses = abuses::all();
    if wanted.iter().any(|row| row == "list") {
        for abuse in &abuses {
            println!("{:20}  {}", abuse.name(), abuse.what());
        }
        println!("{ALL:20}  all of them at once, in a control group of 512 MB");
        return Ok(());
    }
    let known = |row: &String| row == ALL || abuses.iter().any(|abuse| abuse.name() == row);
    if let Some(unknown) = wanted.iter().find(|row| !known(row)) {
        anyhow::bail!("unknown row `{unknown}`; `list` prints those that exist");
    }
    let runs = |row: &str| wanted.is_empty() || wanted.iter().any(|want| want == row);

    limits::raise_own_descriptors();
    let runtimes = site::Runtimes::start()?;
    let run =
        |setting: &Setting<'_>| runtimes.measuring.block_on(row::measure(setting, runtimes.abusing.handle()));
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |row: Row| {
        let alone = rows.first().map_or_else(|| row.figures.clone(), |alone| alone.figures.clone());
        eprintln!("{}", table::line(&row, &alone));
        rows.push(row);
    };
    let descriptors = Limits::descriptors_only();
    add(run(&Setting { name: "alone", abuses: &[], limits: &descriptors }).context("alone")?);
    let mut failed = Vec::new();
    for abuse in abuses.iter().filter(|abuse| runs(abuse.name())) {
        let one: &[&dyn Abuse] = &[&**abuse];
        match run(&Setting { name: abuse.name(), abuses: one, limits: &descriptors }) {
            Ok(row) => add(row),
            Err(error) => failed.push(format!("{}: {error:#}", abuse.name())),
        }
    }
    if runs(ALL) {
        let group = Limits::with_control_group();
        eprintln!("{ALL}: {}", group.description());
        let each: Vec<&dyn Abuse> = abuses.iter().map(|abuse| &**abuse).collect();
        match run(&Setting { name: ALL, abuses: &each, limits: &group }) {
            Ok(row) => add(row),
            Err(error) => failed.push(format!("{ALL}: {error:#}")),
        }
    }
    table::print(&rows);
    failed.iter().for_each(|row| println!("not measured: {row}"));
    Ok(())
}
