//! Ends calls that run for too long, on the engine's epochs.
//!
//! One thread counts epochs, every [`TICK`], as long as somebody is at work; it sleeps while nobody
//! is, so that an idle engine uses no processor. A call looks at its own clocks when the epoch has
//! moved under it, never otherwise: most calls are over before that, and the clock of a thread's own
//! processor time is a system call, which costs a short call as much as a tenth of its time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, UpdateDeadline};

use super::limits::{Count, Limits};

/// How often the epoch moves.
const TICK: Duration = Duration::from_millis(5);
/// For how many ticks the thread goes on without work before it sleeps. Waking it costs a system
/// call, which a busy engine's next call should not have to pay.
const IDLE_TICKS: u32 = 100;

/// The error in a call that was ended for its length.
#[derive(Debug)]
pub(super) enum Overdue {
    Processor { ms: u64 },
    Wall { ms: u64 },
}

impl std::error::Error for Overdue {}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Processor { ms } => write!(f, "ran for more than its {} ms of processor time", Count(ms)),
            Self::Wall { ms } => write!(f, "did not end within {} ms", Count(ms)),
        }
    }
}

/// Ends the store's next call when its time is over, counting from now.
///
/// Processor time is read from the first tick on. What was used before is charged as a whole tick, or as the time on
/// the wall where that is less: never too little, but where the tick itself came late, and late ticks make all
/// deadlines late.
pub(super) fn arm<T>(store: &mut Store<T>, limits: &Limits) {
    let (deadline_ms, wall_deadline_ms) = (limits.deadline_ms, limits.wall_deadline_ms());
    let mut own = None;
    let started = Instant::now();
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let own = own.get_or_insert_with(|| OwnTime::began_before(started.elapsed().min(TICK)));
        if own.elapsed() > Duration::from_millis(deadline_ms) {
            return Err(wasmtime::Error::from(Overdue::Processor { ms: deadline_ms }));
        }
        if started.elapsed() > Duration::from_millis(wall_deadline_ms) {
            return Err(wasmtime::Error::from(Overdue::Wall { ms: wall_deadline_ms }));
        }
        Ok(UpdateDeadline::Continue(1))
    });
}

/// The calling thread's own processor time.
struct OwnTime(Duration);

impl OwnTime {
    /// Counts from this long ago.
    fn began_before(used: Duration) -> Self {
        Self(Self::now().saturating_sub(used))
    }

    fn elapsed(&self) -> Duration {
        Self::now().saturating_sub(self.0)
    }

    fn now() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
    }
}

/// The thread that counts epochs. Ends when dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

struct Shared {
    working: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            working: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (theirs, engine) = (Arc::clone(&shared), engine.clone());
        let handle =
            thread::Builder::new().name("sandbox-epoch".to_owned()).spawn(move || theirs.tick(&engine))?;
        Ok(Self { shared, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Epochs move for as long as the answer lives.
    pub(super) fn work(&self) -> Work<'_> {
        self.shared.working.fetch_add(1, SeqCst);
        if self.shared.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        Work(&self.shared.working)
    }
}

impl Shared {
    fn tick(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.ended.load(SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            idle = if self.working.load(SeqCst) == 0 { idle + 1 } else { 0 };
            if idle < IDLE_TICKS {
                continue;
            }
            // Told in this order, either the worker sees that this thread sleeps, or this thread
            // sees that somebody works.
            self.asleep.store(true, SeqCst);
            while self.working.load(SeqCst) == 0 && !self.ended.load(SeqCst) {
                thread::park();
            }
            self.asleep.store(false, SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            drop(handle.join());
        }
    }
}

/// Somebody at work.
pub(super) struct Work<'a>(&'a AtomicUsize);

impl Drop for Work<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
