//! The sandbox's own threads.
//!
//! A thread takes one step of a pipeline at a time. When other tenants wait, the rest of the
//! pipeline goes back into its tenant's line, so that nobody waits for more than one step of
//! anybody, however many steps there are. Nobody who waits is dropped: the number of pipelines
//! waiting is bounded by how many its callers run at once, and over [`MAX_WAITING`] new ones are
//! refused.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

use crate::domain::TenantId;

use super::invoke::Invoker;
use super::pipeline::Progress;
use super::{PipelineRun, SandboxError};

/// How many pipelines may wait.
pub(super) const MAX_WAITING: usize = 16_384;

/// A pipeline on its way.
struct Task {
    progress: Progress,
    reply: oneshot::Sender<Result<PipelineRun, SandboxError>>,
}

/// The threads. Whoever drops this ends them after their current step.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// How many wait, to be looked at without the lock.
    waiting: AtomicUsize,
    wake: Condvar,
    invoker: Arc<Invoker>,
}

struct Queue {
    fair: super::queue::FairQueue<TenantId, Task>,
    open: bool,
}

impl Pool {
    pub(super) fn start(invoker: &Arc<Invoker>, threads: usize) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::new(Queue { fair: super::queue::FairQueue::new(), open: true }),
            waiting: AtomicUsize::new(0),
            wake: Condvar::new(),
            invoker: Arc::clone(invoker),
        });
        let pool = Self(Arc::clone(&shared));
        // A guest's stack is part of the thread's; host functions need some besides.
        let stack = (invoker.limits.stack_bytes * 4).max(2 << 20);
        for number in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("sandbox-{number}"))
                .stack_size(stack)
                .spawn(move || shared.work())?;
        }
        Ok(pool)
    }

    /// Runs a pipeline to its end.
    pub(super) async fn run(&self, progress: Progress) -> Result<PipelineRun, SandboxError> {
        let (reply, answer) = oneshot::channel();
        self.0.push(Task { progress, reply })?;
        answer.await.unwrap_or(Err(SandboxError::ShutDown))
    }

    pub(super) fn shut_down(&self) {
        let mut queue = self.0.lock();
        queue.open = false;
        while queue.fair.pop().is_some() {}
        drop(queue);
        self.0.wake.notify_all();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shut_down();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, task: Task) -> Result<(), SandboxError> {
        let mut queue = self.lock();
        if !queue.open {
            return Err(SandboxError::ShutDown);
        }
        if queue.fair.len() >= MAX_WAITING {
            return Err(SandboxError::Overloaded);
        }
        queue.fair.push(task.progress.tenant(), task);
        self.waiting.store(queue.fair.len(), Ordering::Relaxed);
        drop(queue);
        self.wake.notify_one();
        Ok(())
    }

    fn work(&self) {
        let mut begun = None;
        while let Some(task) = self.next(begun.take()) {
            begun = self.advance(task);
        }
    }

    /// Waits for work; what has begun goes on at once if nobody else waits. `None`: it is over.
    fn next(&self, begun: Option<Task>) -> Option<Task> {
        if self.waiting.load(Ordering::Relaxed) == 0 && begun.is_some() {
            return begun;
        }
        let (mut queue, mut yielded) = (self.lock(), false);
        if let Some(task) = begun {
            queue.fair.push_begun(task.progress.tenant(), task);
        }
        loop {
            if !queue.open {
                return None;
            }
            if let Some(task) = queue.fair.pop() {
                self.waiting.store(queue.fair.len(), Ordering::Relaxed);
                return Some(task);
            }
            if yielded {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                // While others have the core they may hand something in, and then nobody need be woken.
                drop(queue);
                thread::yield_now();
                queue = self.lock();
            }
            yielded = !yielded;
        }
    }

    /// One step; the task comes back unless this was the last, or nobody waits for it any more.
    fn advance(&self, mut task: Task) -> Option<Task> {
        if task.reply.is_closed() {
            return None;
        }
        let advanced = catch_unwind(AssertUnwindSafe(|| task.progress.advance(&self.invoker)));
        let end = match advanced {
            Ok(Ok(None)) => return Some(task),
            Ok(Ok(Some(end))) => Ok(task.progress.finish(end)),
            Ok(Err(error)) => Err(error),
            Err(panic) => Err(SandboxError::Panicked(words(&*panic))),
        };
        drop(task.reply.send(end));
        None
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
