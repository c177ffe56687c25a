//! How often values were in which range.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts values by ranges. Values and bounds are whole numbers of a small unit, such as a microsecond.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    /// The upper bounds of the ranges, in ascending order.
    bounds: &'static [u64; N],
    /// How many small units one unit of the exported figure has.
    scale: f64,
    counts: [AtomicU64; N],
    /// How many values were above all bounds.
    above: AtomicU64,
    sum: AtomicU64,
}

/// What a histogram has counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The sum of all values.
    pub sum: f64,
    /// How many values there were.
    pub count: u64,
    /// Each range's upper bound, the last one infinite, with the number of values in it.
    pub buckets: Vec<(f64, u64)>,
}

impl<const N: usize> Histogram<N> {
    /// Counts durations, by bounds in microseconds. The figure is in seconds.
    #[must_use]
    pub const fn of_durations(bounds_us: &'static [u64; N]) -> Self {
        Self::new(bounds_us, 1_000_000.0)
    }

    /// Counts numbers.
    #[must_use]
    pub const fn of_numbers(bounds: &'static [u64; N]) -> Self {
        Self::new(bounds, 1.0)
    }

    const fn new(bounds: &'static [u64; N], scale: f64) -> Self {
        let counts = [const { AtomicU64::new(0) }; N];
        Self { bounds, scale, counts, above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        self.observe_number(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX >> 8));
    }

    /// Counts a number.
    pub fn observe_number(&self, number: u64) {
        let range = self.bounds.partition_point(|bound| *bound < number);
        self.counts.get(range).unwrap_or(&self.above).fetch_add(1, Relaxed);
        self.sum.fetch_add(number, Relaxed);
    }

    /// What was counted. A value that is counted meanwhile may be in only a part of it.
    pub fn snapshot(&self) -> Snapshot {
        let counts = self.counts.iter().chain([&self.above]).map(|count| count.load(Relaxed));
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / self.scale).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Snapshot { sum: self.sum.load(Relaxed) as f64 / self.scale, count, buckets }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_counts_in_the_range_whose_upper_bound_it_does_not_exceed() {
        let histogram = Histogram::of_durations(&[1_000, 5_000]);
        for micros in [0, 1_000, 1_001, 5_000, 5_001, 90_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let expected =
            Snapshot { sum: 0.102_002, count: 6, buckets: vec![(0.001, 2), (0.005, 2), (f64::INFINITY, 2)] };
        assert_eq!(histogram.snapshot(), expected);
        histogram.observe(Duration::MAX);
        assert_eq!(histogram.snapshot().count, 7);
    }
}
