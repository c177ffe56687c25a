//! What is known of a hook's receiver, and how many requests it may have in flight.
//!
//! The number follows the receiver, like a congestion window in TCP. It starts at one, grows by one with each answer (so it
//! doubles within a round trip), and is halved by each timeout and each answer that says *overloaded*. A receiver that answers
//! nothing has one request in flight, the *probe*.
//!
//! An overloaded receiver also gets a pause: as long as its `Retry-After` asks for, or a growing one if it goes on being
//! overloaded without saying for how long.

use std::time::{Duration, Instant};

use crate::delivery::decision::retry_after;
use crate::domain::{Outcome, UnixMillis};

/// A request that takes this long is slow: others could have sent hundreds meanwhile.
pub(super) const SLOW: Duration = Duration::from_secs(2);
/// The longest pause that one `Retry-After` can ask for, so that a receiver's mistake does not stop its hook for a day.
pub const MAX_ASKED_PAUSE: Duration = Duration::from_secs(3600);
/// After this many overloaded answers in a row, each to a request that began after the one before, a receiver gets a pause
/// though it asks for none.
const OVERLOADS_BEFORE_PAUSE: u32 = 3;
/// The first such pause. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What a receiver is expected to do with the next request, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It answers within [`SLOW`].
    Quick,
    /// Nothing is known since the hook was created or the engine started.
    Unknown,
    /// It answers, but takes longer.
    Slow,
    /// Its last requests timed out.
    Hanging,
}

impl Class {
    pub(super) const ALL: [Self; 4] = [Self::Quick, Self::Unknown, Self::Slow, Self::Hanging];
}

/// What an attempt shows of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// Nothing: the attempt was not made.
    Nothing,
    /// Plugins left nothing to send.
    Unsent,
    /// It answered.
    Answered,
    /// It is overloaded: it answered 429, 502, 503 or 504.
    Overloaded {
        /// The pause that its `Retry-After` asks for.
        retry_after: Option<Duration>,
    },
    /// It could not be reached. If that took long, it counts as a timeout.
    Unreachable,
    /// It did not answer in time.
    TimedOut,
}

impl Observation {
    /// What `outcome` shows at `now`.
    #[must_use]
    pub fn of(outcome: &Outcome, now: UnixMillis) -> Self {
        match outcome {
            Outcome::Response(response) if matches!(response.status, 429 | 502..=504) => {
                Self::Overloaded { retry_after: retry_after(response, now) }
            }
            Outcome::Response(_) => Self::Answered,
            Outcome::TimedOut { .. } => Self::TimedOut,
            Outcome::Unreachable { .. } => Self::Unreachable,
            Outcome::Faulted { .. } | Outcome::Dropped { .. } => Self::Unsent,
        }
    }
}

/// See the module's head.
#[derive(Debug, Clone, Copy)]
pub(super) struct Health {
    class: Class,
    /// Requests that may be in flight at once, at least one.
    window: usize,
    /// The later of two times: the last answer, and the start of the first request of those in flight.
    quiet_since: Option<Instant>,
    /// Whether the whole window has been in use since nothing was in flight.
    full: bool,
    /// The overloaded answers in a row, and the time of the last one.
    overloads: Option<(u32, Instant)>,
}

impl Default for Health {
    fn default() -> Self {
        Self { class: Class::Unknown, window: 1, quiet_since: None, full: false, overloads: None }
    }
}

#[cfg(test)]
impl Health {
    /// The health of a receiver that answered at once, often enough for this window.
    pub(super) fn proven(window: usize) -> Self {
        Self { class: Class::Quick, window, quiet_since: None, full: false, overloads: None }
    }
}

impl Health {
    pub(super) fn window(&self) -> usize {
        self.window
    }

    /// Whether there is anything to remember.
    pub(super) fn is_known(&self) -> bool {
        self.class != Class::Unknown
    }

    pub(super) fn hangs(&self) -> bool {
        self.class == Class::Hanging
    }

    /// The class of the next request, which is a `retry` or not, beside `in_flight` others.
    pub(super) fn class(&self, now: Instant, in_flight: usize, retry: bool) -> Class {
        match self.class {
            // It has just stopped answering, so the other requests may time out as well.
            Class::Quick if in_flight > 0 && self.is_quiet(now) => Class::Slow,
            // It is only known that the receiver failed.
            Class::Unknown if retry => Class::Hanging,
            class => class,
        }
    }

    fn is_quiet(&self, now: Instant) -> bool {
        self.quiet_since.is_some_and(|since| now.saturating_duration_since(since) >= SLOW)
    }

    /// A request starts beside `in_flight` others.
    pub(super) fn begin(&mut self, now: Instant, in_flight: usize) {
        if in_flight == 0 {
            self.quiet_since = Some(now);
            self.full = false;
        }
        self.full |= in_flight + 1 >= self.window;
    }

    /// The only request of those `in_flight` is sent: plugins may have run since it began.
    pub(super) fn sends(&mut self, now: Instant, in_flight: usize) {
        if in_flight == 1 {
            self.quiet_since = Some(now);
        }
    }

    /// A request that started at `began` ends. The window never grows beyond `most`. Returns the pause that the receiver needs,
    /// if any.
    pub(super) fn end(
        &mut self,
        observation: Observation,
        (began, now): (Instant, Instant),
        most: usize,
    ) -> Option<Duration> {
        self.adjust(observation, (began, now), most);
        match observation {
            Observation::Overloaded { retry_after } => {
                let growing = self.overloaded(began, now);
                retry_after.map(|asked| asked.min(MAX_ASKED_PAUSE)).or(growing)
            }
            Observation::Answered => {
                self.overloads = None;
                None
            }
            _ => None,
        }
    }

    /// Counts an overloaded answer. Requests that were in flight together count once. Returns the pause that follows.
    fn overloaded(&mut self, began: Instant, now: Instant) -> Option<Duration> {
        let count = match self.overloads {
            Some((_, last)) if began < last => return None,
            Some((count, _)) => count.saturating_add(1),
            None => 1,
        };
        self.overloads = Some((count, now));
        let further = count.checked_sub(OVERLOADS_BEFORE_PAUSE)?;
        Some(FIRST_PAUSE.saturating_mul(1 << further.min(16)).min(LONGEST_PAUSE))
    }

    fn adjust(&mut self, observation: Observation, (began, now): (Instant, Instant), most: usize) {
        let took_long = now.saturating_duration_since(began) >= SLOW;
        match observation {
            Observation::Nothing => return,
            // It took no time, if the receiver does not hang.
            Observation::Unsent if took_long || self.class > Class::Unknown => return,
            Observation::TimedOut => return self.timed_out(),
            Observation::Unreachable if took_long => return self.timed_out(),
            Observation::Unreachable => {}
            Observation::Overloaded { .. } => self.window = (self.window / 2).max(1),
            // A window that is not used up does not prove that the receiver could take more.
            Observation::Answered | Observation::Unsent if self.full => {
                self.window = (self.window + 1).min(most.max(1));
            }
            Observation::Answered | Observation::Unsent => {}
        }
        self.quiet_since = Some(now);
        self.class = if took_long { Class::Slow } else { Class::Quick };
    }

    fn timed_out(&mut self) {
        self.window = (self.window / 2).max(1);
        if self.window == 1 {
            self.class = Class::Hanging;
        }
    }
}

#[cfg(test)]
mod tests;
