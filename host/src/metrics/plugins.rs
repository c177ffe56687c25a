//! Calls of plugins, and their compilation.

use std::time::Duration;

use super::counter::{Counter, Counters};
use super::histogram::Histogram;
use super::label::Label as _;
use crate::domain::FaultKind;

/// How many standard plugins are told apart, at most. All plugins of tenants count as one.
const MAX_STANDARD: usize = 31;
const FAULT_KINDS: usize = 8;

/// What is known of one plugin.
#[derive(Debug)]
pub struct PluginFigures {
    /// How long its steps took.
    pub seconds: Histogram<11>,
    /// The fuel that they used.
    pub fuel: Counter,
    /// Its faults, by [`FaultKind`].
    pub faults: Counters<FAULT_KINDS>,
}

impl PluginFigures {
    const fn new() -> Self {
        Self {
            seconds: Histogram::of_durations(&[
                100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000,
            ]),
            fuel: Counter::new(),
            faults: Counters::new(),
        }
    }
}

static FIGURES: [PluginFigures; MAX_STANDARD + 1] = [const { PluginFigures::new() }; MAX_STANDARD + 1];

/// How long compilations took.
pub static COMPILE_SECONDS: Histogram<9> = Histogram::of_durations(&[
    50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 15_000_000, 60_000_000,
]);

/// The figures of the standard plugin with this index; without one, of tenants' plugins.
#[must_use]
pub fn figures(standard: Option<usize>) -> &'static PluginFigures {
    &FIGURES[standard.unwrap_or(MAX_STANDARD).min(MAX_STANDARD)]
}

/// Counts a step.
pub fn step_ended(standard: Option<usize>, duration: Duration, fuel: u64, fault: Option<FaultKind>) {
    let figures = figures(standard);
    figures.seconds.observe(duration);
    figures.fuel.add(fuel);
    if let Some(fault) = fault {
        figures.faults.at(fault.index()).increment();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Label;

    #[test]
    fn each_kind_of_fault_is_told_apart() {
        assert_eq!(<FaultKind as Label>::NAMES.len(), FAULT_KINDS);
    }
}
