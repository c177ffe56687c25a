//! Stops calls that run for too long, that must give way, or that nobody waits for, on the engine's epochs.
//!
//! One thread counts epochs, every [`TICK`], as long as somebody is at work; it sleeps while nobody
//! is, so that an idle engine uses no processor. A call looks at its own clocks when the epoch has
//! moved under it, never otherwise: most calls are over before that, and the clock of a thread's own
//! processor time is a system call, which costs a short call as much as a tenth of its time.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, UpdateDeadline};

use super::limits::{Count, Limits};

/// How often the epoch moves.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// For how many ticks the thread goes on without work before it sleeps. Waking it costs a system
/// call, which a busy engine's next call should not have to pay.
const IDLE_TICKS: u32 = 100;

/// A call may not run for much longer than this where short calls wait, see [`super::history`]: it is stopped at the first tick at
/// which it is certain that it took as much of the processor, so within three ticks if it has the processor for itself.
const SLICE: Duration = Duration::from_millis(4);
/// A thread that waited longer than this for its processor within a tick shares it with others.
const SHARED: Duration = Duration::from_micros(500);
/// A call that gets so little of the processor that it is not over after this is given up: the machine is overloaded.
const STARVED: Duration = Duration::from_secs(60);

/// What a call does for others while it runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// Nothing.
    #[default]
    Free,
    /// It is stopped after a slice.
    OneSlice,
    /// It pauses for so many ticks after each in which it had to share its processor. It holds no lock then, as a thread might
    /// that the operating system has wait instead.
    GivesWay { ticks: u32 },
}

/// What stops a call before it is over, besides its deadline.
#[derive(Debug, Clone, Default)]
pub(super) struct Watch {
    pub(super) pace: Pace,
    /// It is stopped as soon as this is true, because nobody waits for it any more.
    pub(super) abandoned: Option<Arc<AtomicBool>>,
}

impl Watch {
    /// Of a call for which nobody waits who could not wait longer.
    pub(super) fn giving_way() -> Self {
        Self { pace: Pace::GivesWay { ticks: 2 }, abandoned: None }
    }
}

/// The error in a call that was stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// The plugin's fault.
    #[error("ran for more than its {} ms of processor time", Count(*ms))]
    Overdue { ms: u64 },
    /// It may run elsewhere.
    #[error("ran for more than its slice")]
    Slice,
    #[error("nobody waits for it any more")]
    Abandoned,
    #[error("did not get enough of the processor")]
    Starved,
}

/// Ends the store's next call when its time is over, counting from now.
///
/// All times are of the processor, since what others take of it is not the plugin's doing. They are read from the first
/// tick on. What was used before is charged as a whole tick, or as the time on the wall if that is less: never too
/// little, unless the tick itself came late, and late ticks make all deadlines late.
pub(super) fn arm<T>(store: &mut Store<T>, limits: &Limits, watch: &Watch) {
    let deadline = Duration::from_millis(limits.deadline_ms);
    let watch = watch.clone();
    let started = Instant::now();
    let mut run = None;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let run = run.get_or_insert_with(|| Run::began(started));
        match run.tick(&watch, deadline) {
            Some(stopped) => Err(wasmtime::Error::from(stopped)),
            None => Ok(UpdateDeadline::Continue(1)),
        }
    });
}

/// A call that has seen a tick.
struct Run {
    started: Instant,
    own: OwnTime,
    /// What was charged for the time before the first tick. It may have been less.
    guessed: Duration,
    /// Processor time and the time on the wall at the end of the last tick.
    used: Duration,
    seen: Instant,
}

impl Run {
    fn began(started: Instant) -> Self {
        let guessed = started.elapsed().min(TICK);
        let own = OwnTime::began_before(guessed);
        Self { started, own, guessed, used: guessed, seen: Instant::now() }
    }

    /// Whether the call must stop. If it may go on, it may have to pause before.
    fn tick(&mut self, watch: &Watch, deadline: Duration) -> Option<Stopped> {
        let used = self.own.elapsed();
        if watch.abandoned.as_ref().is_some_and(|flag| flag.load(Relaxed)) {
            return Some(Stopped::Abandoned);
        }
        if used > deadline {
            return Some(Stopped::Overdue { ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX) });
        }
        if watch.pace == Pace::OneSlice && used >= self.guessed + SLICE {
            return Some(Stopped::Slice);
        }
        if self.started.elapsed() > STARVED {
            return Some(Stopped::Starved);
        }
        if let Pace::GivesWay { ticks } = watch.pace
            && self.seen.elapsed() > used.saturating_sub(self.used) + SHARED
        {
            thread::park_timeout(TICK * ticks);
        }
        (self.used, self.seen) = (used, Instant::now());
        None
    }
}

/// The calling thread's own processor time.
pub(super) struct OwnTime(Duration);

impl OwnTime {
    /// Counts from now.
    pub(super) fn start() -> Self {
        Self(Self::now())
    }

    /// Counts from this long ago.
    fn began_before(used: Duration) -> Self {
        Self(Self::now().saturating_sub(used))
    }

    pub(super) fn elapsed(&self) -> Duration {
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
