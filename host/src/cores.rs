//! Threads for what there is much of: connections of the API's clients, and attempts. One for each core, each with a
//! runtime of its own.
//!
//! What begins on such a thread ends on it, its memory and its timers are nobody else's, and so are its sockets but for resting
//! connections to receivers, which another core may take over (`delivery::client`). Where threads share their tasks, nearly every answer from outside moves a task to another core, which has nothing of it at hand.
//!
//! The two loops that every event and every attempt wait for, which commit and record, run on the [first](Cores::first)
//! of them: on a thread of their own they would be woken, by a system call, for nearly each.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// Shorter than nearly all timeouts of connections and requests, and long enough to cost nothing.
const BEAT: Duration = Duration::from_millis(500);

thread_local! {
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
}

/// See the module's head.
pub struct Cores {
    runtimes: Vec<Handle>,
    next: AtomicUsize,
}

impl Cores {
    /// Starts a thread for each core. They end at `stop`, with whatever runs on them.
    ///
    /// # Errors
    /// Where the system gives no more threads or files.
    pub fn start(stop: &CancellationToken) -> io::Result<Self> {
        let start = |number| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (handle, stop) = (runtime.handle().clone(), stop.clone());
            thread::Builder::new().name(format!("core-{number}")).spawn(move || {
                NUMBER.set(Some(number));
                runtime.spawn(beat());
                runtime.block_on(stop.cancelled());
            })?;
            Ok(handle)
        };
        let runtimes = (0..count()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { runtimes, next: AtomicUsize::new(0) })
    }

    /// Their runtimes; there is one at least.
    #[must_use]
    pub fn runtimes(&self) -> &[Handle] {
        &self.runtimes
    }

    /// The first of them.
    #[must_use]
    pub fn first(&self) -> &Handle {
        &self.runtimes[0]
    }

    /// The next runtime, round robin.
    pub fn round_robin(&self) -> &Handle {
        &self.runtimes[self.next.fetch_add(1, Relaxed) % self.runtimes.len()]
    }
}

/// How many cores there are for this process.
#[must_use]
pub fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Which of the threads this is, counted from 0, if it is one.
#[must_use]
pub fn here() -> Option<usize> {
    NUMBER.get()
}

/// Keeps a timer set for ever. Else setting any other would be a system call: a runtime is woken for a timer that ends
/// before all that it knew of when it last went to sleep.
async fn beat() {
    loop {
        tokio::time::sleep(BEAT).await;
    }
}
