//! Stops calls that exceed their deadline or their time slice, or whose caller is gone, by epoch interruption.
//!
//! One thread increments the epoch every [`TICK`] while calls run, and sleeps otherwise, so an idle engine uses no CPU
//! time. A call reads its clocks only when the epoch has changed. Most calls end before that, and reading a thread's
//! CPU time is a system call that takes up to a tenth of a short call.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use wasmtime::{Engine, Store, UpdateDeadline};

use super::limits::{Count, Limits};

use crate::clock;

/// Interval between epochs.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// Number of idle ticks before the thread sleeps. Waking it is a system call, which calls of a busy engine should not
/// pay for.
const IDLE_TICKS: u32 = 100;

/// CPU time of a call in the quick lane, see [`super::history`]. The call stops at the first tick at which it has
/// certainly used that much: within three ticks if it does not share its core.
const SLICE: Duration = Duration::from_millis(4);
/// A thread that waited longer than this for its core within a tick shares the core with others.
const SHARED_CORE_WAIT: Duration = Duration::from_micros(500);
/// Maximum wall time of a call. A call that reaches it gets too little CPU time: the machine is overloaded.
const MAX_WALL_TIME: Duration = Duration::from_secs(60);

/// How a call makes room for other threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Pace {
    /// It runs to its end.
    #[default]
    Unlimited,
    /// It is stopped after one slice.
    OneSlice,
    /// It pauses for this number of ticks after each tick in which it shared its core. Unlike a thread that the
    /// operating system suspends, it holds no lock while it pauses.
    Yields { ticks: u32 },
}

/// What may pause or stop a call, besides its deadline.
#[derive(Debug, Clone, Default)]
pub(super) struct CallControl {
    pub(super) pace: Pace,
    /// The call stops when this becomes true, because its caller is gone.
    pub(super) abandoned: Option<Arc<AtomicBool>>,
}

impl CallControl {
    /// For a call that can wait.
    pub(super) fn yielding() -> Self {
        Self { pace: Pace::Yields { ticks: 2 }, abandoned: None }
    }
}

/// Why a call was stopped.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// A fault of the plugin.
    #[error("exceeded its CPU time limit of {} ms", Count(*ms))]
    Overdue { ms: u64 },
    /// The call can be repeated in another lane.
    #[error("exceeded its time slice")]
    Slice,
    #[error("its caller is gone")]
    Abandoned,
    #[error("did not get enough CPU time")]
    Starved,
}

/// Sets the deadline of the store's next call, counting from now.
///
/// Deadlines count CPU time, so that load from others does not count against a plugin. CPU time is read from the first
/// tick on. The time before it is charged as one tick, or as the wall time if that is less, so that a call is never
/// charged too little unless the tick itself is late.
pub(super) fn arm<T>(store: &mut Store<T>, limits: &Limits, control: &CallControl) {
    let deadline = Duration::from_millis(limits.deadline_ms);
    let control = control.clone();
    let started = clock::monotonic();
    let mut run = None;
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        let run = run.get_or_insert_with(|| TickedCall::began(started));
        match run.tick(&control, deadline) {
            Some(stopped) => Err(wasmtime::Error::from(stopped)),
            None => Ok(UpdateDeadline::Continue(1)),
        }
    });
}

/// A call that has reached its first tick.
struct TickedCall {
    started: Instant,
    cpu: CpuTime,
    /// Charge for the time before the first tick, an upper bound.
    estimated: Duration,
    /// CPU time and wall-clock time at the end of the last tick.
    used: Duration,
    seen: Instant,
}

impl TickedCall {
    fn began(started: Instant) -> Self {
        let estimated = clock::elapsed(started).min(TICK);
        let cpu = CpuTime::began_before(estimated);
        Self { started, cpu, estimated, used: estimated, seen: clock::monotonic() }
    }

    /// Returns why the call must stop, or pauses it if necessary.
    fn tick(&mut self, control: &CallControl, deadline: Duration) -> Option<Stopped> {
        let used = self.cpu.elapsed();
        if control.abandoned.as_ref().is_some_and(|flag| flag.load(Relaxed)) {
            return Some(Stopped::Abandoned);
        }
        if used > deadline {
            return Some(Stopped::Overdue { ms: u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX) });
        }
        if control.pace == Pace::OneSlice && used >= self.estimated + SLICE {
            return Some(Stopped::Slice);
        }
        if clock::elapsed(self.started) > MAX_WALL_TIME {
            return Some(Stopped::Starved);
        }
        if let Pace::Yields { ticks } = control.pace
            && clock::elapsed(self.seen) > used.saturating_sub(self.used) + SHARED_CORE_WAIT
        {
            thread::park_timeout(TICK * ticks);
        }
        (self.used, self.seen) = (used, clock::monotonic());
        None
    }
}

/// CPU time of the calling thread since a start.
pub(super) struct CpuTime(Duration);

impl CpuTime {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self(Self::now())
    }

    /// Starts so that `used` has already elapsed.
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

/// The thread that increments the epoch. It ends when this is dropped.
pub(super) struct Ticker {
    state: Arc<TickerState>,
    thread: Thread,
    handle: Option<JoinHandle<()>>,
}

struct TickerState {
    running: AtomicUsize,
    asleep: AtomicBool,
    ended: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: &Engine) -> std::io::Result<Self> {
        let state = Arc::new(TickerState {
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let (thread_state, engine) = (Arc::clone(&state), engine.clone());
        let handle = thread::Builder::new()
            .name("sandbox-epoch".to_owned())
            .spawn(move || thread_state.tick(&engine))?;
        Ok(Self { state, thread: handle.thread().clone(), handle: Some(handle) })
    }

    /// Keeps the epochs advancing until the guard is dropped.
    pub(super) fn run(&self) -> RunningGuard<'_> {
        self.state.running.fetch_add(1, SeqCst);
        if self.state.asleep.load(SeqCst) {
            self.thread.unpark();
        }
        RunningGuard(&self.state.running)
    }
}

impl TickerState {
    fn tick(&self, engine: &Engine) {
        let mut idle = 0;
        while !self.ended.load(SeqCst) {
            thread::park_timeout(TICK);
            engine.increment_epoch();
            idle = if self.running.load(SeqCst) == 0 { idle + 1 } else { 0 };
            if idle < IDLE_TICKS {
                continue;
            }
            // In this order, either the caller sees that this thread sleeps, or this thread sees the call.
            self.asleep.store(true, SeqCst);
            while self.running.load(SeqCst) == 0 && !self.ended.load(SeqCst) {
                thread::park();
            }
            self.asleep.store(false, SeqCst);
            idle = 0;
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.ended.store(true, SeqCst);
        self.thread.unpark();
        if let Some(handle) = self.handle.take() {
            drop(handle.join());
        }
    }
}

/// A running call.
pub(super) struct RunningGuard<'a>(&'a AtomicUsize);

impl Drop for RunningGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
