//! The only place that reads clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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

/// Up to which time the wall clock is trusted where something is deleted because of its age: a clock that is far ahead by mistake
/// must not delete everything.
#[derive(Debug)]
pub struct TrustedUntil {
    limit: AtomicI64,
    ahead_ms: AtomicU64,
}

impl TrustedUntil {
    /// With this limit. `ahead_for` is for how long the clock was seen far ahead of it, in this run and earlier ones.
    #[must_use]
    pub fn new(limit: UnixMillis, ahead_for: Duration) -> Self {
        let trusted = Self { limit: AtomicI64::default(), ahead_ms: AtomicU64::default() };
        trusted.set(limit, ahead_for);
        trusted
    }

    /// The limit.
    #[must_use]
    pub fn get(&self) -> UnixMillis {
        UnixMillis(self.limit.load(Ordering::Relaxed))
    }

    /// For how long the clock was seen far ahead of the limit; zero if it is not.
    #[must_use]
    pub fn ahead_for(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Sets another limit.
    pub fn set(&self, limit: UnixMillis, ahead_for: Duration) {
        let ahead_ms = u64::try_from(ahead_for.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        self.limit.store(limit.0, Ordering::Relaxed);
    }
}

impl Default for TrustedUntil {
    fn default() -> Self {
        Self::new(UnixMillis::MAX, Duration::ZERO)
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
