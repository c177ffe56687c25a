//! What clients do with jobs: start, show and change them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::pace;
use crate::delivery::Dispatcher;
use crate::directory::{Directory, DirectoryError};
use crate::domain::audit::MemberChange;
use crate::domain::{
    Actor, AuditAction, AuditObject, DeliveryFilter, DeliveryState, EventKey, Hook, HookId, Job, JobId,
    JobProgress, JobRate, JobState, JobWork, KeyId, Replay, TenantId, UnixMillis,
};
use crate::services::request_limits::{LimitExceeded, RequestLimits};
use crate::sources::Sources;
use crate::storage::{ReplayQuery, ReplayableEvent, Storage, StorageError};

/// How many jobs of a tenant may be running or paused.
const MAX_UNFINISHED: u32 = 16;
/// How many bytes the settings of the pipelines have that a tenant's replays have of their own, together.
const MAX_PIPELINE_BYTES: u64 = 64 << 20;
/// How many searches a dry run makes. Each visits some thousand events.
const MAX_SEARCHES: usize = 40;
/// How many events one search visits, of all tenants.
pub(super) const MAX_VISITED: u32 = 5_000;
/// How many events a dry run counts.
const MAX_COUNTED: u64 = 100_000;

/// Starts jobs, changes and shows them. Clones share one service.
#[derive(Clone)]
pub struct JobService {
    pub(super) sources: Sources,
    pub(super) directory: Arc<Directory>,
    pub(super) storage: Storage,
    pub(super) dispatcher: Arc<Dispatcher>,
    limits: Arc<RequestLimits>,
    /// Wakes the runner.
    pub(super) wake: Arc<Notify>,
}

