//! Notices that the wall clock was set, and corrects what depends on it.
//!
//! Deliveries are due at times of the wall clock. If it is set back, they are brought forward by the same time. Ids carry
//! their time and always ascend, so a clock that is set far ahead by mistake would give every later id a wrong time. Ids
//! therefore follow a jump ahead only after it has lasted for a while, and so does everything that is deleted because of its
//! age.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{self, Clock, TrustedUntil};
use crate::delivery::Dispatcher;
use crate::domain::UnixMillis;
use crate::domain::ids::IdGenerator;
use crate::storage::{DeliveryStore, StorageError};

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(5);
/// A smaller step back is ignored.
const SMALL_STEP_MS: i64 = 1_000;
/// A larger jump ahead is not trusted at once.
const LARGE_JUMP_MS: i64 = 3_600_000;
/// After this time a jump ahead is trusted. Time for which the engine does not run does not count.
const TRUSTED_AFTER_MS: i64 = 3_600_000;
/// The next comparison may be late by so much.
const LATE_MS: i64 = 60_000;

/// Compares the wall clock with the boot clock, which is never set.
#[derive(Debug)]
pub struct ClockWatch {
    /// Both clocks, in milliseconds, when they were last compared.
    wall: i64,
    boot: i64,
    for_ids: Trust,
    for_deletion: Trust,
}

/// How far the wall clock is trusted.
#[derive(Debug)]
struct Trust {
    /// The time until which it is.
    until: i64,
    /// Whether the wall clock was far ahead of that when it was last compared.
    is_ahead: bool,
    /// For how long it was, in milliseconds, with what was noted before the start.
    ahead_ms: i64,
}

impl Trust {
    fn of(until: i64, ahead_ms: i64) -> Self {
        Self { until, is_ahead: false, ahead_ms }
    }

    /// Compares again after `passed`. Returns the size of a jump ahead that was just seen.
    fn compare(&mut self, wall: i64, passed: i64) -> Option<Duration> {
        let expected = self.until + passed;
        let ahead = wall - expected;
        if ahead <= LARGE_JUMP_MS {
            *self = Self::of(wall, 0);
            return None;
        }
        let jumped_ahead = (!self.is_ahead).then(|| Duration::from_millis(ahead.unsigned_abs()));
        if self.is_ahead {
            self.ahead_ms += passed;
        }
        if self.ahead_ms < TRUSTED_AFTER_MS {
            (self.until, self.is_ahead) = (expected, true);
        } else {
            *self = Self::of(wall, 0);
        }
        jumped_ahead
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// By how much the wall clock was set back since the last comparison, if it was.
    pub set_back: Option<Duration>,
    /// The size of a jump ahead that was just seen, and is not trusted yet.
    pub jumped_ahead: Option<Duration>,
    /// The latest time that ids may carry until the next comparison.
    pub ceiling: UnixMillis,
    /// The size of a jump ahead that was just seen, and deletes nothing yet. It may have been before the start.
    pub deletes_late: Option<Duration>,
    /// Until then, the clock is trusted where something is deleted because of its age.
    pub trusted: UnixMillis,
    /// For how long the clock was seen far ahead of that; zero if it is not.
    pub ahead_for: Duration,
}

impl ClockWatch {
    /// Starts with the current time of both clocks, in milliseconds. `trusted` is how far the clock is trusted where something is
    /// deleted because of its age: no further, if that is earlier.
    #[must_use]
    pub fn new(wall: UnixMillis, boot: i64, trusted: &TrustedUntil) -> Self {
        let ahead_ms = i64::try_from(trusted.ahead_for().as_millis()).unwrap_or(i64::MAX);
        let for_deletion = Trust::of(wall.min(trusted.get()).0, ahead_ms);
        Self { wall: wall.0, boot, for_ids: Trust::of(wall.0, 0), for_deletion }
    }

    /// The latest time that ids may carry, with a margin for a late comparison.
    #[must_use]
    pub fn ceiling(&self) -> UnixMillis {
        UnixMillis(self.for_ids.until + 2 * LARGE_JUMP_MS)
    }

