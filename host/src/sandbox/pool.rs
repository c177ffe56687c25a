//! The threads of the sandbox.
//!
//! There are three lanes with their own threads: one thread per core for calls that end within a slice, further threads
//! for longer calls, and one for plugins that keep hitting their limits. Threads of the latter two lanes pause their
//! calls while other threads need the cores. So no plugin holds a thread for short calls for more than a few
//! milliseconds. [`super::history`] selects the lane, and [`super::queue`] the next work of a lane.
//!
//! A thread runs one step of a pipeline at a time. If other work waits, the rest of the pipeline goes back to its
//! queue, so no work waits for more than one step of another pipeline. Waiting work is dropped only if its caller is
//! gone. Callers bound the number of concurrent pipelines; above [`MAX_WAITING`], new ones are refused.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::clock;
use crate::domain::{FaultKind, TenantId};

use super::cost::CostMeter;
use super::deadline::{CallControl, Pace};
use super::history::{Lane, RunEnd};
use super::interrupted::Interrupted;
use super::invoke::Invoker;
use super::pipeline::Progress;
use super::schedule::{Schedule, Scheduled};
use super::types::Source;
use super::{PipelineEnd, PipelineRun, SandboxError};

/// Maximum number of waiting pipelines.
pub(super) const MAX_WAITING: usize = 16_384;
/// Maximum number of dry runs among them.
pub(super) const MAX_DRY_RUNS: usize = 1_024;

/// `nice` increment of threads for long calls.
#[cfg(target_os = "linux")]
const NICE: i32 = 5;

/// A submitted pipeline.
struct Task {
    progress: Progress,
    reply: oneshot::Sender<Result<PipelineRun, SandboxError>>,
    source: Source,
    abandoned: Option<Arc<AtomicBool>>,
    _permit: Option<OwnedSemaphorePermit>,
    /// Cost charged in advance for this run, in nanoseconds.
    expected: u64,
    /// Cost of this run so far.
    cost: Duration,
}

/// The threads. When this is dropped, they end after their current step.
pub(super) struct Pool {
    state: Arc<PoolState>,
    dry_runs: Arc<Semaphore>,
}

struct PoolState {
    queue: Mutex<Queue>,
    lanes: [LaneState; Lane::ALL.len()],
    invoker: Arc<Invoker>,
}

/// State shared by the threads of a lane.
#[derive(Default)]
struct LaneState {
    /// Number of waiting tasks, readable without the lock.
    waiting: AtomicUsize,
    wake: Condvar,
}

struct Queue {
    schedule: Schedule<Task>,
    open: bool,
}

/// A finished run of a task: one or more steps without returning to the queue.
struct FinishedRun {
    tenant: TenantId,
    source: Source,
    expected: u64,
    cost: Duration,
    end: RunEnd,
    /// The task, if it has more steps.
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

/// Number of threads of a lane for this number of cores.
fn threads(lane: Lane, cores: usize) -> usize {
    match lane {
        Lane::Quick => cores,
        Lane::Long => cores.saturating_sub(1).max(1),
        Lane::Penalised => 1,
    }
}

/// Maximum number of concurrent calls.
pub(super) fn calls(cores: usize) -> usize {
    Lane::ALL.into_iter().map(|lane| threads(lane, cores)).sum()
}

impl Pool {
    pub(super) fn start(invoker: &Arc<Invoker>, cores: usize) -> std::io::Result<Self> {
        let state = Arc::new(PoolState {
            queue: Mutex::new(Queue { schedule: Schedule::new(), open: true }),
            lanes: Default::default(),
            invoker: Arc::clone(invoker),
        });
        let pool = Self { state: Arc::clone(&state), dry_runs: Arc::new(Semaphore::new(MAX_DRY_RUNS)) };
        // The guest's stack is part of the thread's stack; host functions need the rest.
        let stack = (invoker.limits.stack_bytes * 4).max(2 << 20);
        for lane in Lane::ALL {
            for number in 0..threads(lane, cores) {
                let state = Arc::clone(&state);
                let name = match lane {
                    Lane::Quick => format!("sandbox-{number}"),
                    Lane::Long => format!("sandbox-long-{number}"),
                    Lane::Penalised => "sandbox-penalty".to_owned(),
                };
                thread::Builder::new().name(name).stack_size(stack).spawn(move || state.work(lane))?;
            }
        }
        Ok(pool)
    }

