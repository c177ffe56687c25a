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
/// Requests that do not wait delay the next one by no more than this many intervals.
const MOST_AHEAD: u32 = 4;

/// A hook or a tenant with a rate has no more in memory than may start in this time, so that leases are not held for long.
pub(super) const QUEUED_TIME: Duration = Duration::from_secs(4);

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
        // What is earlier than any time is in the past.
        self.due.checked_sub(self.tolerance()).filter(|at| *at > now)
    }

    fn tolerance(&self) -> Duration {
        BURST.saturating_sub(self.rate.interval()).max(LATE)
    }

    /// A request starts, even if it is not ready. Returns whether it counts: what did not wait may have delayed the next
    /// one for long enough.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.max(now) + self.rate.interval();
        let counts = due <= now + self.tolerance() + self.rate.interval() * MOST_AHEAD;
        if counts {
            self.due = due;
        }
        self.last = now;
        counts
    }

    /// A request that started at `started_at` was not sent. What had been possible before a later one is not any more.
    pub(super) fn give_back(&mut self, started_at: Instant) {
        let interval = self.rate.interval();
        let earlier = self.due.checked_sub(interval).unwrap_or(self.due);
        self.due = if started_at < self.last { earlier.max(self.last + interval) } else { earlier };
    }

    /// From now on, another rate holds. What was to be waited for stays, unless it is longer than what the new rate wants
    /// after a burst: so no number of changes allows more than the higher rate.
    pub(super) fn set_rate(&mut self, rate: Rate, now: Instant) {
        if rate != self.rate {
            self.rate = rate;
            self.due = self.due.min(now + self.tolerance() + rate.interval());
        }
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
                    assert!(pacer.take(now));
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
        assert_eq!(pacer.ready_at(now), Some(now + Duration::from_millis(20)));
        pacer.set_rate(Rate::nearest(0.01), now);
        assert!(pacer.ready_at(now).unwrap() <= now + Duration::from_secs(100));
    }

    #[test]
    fn changes_of_a_rate_allow_no_more_than_the_higher_one() {
        for (rate, other) in [(50.0, 50.0), (50.0, 49.0), (50.0, 0.01), (1.0, 0.9)] {
            let begin = clock::monotonic();
            let mut pacer = Pacer::new(Rate::nearest(rate), begin);
            let mut count = 0;
            // For ten seconds, the rate changes each five milliseconds.
            for step in 0..2_000_u32 {
                let now = begin + Duration::from_millis(5) * step;
                while pacer.ready_at(now).is_none() {
                    pacer.take(now);
                    count += 1;
                }
                pacer.set_rate(Rate::nearest(if step % 2 == 0 { other } else { rate }), now);
            }
            assert!(f64::from(count) <= 10.0 * rate + 6.0, "{count} at {rate} and {other}");
        }
    }

    #[test]
    fn what_does_not_wait_delays_the_next_one_for_a_limited_time() {
        let now = clock::monotonic();
        let mut pacer = Pacer::new(Rate::nearest(1.0), now);
        let counted = (0..1_000).filter(|_| pacer.take(now)).count();
        let ready = pacer.ready_at(now).unwrap();
        assert!(counted == 4 && ready > now + Duration::from_secs(3) && ready < now + Duration::from_secs(5));
        // What did not count is not given back, so the first of them still counts.
        (1..counted).for_each(|_| pacer.give_back(now));
        assert!(pacer.ready_at(now).is_some());
    }
}
