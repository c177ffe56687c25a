//! How long the threads that serve connections were blocked.
//!
//! Each of them has a timer. How much too late it runs is for how long the thread was blocked, at most the timer's interval
//! less. A thread that is blocked now is known by the time at which its timer should have run. Times are milliseconds since
//! the machine booted, so that a machine that was suspended shows, too.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use super::histogram::Histogram;

/// How many threads are watched.
const MAX_CORES: usize = 256;
/// There is no such thread.
const NONE: i64 = i64::MAX;

/// How much too late timers ran.
pub static STALL_SECONDS: Histogram<9> = Histogram::of_durations(&[
    10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000, 30_000_000,
]);

/// When the timer of each thread runs next.
static NEXT_RUNS: [AtomicI64; MAX_CORES] = [const { AtomicI64::new(NONE) }; MAX_CORES];

/// The timer of `core` runs at the time `next`.
pub fn expect(core: usize, next: i64) {
    if let Some(next_run) = NEXT_RUNS.get(core) {
        next_run.store(next, Relaxed);
    }
}

/// A timer that was expected at one time has run at another.
pub fn timer_ran(expected: i64, now: i64) {
    STALL_SECONDS.observe(late(expected, now));
}

/// The thread has ended.
pub fn ended(core: usize) {
    expect(core, NONE);
}

/// For how long the thread is blocked that is blocked longest at the time `now`.
pub fn longest(now: i64) -> Duration {
    let expected = NEXT_RUNS.iter().map(|next| next.load(Relaxed)).min();
    expected.map_or(Duration::ZERO, |expected| late(expected, now))
}

fn late(expected: i64, now: i64) -> Duration {
    Duration::from_millis(u64::try_from(now.saturating_sub(expected)).unwrap_or(0))
}