    /// Runs a pipeline to its end. Dropping the future stops a dry run.
    pub(super) async fn run(&self, progress: Progress, source: Source) -> Result<PipelineRun, SandboxError> {
        let tenant = progress.tenant();
        let (permit, guard) = match source {
            Source::Hook(_) => (None, None),
            Source::DryRun => {
                let permit = Arc::clone(&self.dry_runs).try_acquire_owned();
                let permit = permit.map_err(|_| SandboxError::Overloaded)?;
                let abandoned = Arc::default();
                (Some(permit), Some(AbandonGuard { pool: self, tenant, abandoned }))
            }
        };
        let (reply, result) = oneshot::channel();
        let abandoned = guard.as_ref().map(|guard| Arc::clone(&guard.abandoned));
        let cost = Duration::ZERO;
        self.state.push(Task { progress, reply, source, abandoned, _permit: permit, expected: 0, cost })?;
        result.await.unwrap_or(Err(SandboxError::ShutDown))
    }

    pub(super) fn shut_down(&self) {
        let mut queue = self.state.lock();
        queue.open = false;
        let waiting = std::mem::replace(&mut queue.schedule, Schedule::new());
        drop(queue);
        drop(waiting);
        self.state.wake_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut_down();
    }
}

/// Marks a dry run as abandoned when it is dropped, and removes it from the queue.
struct AbandonGuard<'a> {
    pool: &'a Pool,
    tenant: TenantId,
    abandoned: Arc<AtomicBool>,
}

impl Drop for AbandonGuard<'_> {
    fn drop(&mut self) {
        self.abandoned.store(true, Ordering::Relaxed);
        let state = &self.pool.state;
        let mut queue = state.lock();
        let is_abandoned =
            |task: &Task| task.abandoned.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed));
        let taken = queue.schedule.take_where(self.tenant, Source::DryRun, is_abandoned);
        state.update_counts(&queue);
        drop(queue);
        drop(taken);
    }
}

