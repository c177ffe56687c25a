//! Figures of this node for operators and for monitoring that take longer to read: of the database, and those for which each
//! hook is looked at. They are read in the background while somebody asks for them.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::hook_states::{HookState, HookStates};
use crate::clock::{self, Clock};
use crate::delivery::{Dispatcher, QueueFigures};
use crate::directory::Directory;
use crate::domain::{Hook, UnixMillis};
use crate::log_limiter::LogLimiter;
use crate::metrics::{Snapshot, deliveries, storage as transactions};
use crate::storage::{self, Space, Storage, StorageError, StorageFigures};

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
/// For how long it is known what was counted before.
const RECENT: Duration = Duration::from_secs(300);
/// Why they cannot be read is logged now and then.
static FAILURES: LogLimiter = LogLimiter::new();

/// The states of hooks that are counted.
pub const COUNTED_STATES: [&str; 5] = ["ok", "failing", "circuit_open", "paused", "disabled"];

/// See the module's head.
pub struct EngineFigures {
    clock: Arc<dyn Clock>,
    data_dir: PathBuf,
    stores: Storage,
    directory: Arc<Directory>,
    dispatcher: Arc<Dispatcher>,
    states: HookStates,
    latest: Mutex<SampledFigures>,
    past: Mutex<VecDeque<Counted>>,
    /// Notified when somebody asks for the figures, and when that was.
    asked: Notify,
    asked_at: Mutex<Instant>,
}

/// What was counted and read last.
#[derive(Debug, Clone, Default)]
pub struct SampledFigures {
    /// How many hooks of all tenants are in which of [`COUNTED_STATES`].
    pub hooks: [u64; COUNTED_STATES.len()],
    /// What was read of the database. `None` if it was not read yet, or cannot be read any more: an old number is worse than none.
    pub read: Option<ReadFigures>,
}

/// What was read of the database.
#[derive(Debug, Clone, Copy)]
pub struct ReadFigures {
    /// When.
    pub at: UnixMillis,
    /// How many tenants have deliveries that could start and wait for a free request.
    pub tenants_waiting: usize,
    /// For how long the oldest delivery has waited only for this engine.
    pub oldest_due: Duration,
    /// What the database says of itself.
    pub storage: StorageFigures,
    /// Until when it is shown.
    fresh_until: Instant,
}

/// What was counted until a moment.
struct Counted {
    at: Instant,
    commits: Snapshot,
    arrivals: Snapshot,
}

impl Counted {
    fn now() -> Self {
        let arrivals = deliveries::ACCEPTANCE_TO_ARRIVAL.snapshot();
        Self { at: clock::monotonic(), commits: transactions::COMMIT_SECONDS.snapshot(), arrivals }
    }
}

/// How long something took lately.
#[derive(Debug, Clone, PartialEq)]
pub struct RecentTimes {
    /// Since how long ago it is counted.
    pub over: Duration,
    /// What was counted.
    pub counted: Snapshot,
}

impl EngineFigures {
    /// Reads the figures until `stop` is cancelled.
    pub fn start(
        (clock, data_dir): (&Arc<dyn Clock>, PathBuf),
        (stores, directory): (&Storage, &Arc<Directory>),
        (dispatcher, states): (&Arc<Dispatcher>, &HookStates),
        stop: &CancellationToken,
    ) -> Arc<Self> {
        let figures = Arc::new(Self {
            clock: Arc::clone(clock),
            data_dir,
            stores: stores.clone(),
            directory: Arc::clone(directory),
            dispatcher: Arc::clone(dispatcher),
            states: states.clone(),
            latest: Mutex::default(),
            past: Mutex::new(VecDeque::from([Counted::now()])),
            asked: Notify::new(),
            asked_at: Mutex::new(clock::monotonic()),
        });
        lock(&figures.latest).hooks = figures.count_hooks();
        let run = Arc::clone(&figures).run();
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        figures
    }

    /// What was read last. Some seconds after a first question there are newer figures.
    pub fn latest(&self) -> SampledFigures {
        let now = clock::monotonic();
        let asked_at = std::mem::replace(&mut *lock(&self.asked_at), now);
        self.asked.notify_one();
        if now.saturating_duration_since(asked_at) > UNASKED {
            // Nobody counts while nobody asks.
            lock(&self.latest).hooks = self.count_hooks();
        }
        let SampledFigures { hooks, read } = lock(&self.latest).clone();
        SampledFigures { hooks, read: read.filter(|read| now < read.fresh_until) }
    }

    /// The newest migration of the database.
    pub fn schema(&self) -> i64 {
        self.stores.figures.schema()
    }

    /// What the dispatcher has in memory now.
    pub fn queue(&self) -> QueueFigures {
        self.dispatcher.figures()
    }

    /// The space of the volume of the data directory, if it is known.
    pub fn disk_space(&self) -> Option<Space> {
        storage::disk_space(&self.data_dir)
    }

    /// How long transactions took in about the last five minutes, and how long deliveries were on their way from the acceptance
    /// of their events to the first request. If nobody has asked for long, it is longer.
    pub fn recent(&self) -> (RecentTimes, RecentTimes) {
        let (now, past) = (Counted::now(), lock(&self.past));
        let then = past.front().unwrap_or(&now);
        let over = now.at.saturating_duration_since(then.at);
        let times = |now: &Snapshot, then| RecentTimes { over, counted: now.since(then) };
        (times(&now.commits, &then.commits), times(&now.arrivals, &then.arrivals))
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
                    lock(&self.latest).read = Some(ReadFigures { fresh_until, ..read });
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
            remember(&mut lock(&self.past), Counted::now());
        }
    }

    async fn read(&self) -> Result<ReadFigures, StorageError> {
        let backlog = self.stores.deliveries.backlog().await?;
        let due = backlog.iter().filter_map(|one| {
            let hook = self.directory.hook(one.hook).filter(|hook| self.directory.sends(hook))?;
            Some((hook.id, hook.tenant, one.first_due_at))
        });
        let now = self.clock.now();
        let (tenants_waiting, oldest_due) = self.dispatcher.waiting(due, now);
        let storage = self.stores.figures.figures().await?;
        Ok(ReadFigures { at: now, tenants_waiting, oldest_due, storage, fresh_until: clock::monotonic() })
    }

    /// How many hooks are in which of [`COUNTED_STATES`].
    fn count_hooks(&self) -> [u64; COUNTED_STATES.len()] {
        let mut counts = [0; COUNTED_STATES.len()];
        for hook in self.directory.all_hooks() {
            counts[counted_as(&hook, &self.states.state_of(&hook))] += 1;
        }
        counts
    }
}

/// The index of what a hook in this state is counted as. Nothing is sent for one that cannot be read, as if it were paused.
fn counted_as(hook: &Hook, state: &HookState) -> usize {
    match state {
        HookState::Disabled(_) => 4,
        HookState::AwaitingPermission { .. } | HookState::Paused { .. } => 3,
        _ if hook.unreadable => 3,
        HookState::CircuitOpen { .. } => 2,
        HookState::Failing { .. } => 1,
        HookState::Ok => 0,
    }
}

/// Adds what is counted now. One that is too old stays only while there is no other.
fn remember(past: &mut VecDeque<Counted>, now: Counted) {
    let is_old = |counted: &mut Counted| now.at.saturating_duration_since(counted.at) > RECENT;
    while past.len() > 1 && past.front_mut().is_some_and(is_old) {
        past.pop_front();
    }
    past.push_back(now);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
