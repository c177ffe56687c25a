//! Counts of a hook's attempts, by hour: how they ended, and how long receivers took.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::attempt::named_enum;
use super::{HookId, Invalid, Outcome, TenantId, UnixMillis};

named_enum! {
    /// How an attempt ended, for statistics.
    AttemptEnd {
        /// The receiver accepted the delivery.
        Succeeded = "succeeded",
        /// The receiver answered otherwise.
        Rejected = "rejected",
        /// There was no complete response in time.
        TimedOut = "timed_out",
        /// The receiver could not be reached.
        Unreachable = "unreachable",
        /// A plugin failed.
        Faulted = "faulted",
        /// The pipeline dropped the event.
        Dropped = "dropped",
    }
}

impl AttemptEnd {
    /// All ends, in the order of [`AttemptStats::ends`].
    pub const ALL: [Self; 6] =
        [Self::Succeeded, Self::Rejected, Self::TimedOut, Self::Unreachable, Self::Faulted, Self::Dropped];

    /// The end that an outcome is.
    #[must_use]
    pub fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Response(response) if response.is_success() => Self::Succeeded,
            Outcome::Response(_) => Self::Rejected,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::Unreachable { .. } => Self::Unreachable,
            Outcome::Faulted { .. } => Self::Faulted,
            Outcome::Dropped { .. } => Self::Dropped,
        }
    }
}

/// An hour: the number of hours since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour(pub i64);

impl Hour {
    const MILLIS: i64 = 3_600_000;

    /// The hour that `time` is in.
    #[must_use]
    pub fn of(time: UnixMillis) -> Self {
        Self(time.0.div_euclid(Self::MILLIS))
    }

    /// When it begins.
    #[must_use]
    pub fn begins_at(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(Self::MILLIS))
    }
}

/// How many attempts ended how, and how long receivers took.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttemptStats {
    /// How many attempts ended in which way, in the order of [`AttemptEnd::ALL`].
    pub ends: [u64; 6],
    /// How long those took that sent a request.
    pub latency: Histogram,
}

impl AttemptStats {
    /// Counts one attempt. `latency` is `None` if no request was sent.
    pub fn add(&mut self, end: AttemptEnd, latency: Option<Duration>) {
        self.ends[end as usize] += 1;
        if let Some(latency) = latency {
            self.latency.add(latency);
        }
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (count, other) in self.ends.iter_mut().zip(other.ends) {
            *count = count.saturating_add(other);
        }
        self.latency.merge(&other.latency);
    }

    /// The number of attempts.
    #[must_use]
    pub fn attempts(&self) -> u64 {
        self.ends.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The share of attempts that succeeded, of those that the pipeline did not drop. `None` if there were none.
    #[must_use]
    pub fn success_rate(&self) -> Option<f64> {
        let tried = self.attempts() - self.ends[AttemptEnd::Dropped as usize];
        (tried > 0).then(|| self.ends[AttemptEnd::Succeeded as usize] as f64 / tried as f64)
    }
}

/// Durations in buckets that are an eighth of a power of two wide: a percentile is at most an eighth too high.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(Vec<(u16, u64)>);

impl Histogram {
    /// The number of buckets: up to 2^36 microseconds, 19 hours.
    pub const BUCKETS: u16 = 34 * 8;

    /// A histogram from its buckets. `None` if they are not in ascending order, or one is out of range.
    #[must_use]
    pub fn from_buckets(buckets: Vec<(u16, u64)>) -> Option<Self> {
        let is_valid = buckets.is_sorted_by(|a, b| a.0 < b.0)
            && buckets.last().is_none_or(|(bucket, _)| *bucket < Self::BUCKETS);
        is_valid.then_some(Self(buckets))
    }

