//! The sandbox's own threads.
//!
//! There are three lanes, each with threads of its own: one thread for each core takes calls that are over within a
//! slice, others take longer ones, and a last one the plugins that keep reaching their limits. The latter two pause their calls
//! while the processors are wanted elsewhere. So whatever a tenant's plugin does, no thread for short calls is held for more
//! than some milliseconds. [`super::history`] says who belongs where, [`super::queue`] whose turn it is in a lane.
//!
//! A thread takes one step of a pipeline at a time. When others wait, the rest of the pipeline goes back into its
//! line, so that nobody waits for more than one step of anybody, however many steps there are. Nothing that waits is
//! dropped, unless nobody waits for it: the number of pipelines waiting is bounded by how many its callers run at
//! once, and over [`MAX_WAITING`] new ones are refused.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::domain::{FaultKind, TenantId};

use super::cost::Costs;
use super::deadline::{Pace, Watch};
use super::history::{Ended, Lane};
use super::invoke::{Interrupted, Invoker};
use super::pipeline::Progress;
use super::schedule::{Schedule, Scheduled};
use super::types::Source;
use super::{PipelineEnd, PipelineRun, SandboxError};

/// How many pipelines may wait.
pub(super) const MAX_WAITING: usize = 16_384;
/// How many of these may be dry runs.
pub(super) const MAX_DRY_RUNS: usize = 1_024;

/// How much kinder threads for long calls are than others.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// A pipeline on its way.
struct Task {
    progress: Progress,
    reply: oneshot::Sender<Result<PipelineRun, SandboxError>>,
    source: Source,
    abandoned: Option<Arc<AtomicBool>>,
    _permit: Option<OwnedSemaphorePermit>,
    /// What was charged for this turn.
    expected: u64,
    /// What it has cost so far.
    cost: Duration,
}

/// The threads. They end after their current step when this is dropped.
pub(super) struct Pool {
    shared: Arc<Shared>,
    dry_runs: Arc<Semaphore>,
}

struct Shared {
    queue: Mutex<Queue>,
    lanes: [LaneState; Lane::ALL.len()],
    invoker: Arc<Invoker>,
}

/// What the threads of one lane share.
#[derive(Default)]
struct LaneState {
    /// How many wait, to be looked at without the lock.
    waiting: AtomicUsize,
    wake: Condvar,
}

struct Queue {
    schedule: Schedule<Task>,
    open: bool,
}

/// A turn that is over.
struct Turn {
    tenant: TenantId,
    source: Source,
    expected: u64,
    cost: Duration,
    ended: Ended,
    /// What is left to do.
    rest: Option<Task>,
}

impl Scheduled for Task {
    fn tenant(&self) -> TenantId {
        self.progress.tenant()
    }

    fn source(&self) -> Source {
        self.source
    }

    fn expect(&mut self, nanoseconds: u64) {
        self.expected = nanoseconds;
    }
}

/// How many threads a lane has, if the engine has so many cores.
fn threads(lane: Lane, cores: usize) -> usize {
    match lane {
        Lane::Quick => cores,
        Lane::Long => cores.saturating_sub(1).max(1),
        Lane::Penalised => 1,
    }
}

/// How many calls there are at once at most.
pub(super) fn calls(cores: usize) -> usize {
    Lane::ALL.into_iter().map(|lane| threads(lane, cores)).sum()
}

