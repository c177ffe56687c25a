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

impl Snapshot {
    /// What was counted after `earlier`, a snapshot of the same histogram.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.buckets.iter().zip(&earlier.buckets);
        let buckets: Vec<_> =
            counts.map(|((bound, now), (_, then))| (*bound, now.saturating_sub(*then))).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Self { sum: self.sum - earlier.sum, count, buckets }
    }

    /// About the value that this share of the values does not exceed: values are taken for evenly spread over their range. Of
    /// the last range, which has no end, it is the beginning. `None` if nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let rank = (self.count > 0).then_some(share * self.count as f64)?;
        let (mut below, mut lower) = (0.0, 0.0);
        for (bound, count) in &self.buckets {
            let count = *count as f64;
            if count > 0.0 && below + count >= rank {
                let part = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(if bound.is_finite() { lower + (bound - lower) * part } else { lower });
            }
            below += count;
            lower = *bound;
        }
        Some(lower)
    }
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

    #[test]
    fn quantiles_are_those_of_what_was_counted_since() {
        let histogram = Histogram::of_durations(&[1_000, 2_000, 4_000]);
        (0..90).for_each(|_| histogram.observe(Duration::from_micros(4_000)));
        let before = histogram.snapshot();
        assert_eq!(before.since(&before).quantile(0.5), None);
        (0..10).for_each(|_| histogram.observe(Duration::from_micros(1_500)));
        let since = histogram.snapshot().since(&before);
        assert_eq!(since.count, 10);
        for (share, expected) in [(0.0, 0.001), (0.5, 0.0015), (1.0, 0.002)] {
            let quantile = since.quantile(share).unwrap();
            assert!((quantile - expected).abs() < 1e-9, "{share}: {quantile}");
        }
        histogram.observe(Duration::from_secs(9));
        let last = histogram.snapshot().since(&before).quantile(1.0).unwrap();
        assert!((last - 0.004).abs() < 1e-9, "{last}: of a range without an end, its beginning");
    }
}
