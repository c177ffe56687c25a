//! The only place that reads clocks.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::UnixMillis;

/// The wall clock. Behind a trait so that tests can hold it still.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The current time.
    fn now(&self) -> UnixMillis;
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The system clock as components take it.
    #[must_use]
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The monotonic clock, for durations and deadlines. It is tokio's, so that a runtime that controls time also controls this.
#[must_use]
pub fn monotonic() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    tokio::time::Instant::now().into_std()
}

/// Milliseconds since the machine booted, including the time for which it was suspended.
#[must_use]
pub fn since_boot_ms() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

/// The time that has passed since `start`.
#[must_use]
pub fn elapsed(start: Instant) -> Duration {
    monotonic().saturating_duration_since(start)
}
