//! How fast a job goes on. Pure: it reads no clock.
//!
//! The rate holds by the times at which deliveries are due, which are stored: so it also holds across a crash. Besides, a job
//! has few deliveries outstanding, which are not attempted yet: about as many as were attempted in the last second. So a live
//! delivery of the same hook waits behind about a second of the job's.

use std::time::Duration;

use crate::domain::{DeliveryState, JobRate, UnixMillis};

/// How far ahead of the clock deliveries are made.
const AHEAD_MS: u64 = 500;
/// The clock may be slewed by so much between two steps.
const SLACK_MS: u64 = 1_000;
/// Deliveries become due together if they are so close: to claim them one by one would cost too much.
const TOGETHER_MS: u64 = 50;
/// How many deliveries of a job may be outstanding, at least and at most.
const OUTSTANDING: (usize, usize) = (50, 500);
/// A step is not made for fewer deliveries than this, if the rate allows so many in a tenth of a second.
const WORTH_A_STEP: usize = 25;
/// After so many first attempts in a row that failed, a job makes one delivery at a time.
const FAILED_IN_A_ROW: u32 = 20;
/// And waits so long between them.
const BETWEEN_PROBES: Duration = Duration::from_secs(10);
/// How often a job looks whether its deliveries were attempted: at first, and at last while none is.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// When the next deliveries of a job are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    start: UnixMillis,
    rate: JobRate,
    /// How many may be made now.
    pub(super) count: usize,
}

impl Slots {
    /// At most `most` slots, none before `next_due_at`.
    ///
    /// # Errors
    /// How long to wait, if it is too early for the next one.
    pub(super) fn at(
        now: UnixMillis,
        next_due_at: UnixMillis,
        rate: JobRate,
        most: usize,
    ) -> Result<Self, Duration> {
        // A time further ahead is from before the clock was set back.
        let furthest = now.plus(Duration::from_millis(AHEAD_MS + rate.millis_for(1) + SLACK_MS));
        let start = if next_due_at > furthest { now } else { next_due_at.max(now) };
        let until = now.plus(Duration::from_millis(AHEAD_MS));
        if start > until {
            return Err(until.until(start));
        }
        let room = u64::try_from(start.until(until).as_millis()).unwrap_or(0);
        let fit = room.saturating_mul(u64::from(rate.in_1000_seconds())) / 1_000_000 + 1;
        let count = usize::try_from(fit).unwrap_or(usize::MAX).min(most);
        Ok(Self { start, rate, count })
    }

    /// So many at once from `start` on, whatever the rate allows.
    pub(super) fn all_at(start: UnixMillis, rate: JobRate, count: usize) -> Self {
        Self { start, rate, count }
    }

    /// When the delivery with this number is due, counted from 0.
    pub(super) fn due_at(&self, number: usize) -> UnixMillis {
        let after = self.rate.millis_for(number as u64);
        // Deliveries that are further apart than this are due one by one.
        let together = if self.rate.millis_for(1) < TOGETHER_MS { TOGETHER_MS } else { 1 };
        self.start.plus(Duration::from_millis(after / together * together))
    }

    /// Before when no other delivery is due, if `count` of the slots were used.
    pub(super) fn end(&self, count: usize) -> UnixMillis {
        let taken = self.rate.millis_for(count as u64);
        // A part of a millisecond counts as a whole one.
        let is_exact = (count as u64 * 1_000_000).is_multiple_of(u64::from(self.rate.in_1000_seconds()));
        self.start.plus(Duration::from_millis(taken + u64::from(!is_exact)))
    }
}

/// How many deliveries a job may have outstanding.
#[derive(Debug)]
pub(super) struct Backpressure {
    allowed: usize,
    failed_in_a_row: u32,
    of_one_hook: bool,
    next_look: Duration,
}

impl Backpressure {
    /// It looks no more often than this, so that what it sees is no chance.
    pub(super) const BETWEEN_LOOKS: Duration = LOOKS.0;

    /// That of a job about one hook, or about several: of these, one that fails must not hold up the others.
    pub(super) fn new(of_one_hook: bool) -> Self {
        Self { allowed: OUTSTANDING.0, failed_in_a_row: 0, of_one_hook, next_look: LOOKS.0 }
    }

    /// Takes in the states of deliveries that were outstanding `elapsed` ago.
    pub(super) fn observe(&mut self, states: &[DeliveryState], elapsed: Duration) {
        let attempted = states.iter().filter(|state| !is_outstanding(**state)).count();
        for state in states {
            match state {
                DeliveryState::Waiting | DeliveryState::Exhausted => self.failed_in_a_row += 1,
                state if state.is_final() => self.failed_in_a_row = 0,
                _ => {}
            }
        }
        if attempted == 0 {
            self.next_look = (self.next_look * 2).min(LOOKS.1);
            return;
        }
        self.next_look = LOOKS.0;
        let in_a_second = attempted as u128 * 1_000 / elapsed.as_millis().max(1);
        let in_a_second = usize::try_from(in_a_second).unwrap_or(usize::MAX);
        self.allowed = ((self.allowed + in_a_second) / 2).clamp(OUTSTANDING.0, OUTSTANDING.1);
    }

    /// How many more deliveries may be made if so many are outstanding.
    pub(super) fn room(&self, outstanding: usize) -> usize {
        if self.is_failing() {
            usize::from(outstanding == 0)
        } else {
            self.allowed.saturating_sub(outstanding)
        }
    }