    /// Compares the clocks again.
    pub fn compare(&mut self, wall: UnixMillis, boot: i64) -> Comparison {
        let passed = (boot - self.boot).max(0);
        let back = self.wall + passed - wall.0;
        let set_back = (back >= SMALL_STEP_MS).then(|| Duration::from_millis(back.unsigned_abs()));
        let jumped_ahead = self.for_ids.compare(wall.0, passed);
        let deletes_late = self.for_deletion.compare(wall.0, passed);
        let trusted = UnixMillis(self.for_deletion.until + LATE_MS);
        let ahead_for = Duration::from_millis(self.for_deletion.ahead_ms.unsigned_abs());
        (self.wall, self.boot) = (wall.0, boot);
        Comparison { set_back, jumped_ahead, ceiling: self.ceiling(), deletes_late, trusted, ahead_for }
    }
}

/// What depends on the clock.
pub struct Dependents {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<IdGenerator>,
    /// Limits what is deleted because of its age.
    pub trusted: Arc<TrustedUntil>,
    /// Stores when deliveries are due.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// Woken if deliveries are due earlier.
    pub dispatcher: Arc<Dispatcher>,
}

/// Steps back of the wall clock for which deliveries have not been brought forward yet.
#[derive(Debug, Default)]
struct StepsBack(VecDeque<StepBack>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StepBack {
    /// The wall clock after the step.
    now: UnixMillis,
    by: Duration,
}

impl StepsBack {
    fn push(&mut self, step: StepBack) {
        // The first may have been applied in part: storage recognizes a repetition by its arguments. Later ones are added up.
        let later = if self.0.len() > 1 { self.0.pop_back() } else { None };
        let by = later.map_or(Duration::ZERO, |later| later.by) + step.by;
        self.0.push_back(StepBack { now: step.now, by });
    }

    /// Brings deliveries forward, one step after another. What fails is called again in the same way the next time.
    /// True if any delivery may be due earlier now: what fails may have been done in part.
    async fn apply<F: Future<Output = Result<(), StorageError>>>(
        &mut self,
        bring_forward: impl Fn(StepBack) -> F,
    ) -> bool {
        let applied = !self.0.is_empty();
        while let Some(step) = self.0.front() {
            if let Err(error) = bring_forward(*step).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot bring deliveries forward after the clock was set back; trying again"
                );
                break;
            }
            self.0.pop_front();
        }
        applied
    }
}

