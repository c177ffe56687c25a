//! What a step costs: processor time of the thread that takes it.
//!
//! Reading it is a system call, which would be a thirtieth of a short call. So what is over at once is charged by the
//! clock on the wall, and the processor time is read after steps that seem long, be it that they are, or that the thread had to
//! wait for the processor, and from time to time, so that what lies between steps does not add up.

use std::time::{Duration, Instant};

use super::deadline::OwnTime;

/// A step that takes no longer on the wall is charged with that.
const AT_ONCE: Duration = Duration::from_millis(1);
/// After so many steps the processor time is read in any case.
const STEPS: u32 = 32;

/// Measures the steps of one thread, one after the other.
pub(super) struct Costs {
    /// The thread's processor time since it was last read.
    own: OwnTime,
    /// What was charged since then.
    charged: Duration,
    steps: u32,
}

impl Costs {
    pub(super) fn new() -> Self {
        Self { own: OwnTime::start(), charged: Duration::ZERO, steps: 0 }
    }

    /// The cost of a step that began at `started` and is over now.
    pub(super) fn of(&mut self, started: Instant) -> Duration {
        let on_the_wall = started.elapsed();
        if on_the_wall <= AT_ONCE && self.steps < STEPS {
            self.steps += 1;
            self.charged += on_the_wall;
            return on_the_wall;
        }
        let uncharged = self.own.elapsed().saturating_sub(self.charged);
        *self = Self::new();
        if on_the_wall <= AT_ONCE { on_the_wall } else { uncharged.min(on_the_wall) }
    }
}