    /// How many deliveries are worth a step, which searches and writes.
    pub(super) fn least(&self, rate: JobRate) -> usize {
        if self.is_failing() { 1 } else { (rate.in_1000_seconds() as usize / 10_000).clamp(1, WORTH_A_STEP) }
    }

    /// How long to wait until the next look at what is outstanding.
    pub(super) fn next_look(&self) -> Duration {
        self.next_look
    }

    /// How long to wait after a step.
    pub(super) fn after_step(&self) -> Duration {
        if self.is_failing() { BETWEEN_PROBES } else { Duration::ZERO }
    }

    fn is_failing(&self) -> bool {
        self.of_one_hook && self.failed_in_a_row >= FAILED_IN_A_ROW
    }
}

/// Whether a delivery in this state may not have been attempted since it was made due.
pub(super) fn is_outstanding(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Pending | DeliveryState::Delivering)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_795_000_000_000);

    fn after(millis: i64) -> UnixMillis {
        UnixMillis(NOW.0 + millis)
    }

    #[test]
    fn the_rate_holds_over_any_time() {
        for rate in [0.1, 0.3, 1.0, 7.0, 50.0, 333.0, 2_000.0] {
            let rate = JobRate::per_second(rate).unwrap();
            let (mut now, mut next, mut due) = (NOW, UnixMillis(0), Vec::new());
            // Steps of different sizes at different times.
            for number in 0..2_000_u64 {
                match Slots::at(now, next, rate, 200) {
                    Err(wait) => now = now.plus(wait.min(Duration::from_millis(700))),
                    Ok(slots) => {
                        let count = slots.count.min(1 + (number % 37) as usize);
                        due.extend((0..count).map(|slot| slots.due_at(slot)));
                        next = slots.end(count);
                        now = now.plus(Duration::from_millis(number % 11));
                    }
                }
            }
            assert!(due.is_sorted(), "{rate:?}");
            assert!(due.iter().all(|at| *at >= NOW));
            for (first, from) in due.iter().enumerate().step_by(11) {
                for (count, to) in due[first..].iter().enumerate().skip(1).step_by(13) {
                    let at_least = rate.millis_for(count as u64).saturating_sub(TOGETHER_MS);
                    assert!(from.until(*to).as_millis() as u64 >= at_least, "{rate:?}: {count}");
                }
            }
            let elapsed = NOW.until(next).as_millis() as u64;
            let least = elapsed * u64::from(rate.in_1000_seconds()) / 1_000_000;
            assert!(
                due.len() as u64 * 10 >= least * 7,
                "{rate:?} is nearly reached: {} of {least}",
                due.len()
            );
        }
    }

    #[test]
    fn deliveries_are_made_a_little_ahead() {
        let rate = JobRate::per_second(100.0).unwrap();
        assert_eq!(Slots::at(NOW, UnixMillis(0), rate, 1_000).unwrap().count, 51);
        assert_eq!(Slots::at(NOW, after(400), rate, 1_000).unwrap().count, 11);
        assert_eq!(Slots::at(NOW, after(1_500), rate, 1_000), Err(Duration::from_secs(1)));
        assert_eq!(Slots::at(NOW, after(60_000), rate, 9).unwrap().due_at(0), NOW, "the clock was set back");
        let slow = Slots::at(NOW, after(500), JobRate::per_second(0.1).unwrap(), 200).unwrap();
        assert_eq!((slow.count, slow.due_at(0), slow.end(1)), (1, after(500), after(10_500)));
    }

    #[test]
    fn what_is_outstanding_follows_what_is_attempted() {
        use DeliveryState::*;
        let mut pressure = Backpressure::new(true);
        assert_eq!((pressure.room(0), pressure.room(49), pressure.room(60)), (50, 1, 0));
        for _ in 0..20 {
            pressure.observe(&[Succeeded; 50], Duration::from_millis(50));
        }
        assert_eq!(pressure.room(0), 500, "a thousand a second");
        for _ in 0..20 {
            pressure.observe(&[Delivering, Succeeded], Duration::from_millis(100));
        }
        assert!((50..=60).contains(&pressure.room(0)), "ten a second: {}", pressure.room(0));
        assert_eq!(pressure.next_look(), LOOKS.0);
        for _ in 0..20 {
            pressure.observe(&[Pending, Delivering], Duration::from_secs(1));
        }
        assert_eq!(pressure.next_look(), LOOKS.1);
    }

    #[test]
    fn a_receiver_that_fails_gets_one_at_a_time() {
        use DeliveryState::*;
        let mut pressure = Backpressure::new(true);
        pressure.observe(&[Waiting; 19], Duration::from_secs(1));
        assert!(pressure.room(0) > 1);
        pressure.observe(&[Exhausted], Duration::from_secs(1));
        assert_eq!((pressure.room(0), pressure.room(1)), (1, 0));
        assert_eq!(pressure.after_step(), BETWEEN_PROBES);
        pressure.observe(&[Succeeded], Duration::from_secs(1));
        assert!(pressure.room(0) > 1 && pressure.after_step() == Duration::ZERO);
        let mut of_several = Backpressure::new(false);
        of_several.observe(&[Waiting; 99], Duration::from_secs(1));
        assert!(of_several.room(0) > 1);
    }
}