    /// The buckets that are not empty, with their counts, in ascending order.
    #[must_use]
    pub fn buckets(&self) -> &[(u16, u64)] {
        &self.0
    }

    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        self.add_many(Self::bucket_of(duration), 1);
    }

    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.0 {
            self.add_many(*bucket, *count);
        }
    }

    fn add_many(&mut self, bucket: u16, count: u64) {
        match self.0.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
            Err(at) => self.0.insert(at, (bucket, count)),
        }
    }

    /// The upper bound of the bucket in which the duration is that `percent` of all do not exceed. `None` if it is empty.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let total: u64 = self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count));
        let rank = total.saturating_mul(percent).div_ceil(100).max(1);
        let mut below = 0_u64;
        for (bucket, count) in &self.0 {
            below = below.saturating_add(*count);
            if below >= rank {
                return Some(Self::end_of(*bucket));
            }
        }
        None
    }

    fn bucket_of(duration: Duration) -> u16 {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(8);
        let power = micros.ilog2();
        let eighth = (micros >> (power - 3)) - 8;
        let bucket = u64::from(power - 3) * 8 + eighth;
        u16::try_from(bucket).unwrap_or(u16::MAX).min(Self::BUCKETS - 1)
    }

    fn end_of(bucket: u16) -> Duration {
        let (power, eighth) = (u32::from(bucket / 8), u64::from(bucket % 8));
        Duration::from_micros((9 + eighth) << power)
    }
}

/// What one hook's attempts came to in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookHour {
    /// The tenant of the hook.
    pub tenant: TenantId,
    /// The hook.
    pub hook: HookId,
    /// The hour in which they ended.
    pub hour: Hour,
    /// The counts.
    pub stats: AttemptStats,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_at_most_an_eighth_too_high() {
        for micros in [8, 9, 15, 16, 17, 100, 999, 1_000, 65_535, 1_234_567, 60_000_000] {
            let duration = Duration::from_micros(micros);
            let mut histogram = Histogram::default();
            histogram.add(duration);
            let found = histogram.percentile(50).unwrap();
            assert!(found > duration && found <= duration.mul_f64(1.126), "{duration:?} {found:?}");
        }
        assert_eq!(Histogram::default().percentile(99), None);
        for extreme in [Duration::ZERO, Duration::MAX] {
            let mut histogram = Histogram::default();
            histogram.add(extreme);
            assert!(Histogram::from_buckets(histogram.buckets().to_vec()).is_some());
        }
    }

    #[test]
    fn percentiles_count_from_below() {
        let mut histogram = Histogram::default();
        for millis in 1..=100 {
            histogram.add(Duration::from_millis(millis));
        }
        for percent in [1, 50, 95, 99, 100] {
            let found = histogram.percentile(percent).unwrap().as_secs_f64() * 1_000.0;
            let exact = percent as f64;
            assert!(found >= exact && found <= exact * 1.13, "{percent} {found}");
        }
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let ends = [AttemptEnd::Succeeded, AttemptEnd::Dropped, AttemptEnd::Rejected, AttemptEnd::Succeeded];
        let (mut whole, mut parts) =
            (AttemptStats::default(), [AttemptStats::default(), AttemptStats::default()]);
        for (number, end) in ends.into_iter().enumerate() {
            let latency = (end != AttemptEnd::Dropped).then(|| Duration::from_millis(7 << number));
            whole.add(end, latency);
            parts[number % 2].add(end, latency);
        }
        let [mut first, second] = parts;
        first.merge(&second);
        assert_eq!(first, whole);
        assert_eq!((whole.attempts(), whole.success_rate()), (4, Some(2.0 / 3.0)));
        assert_eq!(AttemptStats::default().success_rate(), None);
        for (at, end) in AttemptEnd::ALL.into_iter().enumerate() {
            assert_eq!(end as usize, at);
        }
    }

    #[test]
    fn damaged_buckets_are_refused() {
        for buckets in [vec![(2, 1), (2, 1)], vec![(3, 1), (2, 1)], vec![(Histogram::BUCKETS, 1)]] {
            assert_eq!(Histogram::from_buckets(buckets), None);
        }
    }
}
