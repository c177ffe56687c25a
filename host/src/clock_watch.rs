//! Notices that the wall clock was set, and keeps what hangs on it right.
//!
//! Deliveries are due at times of the wall clock: if it is set back, what is due is set back with it. Ids carry their time
//! and never go back: a clock that is set far ahead by mistake would give every later id a wrong time. So ids may follow
//! a jump ahead only after it has held for a while.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::delivery::Dispatcher;
use crate::domain::UnixMillis;
use crate::domain::ids::IdGenerator;
use crate::storage::{DeliveryStore, StorageError};

/// How often the clocks are compared.
const EVERY: Duration = Duration::from_secs(5);
/// A step back of less than this delays nothing that matters.
const SMALL_STEP_MS: i64 = 1_000;
/// A jump ahead of more than this is not believed at once.
const LARGE_JUMP_MS: i64 = 3_600_000;
/// After this time a jump ahead is believed.
const BELIEVED_AFTER_MS: i64 = 3_600_000;

/// Compares the wall clock with one that nobody sets.
#[derive(Debug)]
pub struct ClockWatch {
    /// Both clocks, in milliseconds, when they were last compared.
    wall: i64,
    boot: i64,
    /// The wall clock as it is believed.
    trusted: i64,
    /// Since when, by the other clock, the wall clock has been far ahead of that.
    ahead_since: Option<i64>,
}

/// What a comparison showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// By how much the wall clock was set back since the last comparison, if it was.
    pub set_back: Option<Duration>,
    /// A jump ahead was seen just now, which is not believed yet.
    pub jumped_ahead: Option<Duration>,
    /// The latest time that ids may carry until the next comparison.
    pub ceiling: UnixMillis,
}

impl ClockWatch {
    /// Begins with both clocks as they are, in milliseconds.
    #[must_use]
    pub fn new(wall: UnixMillis, boot: i64) -> Self {
        Self { wall: wall.0, boot, trusted: wall.0, ahead_since: None }
    }

    /// The latest time that ids may carry: room for the next comparison to come late.
    #[must_use]
    pub fn ceiling(&self) -> UnixMillis {
        UnixMillis(self.trusted + 2 * LARGE_JUMP_MS)
    }

    /// Compares the clocks again.
    pub fn look(&mut self, wall: UnixMillis, boot: i64) -> Seen {
        let passed = (boot - self.boot).max(0);
        let back = self.wall + passed - wall.0;
        let set_back = (back >= SMALL_STEP_MS).then(|| Duration::from_millis(back.unsigned_abs()));
        let expected = self.trusted + passed;
        let ahead = wall.0 - expected;
        let mut jumped_ahead = None;
        self.trusted = wall.0;
        if ahead > LARGE_JUMP_MS {
            if self.ahead_since.is_none() {
                jumped_ahead = Some(Duration::from_millis(ahead.unsigned_abs()));
            }
            let since = *self.ahead_since.get_or_insert(boot);
            if boot - since < BELIEVED_AFTER_MS {
                self.trusted = expected;
            }
        }
        if self.trusted == wall.0 {
            self.ahead_since = None;
        }
        (self.wall, self.boot) = (wall.0, boot);
        Seen { set_back, jumped_ahead, ceiling: self.ceiling() }
    }
}

/// What is kept right.
pub struct Kept {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<IdGenerator>,
    /// Where deliveries are due.
    pub deliveries: Arc<dyn DeliveryStore>,
    /// Is woken if something is due earlier than it was.
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
    /// True if any step was completed.
    async fn apply<F: Future<Output = Result<(), StorageError>>>(
        &mut self,
        bring_forward: impl Fn(StepBack) -> F,
    ) -> bool {
        let mut applied = false;
        while let Some(step) = self.0.front() {
            if let Err(error) = bring_forward(*step).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot bring deliveries forward after the clock was set back; trying again"
                );
                break;
            }
            self.0.pop_front();
            applied = true;
        }
        applied
    }
}

/// Compares the clocks until `stop`.
pub async fn run(kept: Kept, stop: CancellationToken) {
    let mut watch = ClockWatch::new(kept.clock.now(), since_boot_ms());
    kept.ids.set_ceiling(watch.ceiling());
    let mut steps = StepsBack::default();
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let now = kept.clock.now();
        let seen = watch.look(now, since_boot_ms());
        kept.ids.set_ceiling(seen.ceiling);
        if let Some(by) = seen.jumped_ahead {
            tracing::error!(
                seconds = by.as_secs(),
                "the clock was set far ahead; if that is right, new ids carry the new time in an hour"
            );
        }
        if let Some(by) = seen.set_back {
            tracing::warn!(
                seconds = by.as_secs(),
                "the clock was set back; waiting deliveries are brought forward by the same time"
            );
            steps.push(StepBack { now, by });
        }
        if steps.apply(|step| kept.deliveries.bring_forward(step.now, step.by)).await {
            kept.dispatcher.wake();
        }
    }
}

/// Milliseconds since the machine was started, its sleep included. Nobody sets this clock.
fn since_boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
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
    fn steps_are_seen_and_ids_follow_a_jump_ahead_only_when_it_holds() {
        let mut watch = ClockWatch::new(UnixMillis(NOW), 0);
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
            let seen = watch.look(UnixMillis(NOW + right + off), right);
            assert_eq!(seen.set_back.map(|by| by.as_millis()), set_back.map(|by| by as u128), "{what}");
            assert_eq!(seen.ceiling.0 - 2 * HOUR - NOW - right, ceiling, "{what}");
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
        assert!(!steps.apply(fails).await);
        steps.push(step(2_000, 20));
        steps.push(step(3_000, 30));
        assert!(!steps.apply(fails).await);
        let succeeds = |step| {
            calls.borrow_mut().push(step);
            ready(Ok(()))
        };
        assert!(steps.apply(succeeds).await);
        assert!(!steps.apply(succeeds).await, "nothing is left");
        assert_eq!(*calls.borrow(), [step(1_000, 10), step(1_000, 10), step(1_000, 10), step(3_000, 50)]);
    }
}
