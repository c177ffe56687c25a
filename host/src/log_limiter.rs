//! A limit on log lines that many failures of the same cause would repeat.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Permits the first line, and then one now and then.
#[derive(Debug)]
pub struct LogLimiter(Mutex<State>);

#[derive(Debug)]
struct State {
    last: Option<Instant>,
    unlogged: u64,
}

impl LogLimiter {
    /// One that has permitted nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(State { last: None, unlogged: 0 }))
    }

    /// Whether a line may be logged now: then the number of lines that were not, since the last one.
    pub fn permit(&self) -> Option<u64> {
        self.permit_at(clock::monotonic())
    }

    fn permit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            state.unlogged += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.unlogged))
    }
}

impl Default for LogLimiter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_ten_seconds_is_permitted_and_the_others_are_counted() {
        let (limiter, first) = (LogLimiter::new(), clock::monotonic());
        for (after_ms, permitted) in
            [(0, Some(0)), (1, None), (9_999, None), (10_000, Some(2)), (10_001, None)]
        {
            assert_eq!(limiter.permit_at(first + Duration::from_millis(after_ms)), permitted, "{after_ms}");
        }
    }
}