/// Compares the clocks until `stop`.
pub async fn run(dependents: Dependents, stop: CancellationToken) {
    let mut watch = ClockWatch::new(dependents.clock.now(), clock::since_boot_ms(), &dependents.trusted);
    dependents.ids.set_ceiling(watch.ceiling());
    let mut steps = StepsBack::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = dependents.clock.now();
        let seen = watch.compare(now, clock::since_boot_ms());
        dependents.ids.set_ceiling(seen.ceiling);
        dependents.trusted.set(seen.trusted, seen.ahead_for);
        if let Some(by) = seen.jumped_ahead {
            tracing::error!(
                seconds = by.as_secs(),
                "the clock was set far ahead; new ids will carry the new time if it lasts for an hour"
            );
        }
        if let Some(by) = seen.deletes_late {
            tracing::warn!(
                seconds = by.as_secs(),
                seconds_before = seen.ahead_for.as_secs(),
                "the clock is far ahead of what was seen last: it was set, or the engine did not run for so long; what is \
                 older than its retention is deleted if that lasts for an hour, counting earlier runs"
            );
        }
        if let Some(by) = seen.set_back {
            tracing::warn!(
                seconds = by.as_secs(),
                "the clock was set back; waiting deliveries are brought forward by the same time"
            );
            steps.push(StepBack { now, by });
        }
        if steps.apply(|step| dependents.deliveries.bring_forward(step.now, step.by)).await {
            dependents.dispatcher.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const DAY: i64 = 24 * HOUR;
    const NOW: i64 = 1_795_000_000_000;

    /// Each row: milliseconds that passed, how far the wall clock is from right; set back by, ids' ceiling from right.
    #[test]
    fn steps_back_are_noticed_and_ids_follow_a_jump_ahead_only_when_it_lasts() {
        let mut watch = ClockWatch::new(UnixMillis(NOW), 0, &TrustedUntil::default());
        let mut right = 0;
        let century = 100 * 365 * DAY;
        for (what, passed, off, set_back, ceiling) in [
            ("nothing", 5_000, 0, None, 0),
            ("adjusted by a little", 5_000, -300, None, -300),
            ("set back by a day", 5_000, -DAY, Some(DAY - 300), -DAY),
            ("and it stays so", 5_000, -DAY, None, -DAY),
            ("mended: a jump by a day is not believed", 5_000, 0, None, -DAY),
            ("for less than an hour", HOUR - 10_000, 0, None, -DAY),
            ("an hour later it is", 15_000, 0, None, 0),
            ("half an hour ahead is", 5_000, HOUR / 2, None, HOUR / 2),
            ("a century ahead", 5_000, century, None, HOUR / 2),
            ("mended", 5_000, 0, Some(century), 0),
            ("again", 5_000, century, None, 0),
            ("late", 10 * HOUR, 0, Some(century), 0),
        ] {
            right += passed;
            let seen = watch.compare(UnixMillis(NOW + right + off), right);
            assert_eq!(seen.set_back.map(|by| by.as_millis()), set_back.map(|by| by as u128), "{what}");
            assert_eq!(seen.ceiling.0 - 2 * HOUR - NOW - right, ceiling, "{what}");
            assert_eq!(seen.trusted.0 - LATE_MS - NOW - right, ceiling, "{what}");
        }
    }

    /// Each row: what was seen before the start, and for how many minutes the clock was ahead of that then; then, minutes after the
    /// start, how far from right the clock is, how far it is trusted, and for how many minutes it was ahead.
    #[test]
    fn a_start_far_ahead_of_what_was_seen_last_deletes_nothing_for_an_hour() {
        const MINUTE: i64 = HOUR / 60;
        for (what, seen, before, clock) in [
            ("an ordinary start", UnixMillis::MAX, 0, &[(1, 0, 0, 0), (2, 0, 0, 0)][..]),
            (
                "it did not run for a month",
                UnixMillis(NOW - 30 * DAY),
                0,
                &[(1, 0, -30 * DAY, 0), (59, 0, -30 * DAY, 58), (62, 0, 0, 0), (63, 0, 0, 0)],
            ),
            (
                "and was started again after 40 minutes",
                UnixMillis(NOW - 30 * DAY),
                40,
                &[(1, 0, -30 * DAY, 40), (20, 0, -30 * DAY, 59), (22, 0, 0, 0), (23, 0, 0, 0)],
            ),
            (
                "it starts a year ahead, which is mended",
                UnixMillis(NOW - DAY),
                0,
                &[(1, 365 * DAY, -DAY, 0), (2, 0, -DAY, 1), (70, 0, 0, 0)],
            ),
            (
                "set back by the mending, the jump is less than an hour",
                UnixMillis(NOW),
                0,
                &[(1, 365 * DAY, 0, 0), (2, 0, 0, 0)],
            ),
            (
                "what was seen before the mending does not count for the next jump",
                UnixMillis(NOW),
                50,
                &[(1, 0, 0, 0), (2, 365 * DAY, 0, 0), (61, 365 * DAY, 0, 59), (63, 365 * DAY, 365 * DAY, 0)],
            ),
        ] {
            let before = Duration::from_secs(60 * before);
            let trusted = TrustedUntil::new(seen, before);
            let mut watch = ClockWatch::new(UnixMillis(NOW + clock[0].1), 0, &trusted);
            for (minutes, off, trusted, ahead) in clock {
                let right = minutes * MINUTE;
                let seen = watch.compare(UnixMillis(NOW + right + off), right);
                assert_eq!(seen.trusted.0 - LATE_MS - NOW - right, *trusted, "{what}, after {minutes}");
                assert_eq!(seen.ahead_for, Duration::from_secs(60 * ahead), "{what}, after {minutes}");
            }
        }
    }

    #[tokio::test]
    async fn a_step_back_is_applied_again_until_it_succeeds_and_later_ones_after_it() {
        let step = |now, seconds| StepBack { now: UnixMillis(now), by: Duration::from_secs(seconds) };
        let (mut steps, calls) = (StepsBack::default(), RefCell::new(Vec::new()));
        let fails = |step| {
            calls.borrow_mut().push(step);
            ready(Err(StorageError::NoSpace))
        };
        steps.push(step(1_000, 10));
        assert!(steps.apply(fails).await, "some may have been done");
        steps.push(step(2_000, 20));
        steps.push(step(3_000, 30));
        assert!(steps.apply(fails).await, "some may have been done");
        let succeeds = |step| {
            calls.borrow_mut().push(step);
            ready(Ok(()))
        };
        assert!(steps.apply(succeeds).await);
        assert!(!steps.apply(succeeds).await, "nothing is left");
        assert_eq!(*calls.borrow(), [step(1_000, 10), step(1_000, 10), step(1_000, 10), step(3_000, 50)]);
    }
}
