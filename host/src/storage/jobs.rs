//! Jobs: work on many deliveries, in steps.
//!
//! One node at a time has the lease of a job. A step is one transaction: it checks the lease and where the last step ended,
//! makes, retries or cancels deliveries, and moves the job on. So each event or delivery is worked on once, whichever
//! process dies, and two nodes never commit the same step.

use async_trait::async_trait;

use super::error::StorageError;
use super::records::WantedEvent;
use crate::domain::{
    AuditEntry, DeliveryId, DeliveryState, EventKey, HookId, Job, JobId, JobState, Lease, Replay, TenantId,
    UnixMillis,
};

/// See the module's head.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Adds a job, unless its tenant has `most` jobs that are not final. Returns whether it was added. Of its jobs that have
    /// ended, the newest [`MAX_ENDED_JOBS`] stay, and replays with their own pipelines.
    async fn insert_job(&self, job: &Job, most: u32, entry: &AuditEntry) -> Result<bool, StorageError>;
    /// One job.
    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<Job>, StorageError>;
    /// A tenant's jobs, newest first: at most `limit`, older than `before`.
    async fn list_jobs(
        &self,
        tenant: TenantId,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, StorageError>;
    /// Moves a job to another state, if it is in one of those from which [it may be reached](JobState::reached_from), and
    /// ends its lease: no step commits after this. Returns the job as it is then; `None` if there is no such job.
    async fn change_job(
        &self,
        tenant: TenantId,
        id: JobId,
        to: JobState,
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<Option<Job>, StorageError>;
    /// Leases jobs that are running and on which no node works. `wanted` tells by the hook of a job. A job that
    /// `lease.owner` has leased, but that is not in `held`, is one whose lease it lost: if it is not wanted, others may take it.
    async fn take_jobs(
        &self,
        lease: Lease,
        held: &[JobId],
        wanted: &WantedJob<'_>,
    ) -> Result<Vec<Job>, StorageError>;
    /// Ends a lease: others may take the job.
    async fn release_job(&self, id: JobId, lease: Lease) -> Result<(), StorageError>;
    /// Events to replay. The search is limited; see [`Replayable`].
    async fn replayable(
        &self,
        query: &ReplayQuery<'_>,
        wanted: &WantedEvent<'_>,
    ) -> Result<Replayable, StorageError>;
    /// Commits a step, all or nothing.
    async fn commit_step(&self, step: &JobStep) -> Result<StepEnd, StorageError>;
    /// The states of these deliveries. Left out are those that do not exist any more, and those that wait for others in an
    /// order.
    async fn states_of(
        &self,
        tenant: TenantId,
        ids: &[DeliveryId],
    ) -> Result<Vec<(DeliveryId, HookId, DeliveryState)>, StorageError>;
    /// How many bytes the settings of the pipelines have that replays of `tenant` have of their own.
    async fn pipeline_bytes(&self, tenant: TenantId) -> Result<u64, StorageError>;
    /// Removes jobs that ended before `before`, at most [`MAX_REMOVED_JOBS`] at a time. Returns how many. A replay with its own
    /// pipeline is kept as long as it has deliveries that are not final.
    async fn remove_jobs(&self, before: UnixMillis) -> Result<u64, StorageError>;
}

/// Whether a node works on a job about this hook.
pub type WantedJob<'a> = dyn Fn(Option<HookId>) -> bool + Send + Sync + 'a;

/// Which events to replay.
#[derive(Debug, Clone, Copy)]
pub struct ReplayQuery<'a> {
    /// The tenant of the hook.
    pub tenant: TenantId,
    /// The conditions. Those on events are checked by [`WantedEvent`].
    pub replay: &'a Replay,
    /// Only events with greater keys.
    pub after: EventKey,
    /// The most events to visit, of all tenants.
    pub max_visited: u32,
    /// The most events to return.
    pub limit: usize,
    /// The search ends with the event whose data passes this, in bytes: some databases write an event's row again.
    pub max_bytes: u64,
}

/// Events to replay, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replayable {
    /// The events.
    pub events: Vec<ReplayableEvent>,
    /// How many events of the type were examined.
    pub examined: u64,
    /// After which key to search on; `None` if everything was searched.
    pub searched_to: Option<EventKey>,
}

/// An event to replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayableEvent {
    /// The event.
    pub event: EventKey,
    /// Its newest delivery for the hook.
    pub former: Option<DeliveryId>,
}