impl Pool {
    pub(super) fn start(invoker: &Arc<Invoker>, cores: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { schedule: Schedule::new(), open: true }),
            lanes: Default::default(),
            invoker: Arc::clone(invoker),
        });
        let pool = Self { shared: Arc::clone(&shared), dry_runs: Arc::new(Semaphore::new(MAX_DRY_RUNS)) };
        // A guest's stack is part of the thread's; host functions need some besides.
        let stack = (invoker.limits.stack_bytes * 4).max(2 << 20);
        for lane in Lane::ALL {
            for number in 0..threads(lane, cores) {
                let shared = Arc::clone(&shared);
                let name = match lane {
                    Lane::Quick => format!("sandbox-{number}"),
                    Lane::Long => format!("sandbox-long-{number}"),
                    Lane::Penalised => "sandbox-last".to_owned(),
                };
                thread::Builder::new().name(name).stack_size(stack).spawn(move || shared.work(lane))?;
            }
        }
        Ok(pool)
    }

    /// Runs a pipeline to its end. A dry run ends when the answer's future is dropped.
    pub(super) async fn run(&self, progress: Progress, source: Source) -> Result<PipelineRun, SandboxError> {
        let tenant = progress.tenant();
        let (permit, watcher) = match source {
            Source::Hook(_) => (None, None),
            Source::DryRun => {
                let permit = Arc::clone(&self.dry_runs).try_acquire_owned();
                let permit = permit.map_err(|_| SandboxError::Overloaded)?;
                let abandoned = Arc::default();
                (Some(permit), Some(Watcher { pool: self, tenant, abandoned }))
            }
        };
        let (reply, answer) = oneshot::channel();
        let abandoned = watcher.as_ref().map(|watcher| Arc::clone(&watcher.abandoned));
        let cost = Duration::ZERO;
        self.shared.push(Task { progress, reply, source, abandoned, _permit: permit, expected: 0, cost })?;
        answer.await.unwrap_or(Err(SandboxError::ShutDown))
    }

    pub(super) fn shut_down(&self) {
        let mut queue = self.shared.lock();
        queue.open = false;
        let waiting = std::mem::replace(&mut queue.schedule, Schedule::new());
        drop(queue);
        drop(waiting);
        self.shared.wake_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Waits for a dry run. Dropped, it takes back what nobody waits for.
struct Watcher<'a> {
    pool: &'a Pool,
    tenant: TenantId,
    abandoned: Arc<AtomicBool>,
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        let shared = &self.pool.shared;
        let mut queue = shared.lock();
        let is_abandoned =
            |task: &Task| task.abandoned.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
        let taken = queue.schedule.take_where(self.tenant, Source::DryRun, is_abandoned);
        shared.count(&queue);
        drop(queue);
        drop(taken);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, lane: Lane) -> &LaneState {
        &self.lanes[lane as usize]
    }

    fn wake_all(&self) {
        for lane in &self.lanes {
            lane.wake.notify_all();
        }
    }

    fn count(&self, queue: &Queue) {
        for lane in Lane::ALL {
            self.of(lane).waiting.store(queue.schedule.waiting(lane), Ordering::Relaxed);
        }
    }

    fn push(&self, task: Task) -> Result<(), SandboxError> {
        let mut queue = self.lock();
        if !queue.open {
            return Err(SandboxError::ShutDown);
        }
        if queue.schedule.len() >= MAX_WAITING {
            return Err(SandboxError::Overloaded);
        }
        let lane = queue.schedule.push(task, Instant::now());
        self.of(lane).waiting.store(queue.schedule.waiting(lane), Ordering::Relaxed);
        drop(queue);
        self.of(lane).wake.notify_one();
        Ok(())
    }

    fn work(&self, lane: Lane) {
        give_way(lane);
        let (mut costs, mut turn) = (Costs::new(), None);
        while let Some(task) = self.next(lane, turn.take()) {
            turn = Some(self.advance(lane, task, &mut costs));
        }
    }

    /// Waits for work; what has begun goes on at once if nobody else waits. `None`: it is over.
    fn next(&self, lane: Lane, turn: Option<Turn>) -> Option<Task> {
        let state = self.of(lane);
        let turn = match turn {
            Some(Turn { ended: Ended::Well, rest: Some(mut task), cost, .. })
                if state.waiting.load(Ordering::Relaxed) == 0 =>
            {
                task.cost = cost;
                return Some(task);
            }
            turn => turn,
        };
        let (mut queue, mut yielded) = (self.lock(), false);
        if let Some(turn) = turn {
            self.end(&mut queue, lane, turn);
        }
        loop {
            if !queue.open {
                return None;
            }
            let pause = match lane {
                Lane::Penalised => self.end_pauses(&mut queue),
                Lane::Quick | Lane::Long => None,
            };
            if let Some(task) = queue.schedule.pop(lane) {
                state.waiting.store(queue.schedule.waiting(lane), Ordering::Relaxed);
                return Some(task);
            }
            if yielded {
                queue = match pause {
                    None => state.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                    Some(pause) => {
                        state.wake.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner).0
                    }
                };
            } else {
                // While others have the core they may submit something, and then nobody need be woken.
                drop(queue);
                thread::yield_now();
                queue = self.lock();
            }
            yielded = !yielded;
        }
    }

    /// Takes note of a turn, and puts what is left to do in its place.
    fn end(&self, queue: &mut Queue, lane: Lane, turn: Turn) {
        let Turn { tenant, source, expected, cost, ended, rest } = turn;
        let now = Instant::now();
        let others = queue.schedule.charge(lane, (tenant, source), expected, cost, ended, now);
        let went = rest.filter(|_| queue.open).map(|task| queue.schedule.push_begun(task, now));
        if others {
            self.count(queue);
            self.wake_all();
        } else if let Some(went) = went {
            self.of(went).waiting.store(queue.schedule.waiting(went), Ordering::Relaxed);
            if went != lane {
                self.of(went).wake.notify_one();
            }
        }
    }

    /// Answers how long the next pause lasts.
    fn end_pauses(&self, queue: &mut Queue) -> Option<Duration> {
        let now = Instant::now();
        if queue.schedule.end_pauses(now) {
            self.count(queue);
            self.wake_all();
        }
        queue.schedule.next_end().map(|end| end.saturating_duration_since(now))
    }

    /// One step. The task comes back unless this was the last, or nobody waits for it any more.
    fn advance(&self, lane: Lane, mut task: Task, costs: &mut Costs) -> Turn {
        let (tenant, source, expected, spent) = (task.tenant(), task.source, task.expected, task.cost);
        let turn = |cost, ended, rest| Turn { tenant, source, expected, cost: spent + cost, ended, rest };
        if task.reply.is_closed() {
            return turn(Duration::ZERO, Ended::Well, None);
        }
        let watch = Watch { pace: pace(lane), abandoned: task.abandoned.clone() };
        let started = Instant::now();
        let advanced = catch_unwind(AssertUnwindSafe(|| task.progress.advance(&self.invoker, &watch)));
        let cost = costs.of(started);
        let (end, ended) = match advanced {
            Ok(Ok(None)) => return turn(cost, Ended::Well, Some(task)),
            Ok(Err(Interrupted::Slice)) => return turn(cost, Ended::Overran, Some(task)),
            Ok(Err(Interrupted::Abandoned)) => return turn(cost, Ended::Well, None),
            Ok(Ok(Some(end))) => {
                let ended = if is_at_a_limit(&end) { Ended::AtALimit } else { Ended::Well };
                (Ok(task.progress.finish(end)), ended)
            }
            Ok(Err(Interrupted::Failed(error))) => (Err(error), Ended::Well),
            Err(panic) => (Err(SandboxError::Panicked(words(&*panic))), Ended::Well),
        };
        drop(task.reply.send(end));
        turn(cost, ended, None)
    }
}

fn is_at_a_limit(end: &PipelineEnd) -> bool {
    matches!(
        end,
        PipelineEnd::Fault { fault, .. }
            if matches!(fault.kind, FaultKind::Deadline | FaultKind::OutOfFuel | FaultKind::OutOfMemory)
    )
}

/// How the calls of a lane make room for others.
fn pace(lane: Lane) -> Pace {
    match lane {
        Lane::Quick => Pace::OneSlice,
        Lane::Long => Pace::GivesWay { ticks: 2 },
        Lane::Penalised => Pace::GivesWay { ticks: 9 },
    }
}

/// Has the operating system prefer other threads to those for long calls, but only a little: such a thread takes locks
/// that others wait for, and must not be kept from giving them back.
fn give_way(lane: Lane) {
    if lane == Lane::Quick {
        return;
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "a thread keeps its priority");
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
