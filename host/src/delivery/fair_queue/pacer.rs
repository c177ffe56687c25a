//! Spaces requests in time, by the generic cell rate algorithm (ITU-T I.371, annex A).
//!
//! A request is due one interval after the one before, and may start earlier by a tolerance. So in any time `t` no more
//! start than `(t + tolerance) / interval + 1`. A request that was not sent after all is given back, which crates for rate
//! limits do not offer.

use std::time::{Duration, Instant};

use crate::domain::{HookId, Rate, TenantId};

/// At once there start at most as many requests as the rate allows in this time, but at least one.
const BURST: Duration = Duration::from_millis(100);
/// A request that starts so late delays none of those after it: timers are not exact.
const LATE: Duration = Duration::from_millis(20);

/// A hook or a tenant with a rate has no more in memory than may start in this time, so that leases are not held for long.
const QUEUED_TIME: Duration = Duration::from_secs(4);

/// How many deliveries may be queued because of a rate.
pub(super) fn most_queued(rate: Rate) -> usize {
    rate.in_time(QUEUED_TIME).max(1)
}

/// Who starts nothing before a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Delayed {
    Hook(HookId),
    Tenant(TenantId),
}

/// See the module's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pacer {
    rate: Rate,
    /// When the next request is due.
    due: Instant,
    /// When the last one started.
    last: Instant,
}

impl Pacer {
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, due: now, last: now }
    }

    /// When the next request may start, if not `now`.
    pub(super) fn ready_at(&self, now: Instant) -> Option<Instant> {
        let tolerance = BURST.saturating_sub(self.rate.interval()).max(LATE);
        // What is earlier than any time is in the past.
        self.due.checked_sub(tolerance).filter(|at| *at > now)
    }

    /// A request starts, even if it is not ready.
    pub(super) fn take(&mut self, now: Instant) {
        self.due = self.due.max(now) + self.rate.interval();
        self.last = now;
    }

    /// A request that started at `started_at` was not sent. What had been possible before a later one is not any more.
    pub(super) fn give_back(&mut self, started_at: Instant) {
        let interval = self.rate.interval();
        let earlier = self.due.checked_sub(interval).unwrap_or(self.due);
        self.due = if started_at < self.last { earlier.max(self.last + interval) } else { earlier };
    }

    /// From now on, another rate holds. What was to be waited for is scaled, to one interval at most.
    pub(super) fn set_rate(&mut self, rate: Rate, now: Instant) {
        let scale = self.rate.as_f64() / rate.as_f64();
        let left = self.due.saturating_duration_since(now).mul_f64(scale);
        self.due = now + left.min(rate.interval());
        self.rate = rate;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// How many of requests that start as soon as they may, `late` after a timer, start within `time`.
    fn started(rate: f64, time: Duration, late: Duration) -> usize {
        let begin = clock::monotonic();
        let mut pacer = Pacer::new(Rate::nearest(rate), begin);
        let (mut now, mut count) = (begin, 0);
        while now < begin + time {
            match pacer.ready_at(now) {
                Some(at) => now = at + late,
                None => {
                    pacer.take(now);
                    count += 1;
                }
            }
        }
        count
    }

    #[test]
    fn a_rate_is_kept_within_five_percent_and_late_timers_cost_nothing() {
        let minute = Duration::from_secs(60);
        for late in [0, 2, 15].map(Duration::from_millis) {
            for (rate, expected) in
                [(0.05, 3), (1.0, 60), (7.0, 420), (12.0, 720), (50.0, 3_000), (2_000.0, 120_000)]
            {
                let count = started(rate, minute, late);
                let most = expected + (expected / 500).max(1);
                assert!((expected..=most).contains(&count), "{count} at {rate}/s, {late:?} late");
            }
        }
    }

    #[test]
    fn what_was_not_sent_may_be_sent_again() {
        let now = clock::monotonic();
        let mut pacer = Pacer::new(Rate::nearest(1.0), now);
        pacer.take(now);
        assert!(pacer.ready_at(now).is_some());
        pacer.give_back(now);
        assert_eq!(pacer.ready_at(now), None);
        // After a pause there is still only one, also if it becomes known late that one before it was not sent.
        pacer.take(now);
        let later = now + Duration::from_secs(60);
        pacer.take(later);
        pacer.give_back(now);
        assert!(pacer.ready_at(later).is_some());
    }

    #[test]
    fn a_higher_rate_ends_a_long_wait() {
        let now = clock::monotonic();
        let mut pacer = Pacer::new(Rate::nearest(0.01), now);
        pacer.take(now);
        assert!(pacer.ready_at(now).unwrap() > now + Duration::from_secs(99));
        pacer.set_rate(Rate::nearest(50.0), now);
        assert_eq!(pacer.ready_at(now), None);
        pacer.set_rate(Rate::nearest(0.01), now);
        assert!(pacer.ready_at(now).unwrap() <= now + Duration::from_secs(100));
    }
}
