//! The figures in words.

use crate::engine::{Run, Sample};
use crate::options::Options;
use crate::times::Latency;

const MB: f64 = 1_000_000.0;

/// One pair of runs: the one that deletes, and the one that keeps everything.
pub fn line(options: &Options, deleting: &Run, keeping: &Run) -> String {
    format!("{}\n{}", size(options, deleting, keeping), times(deleting, keeping))
}

/// The medians of all rounds, with the aims.
pub fn summary(options: &Options, rounds: &[(Run, Run)]) -> String {
    let mut lines = Vec::new();
    if !options.is_on_postgres {
        let ratios =
            rounds.iter().map(|(deleting, keeping)| largest(options, deleting) / retained(options, keeping));
        lines.push(aim("size of database and log to what is retained", median(ratios.collect())));
    }
    for (name, of) in [
        ("p99 of acceptance", (|run: &Run| run.acceptance.p99) as fn(&Run) -> f64),
        ("p99 from request to arrival", |run: &Run| run.arrival.p99),
    ] {
        let ratios = rounds.iter().map(|(deleting, keeping)| of(deleting) / of(keeping));
        lines.push(aim(&format!("{name} to that without deletions"), median(ratios.collect())));
    }
    lines.join("\n")
}

fn aim(name: &str, ratio: f64) -> String {
    let outcome = if ratio <= 1.1 { "met" } else { "missed" };
    format!("{name:55} {ratio:5.2}  (aim: at most 1.10, {outcome})")
}

fn size(options: &Options, deleting: &Run, keeping: &Run) -> String {
    if options.is_on_postgres {
        let days = |samples: &[Sample]| samples.iter().map(|sample| sample.days).collect::<Vec<_>>();
        let days = days(&deleting.samples);
        let (first, last) = (days.first().copied().unwrap_or(0), days.last().copied().unwrap_or(0));
        let bytes = |sample: Option<&Sample>| sample.map_or(f64::NAN, |sample| sample.bytes() as f64 / MB);
        return format!(
            "days that are too old: {first}, {last} at the end; database {:.0} MB, {:.0} MB at the end",
            bytes(deleting.samples.first()),
            bytes(deleting.samples.last())
        );
    }
    let (retained, largest) = (retained(options, keeping), largest(options, deleting));
    let log = steady(options, deleting).map(|sample| sample.log).max().unwrap_or(0) as f64;
    format!(
        "retained {:.1} MB; database and log at most {:.1} MB, {:.3} of it (log at most {:.1} MB); without deletions {:.1} MB",
        retained / MB,
        largest / MB,
        largest / retained,
        log / MB,
        keeping.samples.last().map_or(f64::NAN, |sample| sample.bytes() as f64 / MB),
    )
}

/// The largest size after the first period.
fn largest(options: &Options, run: &Run) -> f64 {
    steady(options, run).map(|sample| sample.bytes()).max().unwrap_or(0) as f64
}

fn steady<'r>(options: &Options, run: &'r Run) -> impl Iterator<Item = &'r Sample> {
    let first = options.first_measured();
    run.samples.iter().filter(move |sample| sample.accepted >= first)
}

/// What an engine without deletions needs for the events of one period.
fn retained(options: &Options, keeping: &Run) -> f64 {
    let events = options.rate * options.period_s;
    let found = keeping.samples.iter().find(|sample| sample.accepted >= events);
    found.map_or(f64::NAN, |sample| sample.bytes() as f64 * events as f64 / sample.accepted as f64)
}

fn times(deleting: &Run, keeping: &Run) -> String {
    let both = |name: &str, with: Latency, without: Latency| {
        format!(
            "{name}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms; without deletions {:.2}, {:.2}, {:.2} ms; p99 {:.2} of it; {} missing",
            with.p50,
            with.p99,
            with.p999,
            without.p50,
            without.p99,
            without.p999,
            with.p99 / without.p99,
            with.missing + without.missing
        )
    };
    [
        both("acceptance", deleting.acceptance, keeping.acceptance),
        both("arrival", deleting.arrival, keeping.arrival),
    ]
    .join("\n")
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