/// One step of a job.
#[derive(Debug, Clone)]
pub struct JobStep {
    /// The job as it was before.
    pub job: Job,
    /// The lease under which it is made.
    pub lease: Lease,
    /// What is done.
    pub changes: StepChanges,
    /// The number of the last event or delivery that was examined.
    pub examined_to: i64,
    /// How many were examined.
    pub examined: u64,
    /// No delivery of a later step is due before.
    pub next_due_at: UnixMillis,
    /// Whether the job ends with this step, and how: why, if it fails. It fails only if its hook does not exist: a node may not
    /// know a new one yet.
    pub end: Option<Result<(), String>>,
    /// The time.
    pub now: UnixMillis,
}

/// What a step does.
#[derive(Debug, Clone)]
pub enum StepChanges {
    /// Makes deliveries of events for a hook, with the trigger `replay`. Left out are events that have got another newest
    /// delivery for the hook since, or have too many.
    Replay(Vec<NewReplay>),
    /// Makes deliveries due again, at the start of their schedules. Left out are those that are not in one of the filter's
    /// states any more, tests, those whose hook was deleted or is disabled, and those with too many attempts.
    Retry(Vec<(DeliveryId, UnixMillis)>),
    /// Cancels deliveries that are pending or waiting, and still in one of the filter's states.
    Cancel(Vec<DeliveryId>),
}

/// A delivery to make.
#[derive(Debug, Clone, Copy)]
pub struct NewReplay {
    /// Its event.
    pub of: ReplayableEvent,
    /// Its id.
    pub id: DeliveryId,
    /// When it is due.
    pub due_at: UnixMillis,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepEnd {
    /// It is committed; the job as it is now.
    Done(Box<Job>),
    /// Nothing is changed: the job is not running, has another lease, another step came first, or there is no reason to fail.
    NotRunning,
}

/// How many ended jobs of a tenant are kept.
pub const MAX_ENDED_JOBS: u32 = 1_000;
/// How many jobs are removed at once.
pub const MAX_REMOVED_JOBS: u32 = 1_000;
/// How many jobs one look considers.
pub(super) const MAX_FREE: i64 = 1_000;

/// Cuts the events of the right type to those whose deliveries are read: a few times as many as are wanted. Returns after which
/// key to search on.
pub(super) fn cut_to_read(
    query: &ReplayQuery<'_>,
    keys: &mut Vec<i64>,
    last: Option<EventKey>,
) -> Option<EventKey> {
    let most = query.limit.saturating_mul(4).clamp(100, 1_000);
    if keys.len() <= most {
        return last;
    }
    keys.truncate(most);
    keys.last().copied().map(EventKey)
}

/// Key, newest delivery for the hook, its state, and size of an event.
pub(super) type ReplayableRow = (i64, Option<i64>, Option<i64>, i64);

/// What a search found: `rows` are events of the right type in the order of their keys, and it ended at `last` if there may
/// be more.
pub(super) fn chosen(
    query: &ReplayQuery<'_>,
    rows: Vec<ReplayableRow>,
    last: Option<EventKey>,
) -> Result<Replayable, StorageError> {
    let mut found = Replayable { searched_to: last, ..Replayable::default() };
    let mut bytes = 0_u64;
    for (key, former, state, size) in rows {
        let former = former.map(DeliveryId);
        // A delivery without a row is in memory.
        let state =
            former.map(|_| state.map_or(Ok(DeliveryState::Delivering), super::columns::state_from_code));
        found.examined += 1;
        if !query.replay.wants_former(state.transpose()?) {
            continue;
        }
        found.events.push(ReplayableEvent { event: EventKey(key), former });
        bytes = bytes.saturating_add(size.unsigned_abs());
        if found.events.len() >= query.limit || bytes >= query.max_bytes {
            found.searched_to = Some(EventKey(key));
            break;
        }
    }
    Ok(found)
}

impl JobStep {
    /// Whether the job fails with it.
    pub(super) fn fails(&self) -> bool {
        matches!(self.end, Some(Err(_)))
    }

    /// The job after the step, which made `made`.
    pub(super) fn after(&self, made: Vec<DeliveryId>) -> Job {
        let mut job = self.job.clone();
        job.progress.examined_to = self.examined_to;
        job.progress.examined += self.examined;
        job.progress.made += made.len() as u64;
        job.progress.next_due_at = self.next_due_at;
        if !matches!(self.changes, StepChanges::Cancel(_)) {
            job.progress.outstanding.extend(made);
        }
        if let Some(end) = &self.end {
            (job.state, job.reason) = match end {
                Ok(()) => (JobState::Completed, None),
                Err(reason) => (JobState::Failed, Some(reason.clone())),
            };
            job.finished_at = Some(self.now);
        }
        job
    }
}
