//! A proof that nothing is lost while nodes and PostgreSQL are killed. Needs the programs of PostgreSQL.
//!
//! `cargo bench -p hookwright-tests --bench soak -- --kills 200 --postgres-kills 50` prints a table, and fails if a delivery
//! is lost or one of the other rules of the table is broken. Options and their defaults:
//!
//! - `--nodes 3`, `--rate 300` events a second, `--seed 1` for the order of disruptions
//! - `--keys 100` ordering keys, `--ordered-rate 100` events with one of them a second
//! - `--kills 20`: nodes that are killed with SIGKILL and started at once
//! - `--deaths 2`: nodes that are killed and started when others have taken over what they held
//! - `--postgres-kills 5`: of the server, alternately with SIGKILL and in its mode `immediate`
//! - `--pauses 1` of `--pause-s 30` seconds, with SIGSTOP and SIGCONT
//!
//! `HOOKWRIGHT_BENCH_BINARY` runs another build of the engine.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use hookwright_tests::soak::{self, Scenario};

fn main() -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(soak::run(binary().into(), scenario()?))?;
    println!("{report}");
    Ok(if report.violations().is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_hookwright-under-test");
    #[expect(clippy::disallowed_methods, reason = "a setting of the benchmark")]
    std::env::var_os("HOOKWRIGHT_BENCH_BINARY").filter(|path| !path.is_empty()).unwrap_or(built.into()).into()
}

fn scenario() -> Result<Scenario> {
    let mut scenario = Scenario {
        nodes: 3,
        rate: 300,
        keys: 100,
        ordered_rate: 100,
        kills: 20,
        deaths: 2,
        postgres_kills: 5,
        pauses: 1,
        pause: Duration::from_secs(30),
        seed: 1,
        progress: |disruption| eprintln!("{disruption}"),
    };
    // Cargo passes `--bench`.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a number"))?;
        let number: u64 = value.parse().with_context(|| format!("{name} needs a number, not `{value}`"))?;
        match name.as_str() {
            "--nodes" => scenario.nodes = usize::try_from(number)?,
            "--rate" => scenario.rate = u32::try_from(number)?,
            "--keys" => scenario.keys = usize::try_from(number)?,
            "--ordered-rate" => scenario.ordered_rate = u32::try_from(number)?,
            "--kills" => scenario.kills = number,
            "--deaths" => scenario.deaths = number,
            "--postgres-kills" => scenario.postgres_kills = number,
            "--pauses" => scenario.pauses = number,
            "--pause-s" => scenario.pause = Duration::from_secs(number),
            "--seed" => scenario.seed = number,
            _ => bail!("unknown option `{name}`; the head of tests/benches/soak/main.rs lists them"),
        }
    }
    Ok(scenario)
}
