//! The cost of a step: CPU time of the thread that runs it.
//!
//! Reading the CPU time is a system call, which takes a thirtieth of a short call. So a short step is charged its wall
//! time. The CPU time is read after steps with a long wall time, which may only have waited for a core, and after
//! [`MAX_UNREAD_STEPS`] steps, so that time between steps does not accumulate.

use std::time::{Duration, Instant};

use super::deadline::CpuTime;

use crate::clock;

/// A step of at most this wall time is charged its wall time.
const SHORT_STEP: Duration = Duration::from_millis(1);
/// Maximum number of steps between two reads of the CPU time.
const MAX_UNREAD_STEPS: u32 = 32;

/// Measures the consecutive steps of one thread.
pub(super) struct CostMeter {
    /// The thread's CPU time since the last read.
    cpu: CpuTime,
    /// Cost charged since then.
    charged: Duration,
    steps: u32,
}

impl CostMeter {
    pub(super) fn new() -> Self {
        Self { cpu: CpuTime::start(), charged: Duration::ZERO, steps: 0 }
    }

    /// Returns the cost of a step that began at `started` and ends now.
    pub(super) fn charge(&mut self, started: Instant) -> Duration {
        let wall = clock::elapsed(started);
        if wall <= SHORT_STEP && self.steps < MAX_UNREAD_STEPS {
            self.steps += 1;
            self.charged += wall;
            return wall;
        }
        let uncharged = self.cpu.elapsed().saturating_sub(self.charged);
        *self = Self::new();
        if wall <= SHORT_STEP { wall } else { uncharged.min(wall) }
    }
}