/// Why a job was not started or changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The tenant has no such job.
    #[error("there is no job `{0}`")]
    NotFound(JobId),
    /// The job's state does not allow the change.
    #[error("the job is {state}: it cannot be {change}")]
    WrongState {
        /// The state.
        state: JobState,
        /// The requested change: `paused`, `resumed` or `cancelled`.
        change: &'static str,
    },
    /// The hook is disabled.
    #[error("the hook `{0}` is disabled; enable it first, or its deliveries would wait")]
    HookDisabled(HookId),
    /// The tenant has too many jobs.
    #[error(
        "a tenant has at most {MAX_UNFINISHED} jobs that are running or paused; wait for one, or cancel one"
    )]
    TooMany,
    /// The tenant's replays have too many settings.
    #[error(
        "the settings of the pipelines of a tenant's replays have at most 64 MiB together; those of a replay are kept for seven \
         days after its end; shorten the settings, or let the replay run the hook's pipeline"
    )]
    TooLarge,
    /// Too many changes of the tenant are in progress.
    #[error(transparent)]
    Limit(#[from] LimitExceeded),
    /// The tenant has made too many changes.
    #[error(transparent)]
    Change(#[from] DirectoryError),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayPreview {
    /// How many events it would send.
    pub events: u64,
    /// Whether there may be more: the search is limited.
    pub at_least: bool,
    /// The first of them.
    pub first: Vec<ReplayableEvent>,
}

impl JobService {
    /// Creates the service from the parts of the engine that it uses.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        storage: Storage,
        dispatcher: Arc<Dispatcher>,
        limits: Arc<RequestLimits>,
    ) -> Self {
        Self { sources, directory, storage, dispatcher, limits, wake: Arc::default() }
    }

    /// Starts to send stored events to `hook` again.
    ///
    /// # Errors
    /// Fails if the hook is disabled, or if the tenant has too many jobs, or too many settings in them.
    pub async fn replay(
        &self,
        hook: &Hook,
        replay: Replay,
        rate: JobRate,
        by: (&Actor, Option<KeyId>),
    ) -> Result<Job, JobError> {
        if !hook.enabled {
            return Err(JobError::HookDisabled(hook.id));
        }
        if replay.pipeline.is_some()
            && self.storage.jobs.pipeline_bytes(hook.tenant).await? > MAX_PIPELINE_BYTES
        {
            return Err(JobError::TooLarge);
        }
        let work = JobWork::Replay(self.until_now(replay));
        self.start(hook.tenant, work, rate, by).await
    }

    /// The same without what is accepted from now on: events of this moment may still be on their way to the disk, and get
    /// their deliveries there.
    fn until_now(&self, replay: Replay) -> Replay {
        Replay { until: replay.until.min(self.sources.now()), ..replay }
    }

    /// Starts to retry deliveries. Those that are made from now on are left out.
    ///
    /// # Errors
    /// Fails if the tenant has too many jobs.
    pub async fn retry(
        &self,
        tenant: TenantId,
        filter: DeliveryFilter,
        rate: JobRate,
        by: (&Actor, Option<KeyId>),
    ) -> Result<Job, JobError> {
        let work = JobWork::Retry(self.made_until_now(filter));
        self.start(tenant, work, rate, by).await
    }

    /// Starts to cancel deliveries. Those that are made from now on are left out.
    ///
    /// # Errors
    /// Fails if the tenant has too many jobs.
    pub async fn cancel(
        &self,
        tenant: TenantId,
        filter: DeliveryFilter,
        by: (&Actor, Option<KeyId>),
    ) -> Result<Job, JobError> {
        let work = JobWork::Cancel(self.made_until_now(filter));
        self.start(tenant, work, JobRate::DEFAULT, by).await
    }

    fn made_until_now(&self, filter: DeliveryFilter) -> DeliveryFilter {
        let now = UnixMillis(self.sources.now().0 + 1);
        let until = filter.until.map_or(now, |until| until.min(now));
        DeliveryFilter { until: Some(until), ..filter }
    }

    async fn start(
        &self,
        tenant: TenantId,
        work: JobWork,
        rate: JobRate,
        (actor, started_by): (&Actor, Option<KeyId>),
    ) -> Result<Job, JobError> {
        let _permit = self.limits.changes.acquire(tenant).await?;
        self.directory.by(actor).check_changes(tenant)?;
        let id = JobId::generate(&self.sources.ids, self.sources.now());
        let progress = JobProgress { examined_to: work.start(), ..JobProgress::default() };
        let (state, reason, finished_at) = (JobState::Running, None, None);
        let job = Job { id, tenant, work, rate, started_by, state, reason, progress, finished_at };
        let changes = vec![MemberChange::new("work", job.work.kind())];
        let entry = self.directory.by(actor).entry(
            Some(tenant),
            AuditAction::JobCreated,
            AuditObject::job(id),
            changes,
        );
        if !self.storage.jobs.insert_job(&job, MAX_UNFINISHED, &entry).await? {
            return Err(JobError::TooMany);
        }
        self.directory.by(actor).count_change(tenant);
        self.wake.notify_one();
        Ok(job)
    }

    /// One job.
    ///
    /// # Errors
    /// Fails if there is no such job.
    pub async fn job(&self, tenant: TenantId, id: JobId) -> Result<Job, JobError> {
        self.storage.jobs.job(tenant, id).await?.ok_or(JobError::NotFound(id))
    }

    /// A tenant's jobs, newest first: at most `limit`, older than `before`.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn list(
        &self,
        tenant: TenantId,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, StorageError> {
        self.storage.jobs.list_jobs(tenant, before, limit).await
    }

    /// How many of the deliveries that the job made last have not been attempted yet.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn outstanding(&self, job: &Job) -> Result<usize, StorageError> {
        let ids = &job.progress.outstanding;
        if ids.is_empty() {
            return Ok(0);
        }
        let states = self.storage.jobs.states_of(job.tenant, ids).await?;
        Ok(states.iter().filter(|(.., state)| pace::is_outstanding(*state)).count())
    }

    /// How many of the deliveries that the job made were interrupted, and may have been sent twice.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn interrupted(&self, job: &Job) -> Result<u64, StorageError> {
        self.storage.delivery_notes.count_interrupted(job.tenant, job.id).await
    }

    /// Pauses a job, resumes it (`Running`), or cancels it. What it has made stays. One that is in the state already is not changed.
    ///
    /// # Errors
    /// Fails if there is no such job, or if it has ended.
    pub async fn change(
        &self,
        actor: &Actor,
        tenant: TenantId,
        id: JobId,
        to: JobState,
    ) -> Result<Job, JobError> {
        let action = match to {
            JobState::Paused => AuditAction::JobPaused,
            JobState::Running => AuditAction::JobResumed,
            JobState::Completed | JobState::Cancelled | JobState::Failed => AuditAction::JobCancelled,
        };
        let current = self.job(tenant, id).await?;
        if current.state == to {
            return Ok(current);
        }
        let editor = self.directory.by(actor);
        // Stopping one is bounded by those that were started.
        if to == JobState::Running {
            editor.check_changes(tenant)?;
        }
        let entry = editor.entry(Some(tenant), action, AuditObject::job(id), Vec::new());
        let changed = self.storage.jobs.change_job(tenant, id, to, self.sources.now(), &entry).await?;
        let job = changed.ok_or(JobError::NotFound(id))?;
        if job.state == to {
            editor.count_change(tenant);
            self.wake.notify_one();
            return Ok(job);
        }
        let change = match to {
            JobState::Paused => "paused",
            JobState::Running => "resumed",
            _ => "cancelled",
        };
        Err(JobError::WrongState { state: job.state, change })
    }

    /// What a replay would do. Counts a limited number of events, and returns the first `shown`.
    ///
    /// # Errors
    /// If storage fails.
    pub async fn preview(
        &self,
        hook: &Hook,
        replay: Replay,
        shown: usize,
    ) -> Result<ReplayPreview, StorageError> {
        let replay = self.until_now(replay);
        let wanted = |event_type: &_, project| replay.wants_event(hook, event_type, project);
        let mut after = EventKey(JobWork::Replay(replay.clone()).start());
        let mut preview = ReplayPreview { events: 0, at_least: true, first: Vec::new() };
        for _ in 0..MAX_SEARCHES {
            let query = ReplayQuery {
                tenant: hook.tenant,
                replay: &replay,
                after,
                max_visited: MAX_VISITED,
                limit: usize::MAX,
                max_bytes: u64::MAX,
            };
            let found = self.storage.jobs.replayable(&query, &wanted).await?;
            preview.events += found.events.len() as u64;
            let room = shown - preview.first.len();
            preview.first.extend(found.events.into_iter().take(room));
            match found.searched_to {
                Some(last) if preview.events < MAX_COUNTED => after = last,
                Some(_) => break,
                None => {
                    preview.at_least = false;
                    break;
                }
            }
        }
        Ok(preview)
    }
}

/// The states that the newest delivery of an event for the hook may have, for the event to be replayed: those that are final.
pub const REPLAYABLE: [DeliveryState; 4] =
    [DeliveryState::Succeeded, DeliveryState::Exhausted, DeliveryState::Dropped, DeliveryState::Cancelled];
/// The states that a bulk retry may name: not those of deliveries that are due or in progress anyway.
pub const RETRYABLE: [DeliveryState; 5] = [
    DeliveryState::Waiting,
    DeliveryState::Succeeded,
    DeliveryState::Exhausted,
    DeliveryState::Dropped,
    DeliveryState::Cancelled,
];
/// The states that a bulk cancellation may name. What is in memory, only its node can take out: see
/// [`DeliveryService::cancel`](crate::services::DeliveryService::cancel).
pub const CANCELLABLE: [DeliveryState; 2] = [DeliveryState::Pending, DeliveryState::Waiting];
