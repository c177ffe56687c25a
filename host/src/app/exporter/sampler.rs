//! Figures that take longer to read: of the database, and those for which each hook is looked at.
//!
//! What cannot be read any more is not shown any more: an old number is worse than none, and alerts see that it is missing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::page::Page;
use super::parts::Parts;
use crate::clock::{self, Clock};
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{Hook, HookId};
use crate::log_limiter::LogLimiter;
use crate::storage::{Storage, StorageError, StorageFigures};

/// How often they are read at most.
const EVERY: Duration = Duration::from_secs(5);
/// Reading takes at most one part in so many of the time.
const PART_OF_TIME: u32 = 50;
/// They are read again after this at most, if they could not be read.
const AGAIN: Duration = Duration::from_secs(30);
/// They are shown until they should have been read again so often.
const MISSED: u32 = 3;
/// If nobody asks for so long, they are not read until somebody does.
const UNASKED: Duration = Duration::from_secs(300);
/// Why they cannot be read is logged now and then.
static FAILURES: LogLimiter = LogLimiter::new();

/// The states of hooks.
const STATES: [&str; 5] = ["ok", "failing", "circuit_open", "paused", "disabled"];

/// See the module's head.
pub(super) struct Sampler {
    clock: Arc<dyn Clock>,
    stores: Storage,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    latest: Mutex<Sample>,
    /// Notified when somebody asks for the figures, and when that was.
    asked: Notify,
    asked_at: Mutex<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Sample {
    hooks: [u64; STATES.len()],
    read: Option<Read>,
}

/// What was read of the database.
#[derive(Debug, Clone, Copy)]
struct Read {
    tenants_waiting: usize,
    oldest_due: Duration,
    storage: StorageFigures,
    /// Until when it is shown.
    fresh_until: Instant,
}

impl Sampler {
    /// Reads the figures until the token of `parts` is cancelled.
    pub(super) fn start(parts: &Parts) -> Arc<Self> {
        let sampler = Arc::new(Self {
            clock: Arc::clone(&parts.clock),
            stores: parts.stores.clone(),
            directory: Arc::clone(&parts.directory),
            dispatcher: Arc::clone(&parts.dispatcher),
            latest: Mutex::default(),
            asked: Notify::new(),
            asked_at: Mutex::new(clock::monotonic()),
        });
        lock(&sampler.latest).hooks = sampler.count_hooks();
        let run = Arc::clone(&sampler).run();
        tokio::spawn(parts.stop.clone().run_until_cancelled_owned(run));
        sampler
    }

    async fn run(self: Arc<Self>) {
        loop {
            let began = clock::monotonic();
            let hooks = self.count_hooks();
            lock(&self.latest).hooks = hooks;
            let read = self.read().await;
            let wait = EVERY.max(clock::elapsed(began) * PART_OF_TIME);
            let wait = if read.is_ok() { wait } else { wait.min(AGAIN) };
            match read {
                Ok(read) => {
                    let fresh_until = clock::monotonic() + (wait + clock::elapsed(began)) * MISSED;
                    lock(&self.latest).read = Some(Read { fresh_until, ..read });
                }
                Err(error) => {
                    if let Some(unlogged) = FAILURES.permit() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(unlogged, error, "cannot read figures of the database for monitoring");
                    }
                }
            }
            tokio::time::sleep(wait).await;
            if clock::elapsed(*lock(&self.asked_at)) > UNASKED {
                self.asked.notified().await;
            }
        }
    }

    async fn read(&self) -> Result<Read, StorageError> {
        let backlog = self.stores.deliveries.backlog().await?;
        let due = backlog.iter().filter_map(|one| {
            let hook = self.directory.hook(one.hook).filter(|hook| self.directory.sends(hook))?;
            Some((hook.id, hook.tenant, one.first_due_at))
        });
        let (tenants_waiting, oldest_due) = self.dispatcher.waiting(due, self.clock.now());
        let storage = self.stores.figures.figures().await?;
        Ok(Read { tenants_waiting, oldest_due, storage, fresh_until: clock::monotonic() })
    }

    /// How many hooks are in which of [`STATES`].
    fn count_hooks(&self) -> [u64; STATES.len()] {
        let unwell = self.dispatcher.health().unwell_hooks();
        let mut counts = [0; STATES.len()];
        for hook in self.directory.all_hooks() {
            counts[self.state_of(&hook, &unwell)] += 1;
        }
        counts
    }

    /// The index of the hook's state. `unwell` says of some whether their circuits are open.
    fn state_of(&self, hook: &Hook, unwell: &HashMap<HookId, bool>) -> usize {
        match unwell.get(&hook.id) {
            _ if !hook.enabled => 4,
            _ if !self.directory.sends(hook) => 3,
            Some(true) => 2,
            Some(false) => 1,
            None => 0,
        }
    }

    pub(super) fn write(&self, page: &mut Page<'_>) -> fmt::Result {
        *lock(&self.asked_at) = clock::monotonic();
        self.asked.notify_one();
        let Sample { hooks, read } = lock(&self.latest).clone();
        let now = clock::monotonic();
        let read = read.filter(|read| now < read.fresh_until);
        page.gauges_by(
            ("hookwright_hooks", "Hooks of all tenants."),
            "state",
            STATES.into_iter().zip(hooks),
        )?;
        let queue = self.dispatcher.figures();
        let in_memory = [("queued", queue.queued as u64), ("delivering", queue.unfinished as u64)];
        let on_disk =
            read.map(|Read { storage, .. }| [("pending", storage.pending), ("waiting", storage.waiting)]);
        let head = ("hookwright_deliveries", "Deliveries that are not finished.");
        page.gauges_by(head, "state", in_memory.into_iter().chain(on_disk.into_iter().flatten()))?;
        read.map_or(Ok(()), |read| write_read(page, &read))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_read(page: &mut Page<'_>, read: &Read) -> fmt::Result {
    let Read { tenants_waiting, oldest_due, storage, .. } = read;
    let head = (
        "hookwright_tenants_waiting",
        "Tenants with deliveries that could start and wait for a free request.",
    );
    page.gauge(head, *tenants_waiting)?;
    let head = (
        "hookwright_oldest_due_seconds",
        "For how long the oldest delivery has waited only for this engine.",
    );
    page.gauge(head, oldest_due.as_secs_f64())?;
    let head = ("hookwright_replay_jobs", "Jobs that are not finished.");
    page.gauges_by(head, "state", [("running", storage.running_jobs), ("paused", storage.paused_jobs)])?;
    page.gauge(
        ("hookwright_database_bytes", "The size of the database, without its log."),
        storage.database_bytes,
    )?;
    let head = ("hookwright_wal_bytes", "The size of the database's write-ahead log.");
    storage.log_bytes.map_or(Ok(()), |bytes| page.gauge(head, bytes))
}
