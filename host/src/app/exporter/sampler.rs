//! Figures that take longer to read: of the database, and those for which each hook is looked at.

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
    tenants_waiting: usize,
    oldest_due: Duration,
    storage: Option<StorageFigures>,
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
        let run = Arc::clone(&sampler).run();
        tokio::spawn(parts.stop.clone().run_until_cancelled_owned(run));
        sampler
    }

    async fn run(self: Arc<Self>) {
        loop {
            let began = clock::monotonic();
            match self.sample().await {
                Ok(sample) => *lock(&self.latest) = sample,
                Err(error) => {
                    if let Some(unlogged) = FAILURES.permit() {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(unlogged, error, "cannot read figures of the database for monitoring");
                    }
                }
            }
            tokio::time::sleep(EVERY.max(clock::elapsed(began) * PART_OF_TIME)).await;
            if clock::elapsed(*lock(&self.asked_at)) > UNASKED {
                self.asked.notified().await;
            }
        }
    }

    async fn sample(&self) -> Result<Sample, StorageError> {
        let hooks = self.count_hooks();
        let backlog = self.stores.deliveries.backlog().await?;
        let due = backlog.iter().filter_map(|one| {
            let hook = self.directory.hook(one.hook).filter(|hook| self.directory.sends(hook))?;
            Some((hook.id, hook.tenant, one.first_due_at))
        });
        let (tenants_waiting, oldest_due) = self.dispatcher.waiting(due, self.clock.now());
        let storage = Some(self.stores.figures.figures().await?);
        Ok(Sample { hooks, tenants_waiting, oldest_due, storage })
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
        let sample = lock(&self.latest).clone();
        let Sample { hooks, tenants_waiting, oldest_due, storage } = sample;
        page.gauges_by(
            ("hookwright_hooks", "Hooks of all tenants."),
            "state",
            STATES.into_iter().zip(hooks),
        )?;
        let head = (
            "hookwright_tenants_waiting",
            "Tenants with deliveries that could start and wait for a free request.",
        );
        page.gauge(head, tenants_waiting)?;
        let head = (
            "hookwright_oldest_due_seconds",
            "For how long the oldest delivery has waited only for this engine.",
        );
        page.gauge(head, oldest_due.as_secs_f64())?;
        let queue = self.dispatcher.figures();
        let in_memory = [("queued", queue.queued as u64), ("delivering", queue.unfinished as u64)];
        let on_disk = storage.map(|storage| [("pending", storage.pending), ("waiting", storage.waiting)]);
        let head = ("hookwright_deliveries", "Deliveries that are not finished.");
        page.gauges_by(head, "state", in_memory.into_iter().chain(on_disk.into_iter().flatten()))?;
        storage.map_or(Ok(()), |storage| write_storage(page, &storage))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn write_storage(page: &mut Page<'_>, figures: &StorageFigures) -> fmt::Result {
    let head = ("hookwright_replay_jobs", "Jobs that are not finished.");
    page.gauges_by(head, "state", [("running", figures.running_jobs), ("paused", figures.paused_jobs)])?;
    page.gauge(
        ("hookwright_database_bytes", "The size of the database, without its log."),
        figures.database_bytes,
    )?;
    if let Some(bytes) = figures.log_bytes {
        page.gauge(("hookwright_wal_bytes", "The size of the database's write-ahead log."), bytes)?;
    }
    let labels = vec![
        ("version", env!("CARGO_PKG_VERSION")),
        ("commit", option_env!("HOOKWRIGHT_COMMIT").unwrap_or("unknown")),
    ];
    let schema = figures.schema.to_string();
    let labels = labels.into_iter().chain([("schema", schema.as_str())]).collect();
    page.gauges(("hookwright_build_info", "Which engine this is; always 1."), [(labels, 1_u32)])
}
