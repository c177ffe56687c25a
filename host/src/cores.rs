//! One thread for each core, with its own runtime, for connections of the API's clients and for attempts.
//!
//! A task stays on the thread where it starts, with its memory and its timers. If threads shared their tasks, nearly every
//! response from outside would move a task to another core, whose caches have nothing of it. Only idle connections to
//! receivers may move to another core (`delivery::client`).
//!
//! The two loops that every event and every attempt wait for, which commit and record, run on the [first](Cores::first)
//! core. On a thread of their own, they would be woken by a system call for nearly each of them.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::metrics::stalls;

/// Shorter than nearly all timeouts of connections and requests, and long enough to cost nothing.
const TIMER_INTERVAL: Duration = Duration::from_millis(100);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// See the module's head.
pub struct Cores {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
}

impl Cores {
    /// Starts a thread for each core. At `stop` they end, and drop their tasks.
    ///
    /// # Errors
    /// Fails if the system has no threads or file descriptors left.
    pub fn start(stop: &CancellationToken) -> io::Result<Self> {
        let start = |number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stop) = (runtime.handle().clone(), stop.clone());
            thread::Builder::new().name(format!("core-{number}")).spawn(move || {
                NUMBER.set(Some(number));
                runtime.spawn(keep_timer(number));
                runtime.block_on(stop.cancelled());
                stalls::ended(number);
            })?;
            Ok(handle)
        };
        let runtimes = (0..count()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { runtimes, next: AtomicUsize::new(0) })
    }

    /// The runtimes, at least one.
    #[must_use]
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }

    /// The first runtime.
    #[must_use]
    pub fn first(&self) -> &Handle {
        &self.runtimes[0]
    }

    /// Whether all of them run a task `within` this time.
    pub async fn respond(&self, within: Duration) -> bool {
        let answers: Vec<_> = self.runtimes.iter().map(|core| core.spawn(async {})).collect();
        let all = async {
            for answer in answers {
                answer.await.ok()?;
            }
            Some(())
        };
        tokio::time::timeout(within, all).await.ok().flatten().is_some()
    }

    /// The next runtime, round robin.
    pub fn round_robin(&self) -> &Handle {
        &self.runtimes[self.next.fetch_add(1, Relaxed) % self.runtimes.len()]
    }
}

/// The number of cores that this process may use.
#[must_use]
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The index of the current thread among the cores, if it is one of them.
#[must_use]
pub fn here() -> Option<usize> {
    NUMBER.get()
}

/// Keeps a timer set. Without one, setting another timer would cost a system call, which wakes a runtime for any timer that
/// ends before those that it knew when it went to sleep. The timer also shows for how long the thread was blocked.
async fn keep_timer(core: usize) {
    let interval_ms = i64::try_from(TIMER_INTERVAL.as_millis()).unwrap_or(i64::MAX);
    loop {
        let expected = clock::since_boot_ms() + interval_ms;
        stalls::expect(core, expected);
        tokio::time::sleep(TIMER_INTERVAL).await;
        stalls::timer_ran(expected, clock::since_boot_ms());
    }
}