impl PoolState {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, lane: Lane) -> &LaneState {
        &self.lanes[lane as usize]
    }

    fn wake_all(&self) {
        for lane in &self.lanes {
            lane.wake.notify_all();
        }
    }

    fn update_counts(&self, queue: &Queue) {
        for lane in Lane::ALL {
            self.lane(lane).waiting.store(queue.schedule.waiting(lane), Ordering::Relaxed);
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
        let lane = queue.schedule.push(task, clock::monotonic());
        self.lane(lane).waiting.store(queue.schedule.waiting(lane), Ordering::Relaxed);
        drop(queue);
        self.lane(lane).wake.notify_one();
        Ok(())
    }

    fn work(&self, lane: Lane) {
        lower_priority(lane);
        let (mut cost_meter, mut finished) = (CostMeter::new(), None);
        while let Some(task) = self.next(lane, finished.take()) {
            finished = Some(self.advance(lane, task, &mut cost_meter));
        }
    }

    /// Waits for the next task; continues the last one if no other waits. Returns `None` after a shutdown.
    fn next(&self, lane: Lane, finished: Option<FinishedRun>) -> Option<Task> {
        let state = self.lane(lane);
        let finished = match finished {
            Some(FinishedRun { end: RunEnd::Completed, rest: Some(mut task), cost, .. })
                if state.waiting.load(Ordering::Relaxed) == 0 =>
            {
                task.cost = cost;
                return Some(task);
            }
            finished => finished,
        };
        let (mut queue, mut yielded) = (self.lock(), false);
        if let Some(finished) = finished {
            self.end_run(&mut queue, lane, finished);
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
                // A task that other threads submit meanwhile needs no wake-up.
                drop(queue);
                thread::yield_now();
                queue = self.lock();
            }
            yielded = !yielded;
        }
    }

    /// Records a finished run and queues its remaining steps.
    fn end_run(&self, queue: &mut Queue, lane: Lane, finished: FinishedRun) {
        let FinishedRun { tenant, source, expected, cost, end, rest } = finished;
        let now = clock::monotonic();
        let others_moved = queue.schedule.charge(lane, (tenant, source), expected, cost, end, now);
        let queued = rest.filter(|_| queue.open).map(|task| queue.schedule.push_started(task, now));
        if others_moved {
            self.update_counts(queue);
            self.wake_all();
        } else if let Some(queued) = queued {
            self.lane(queued).waiting.store(queue.schedule.waiting(queued), Ordering::Relaxed);
            if queued != lane {
                self.lane(queued).wake.notify_one();
            }
        }
    }

    /// Queues work whose pause has ended. Returns the time until the next pause ends.
    fn end_pauses(&self, queue: &mut Queue) -> Option<Duration> {
        let now = clock::monotonic();
        if queue.schedule.end_pauses(now) {
            self.update_counts(queue);
            self.wake_all();
        }
        queue.schedule.next_end().map(|end| end.saturating_duration_since(now))
    }

    /// Runs one step. The result contains the task unless this was its last step or its caller is gone.
    fn advance(&self, lane: Lane, mut task: Task, cost_meter: &mut CostMeter) -> FinishedRun {
        let (tenant, source, expected, spent) = (task.tenant(), task.source, task.expected, task.cost);
        let finished =
            |cost, end, rest| FinishedRun { tenant, source, expected, cost: spent + cost, end, rest };
        if task.reply.is_closed() {
            return finished(Duration::ZERO, RunEnd::Completed, None);
        }
        let control = CallControl { pace: pace(lane), abandoned: task.abandoned.clone() };
        let started = clock::monotonic();
        let advanced = catch_unwind(AssertUnwindSafe(|| task.progress.advance(&self.invoker, &control)));
        let cost = cost_meter.charge(started);
        let (result, end) = match advanced {
            Ok(Ok(None)) => return finished(cost, RunEnd::Completed, Some(task)),
            Ok(Err(Interrupted::Slice)) => return finished(cost, RunEnd::Overran, Some(task)),
            Ok(Err(Interrupted::Abandoned)) => return finished(cost, RunEnd::Completed, None),
            Ok(Ok(Some(end))) => {
                let run_end = if hit_limit(&end) { RunEnd::HitLimit } else { RunEnd::Completed };
                (Ok(task.progress.finish(end)), run_end)
            }
            Ok(Err(Interrupted::Failed(error))) => (Err(error), RunEnd::Completed),
            Err(panic) => (Err(SandboxError::Panicked(panic_message(&*panic))), RunEnd::Completed),
        };
        drop(task.reply.send(result));
        finished(cost, end, None)
    }
}

fn hit_limit(end: &PipelineEnd) -> bool {
    matches!(
        end,
        PipelineEnd::Fault { fault, .. }
            if matches!(fault.kind, FaultKind::Deadline | FaultKind::OutOfFuel | FaultKind::OutOfMemory)
    )
}

/// How calls of a lane make room for other threads.
fn pace(lane: Lane) -> Pace {
    match lane {
        Lane::Quick => Pace::OneSlice,
        Lane::Long => Pace::Yields { ticks: 2 },
        Lane::Penalised => Pace::Yields { ticks: 9 },
    }
}

/// Lowers the priority of threads for long calls, but only a little: such a thread may hold a lock that others need,
/// and must not starve while it does.
fn lower_priority(lane: Lane) {
    if lane == Lane::Quick {
        return;
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICE) {
        tracing::debug!(%error, "lowering the priority of a sandbox thread failed");
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
