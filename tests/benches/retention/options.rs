//! The options of the command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Events in a second.
    pub rate: u64,
    /// How many seconds stand for a month.
    pub period_s: u64,
    /// For how many of them is measured, after the first one.
    pub periods: u64,
    pub rounds: u64,
    /// Whether the database is on PostgreSQL.
    pub is_on_postgres: bool,
    /// Days that are too old from the beginning, on PostgreSQL.
    pub days: u64,
    pub events_a_day: u64,
}

impl Options {
    pub fn from_arguments() -> Result<Self> {
        let mut options = Self {
            rate: 2_000,
            period_s: 120,
            periods: 3,
            rounds: 2,
            is_on_postgres: false,
            days: 10,
            events_a_day: 50_000,
        };
        // Cargo passes `--bench`.
        let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
        while let Some(name) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{name} needs a number"))?;
            let number: u64 =
                value.parse().with_context(|| format!("{name} needs a number, not `{value}`"))?;
            match name.as_str() {
                "--rate" => options.rate = number,
                "--period-s" => options.period_s = number,
                "--periods" => options.periods = number,
                "--rounds" => options.rounds = number,
                "--postgres" => options.is_on_postgres = number > 0,
                "--days" => options.days = number,
                "--events-a-day" => options.events_a_day = number,
                _ => bail!("unknown option `{name}`; the head of tests/benches/retention/main.rs lists them"),
            }
        }
        ensure!(
            options.rate > 0 && options.period_s > 0 && options.periods > 0 && options.rounds > 0,
            "all must be positive"
        );
        Ok(options)
    }

    /// How many events are published.
    pub fn events(&self) -> u64 {
        self.rate * self.period_s * (1 + self.periods)
    }

    /// The first event whose times count: when the database has all that it should retain. On PostgreSQL, the first day
    /// is deleted soon after it by default.
    pub fn first_measured(&self) -> u64 {
        // What is too old is looked for each second.
        self.rate * (self.period_s + 3.min(self.period_s))
    }
}

/// The engine that is measured.
pub fn binary() -> PathBuf {
    let built = env!("CARGO_BIN_EXE_hookwright-under-test");
    #[expect(clippy::disallowed_methods, reason = "a setting of the benchmark")]
    std::env::var_os("HOOKWRIGHT_BENCH_BINARY").filter(|path| !path.is_empty()).unwrap_or(built.into()).into()
}
