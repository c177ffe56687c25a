//! One step of a job: searches, and decides what is done.

use super::pace::Slots;
use super::service::{JobService, MAX_VISITED};
use crate::domain::{DeliveryFilter, DeliveryId, EventKey, Job, JobWork, Lease, Replay, UnixMillis};
use crate::services::delivery_lists::{ListPart, list_filtered};
use crate::storage::{JobStep, Listed, NewReplay, ReplayQuery, Replayable, StepChanges, StorageError};

/// How many deliveries one step makes, at most: its transaction takes some milliseconds.
pub(super) const MAX_CHANGES: usize = 200;
/// How many searches one step makes that find nothing.
const MAX_SEARCHES: usize = 8;
/// How many events the first search of a step visits, at least.
const LEAST_VISITED: u32 = 200;
/// How many bytes of events' data one step may have to write again.
const MAX_BYTES: u64 = 4 << 20;

impl JobService {
    /// The next step of `job` with as many deliveries as there are `slots`.
    pub(super) async fn next_step(
        &self,
        job: &Job,
        lease: Lease,
        slots: Slots,
    ) -> Result<JobStep, StorageError> {
        match &job.work {
            JobWork::Replay(replay) => self.replay_step(job, replay, lease, slots).await,
            JobWork::Retry(filter) | JobWork::Cancel(filter) => {
                self.deliveries_step(job, filter, lease, slots).await
            }
        }
    }

    async fn replay_step(
        &self,
        job: &Job,
        replay: &Replay,
        lease: Lease,
        slots: Slots,
    ) -> Result<JobStep, StorageError> {
        let now = self.sources.now();
        let mut step = JobStep {
            job: job.clone(),
            lease,
            changes: StepChanges::Replay(Vec::new()),
            examined_to: job.progress.examined_to,
            examined: 0,
            next_due_at: job.progress.next_due_at,
            end: None,
            now,
        };
        let Some(hook) = self.directory.hook_of(job.tenant, replay.hook) else {
            step.end = Some(Err("its hook was deleted".to_owned()));
            return Ok(step);
        };
        let wanted = |event_type: &_, project| replay.wants_event(&hook, event_type, project);
        let mut events = Vec::new();
        // Most steps find enough at once.
        let mut max_visited =
            u32::try_from(slots.count).unwrap_or(u32::MAX).saturating_mul(2).max(LEAST_VISITED);
        for _ in 0..MAX_SEARCHES {
            let query = ReplayQuery {
                tenant: job.tenant,
                replay,
                after: EventKey(step.examined_to),
                max_visited: max_visited.min(MAX_VISITED),
                limit: slots.count,
                max_bytes: MAX_BYTES,
            };
            let found: Replayable = self.storage.jobs.replayable(&query, &wanted).await?;
            step.examined += found.examined;
            events = found.events;
            match found.searched_to {
                Some(last) => step.examined_to = last.0,
                None => {
                    step.examined_to = (EventKey::first_at(replay.until).0 - 1).max(step.examined_to);
                    step.end = Some(Ok(()));
                }
            }
            if !events.is_empty() || step.end.is_some() {
                break;
            }
            max_visited = MAX_VISITED;
        }
        step.next_due_at = slots.end(events.len());
        let new = events.into_iter().enumerate().map(|(number, of)| NewReplay {
            of,
            id: DeliveryId::generate(&self.sources.ids, now),
            due_at: slots.due_at(number),
        });
        step.changes = StepChanges::Replay(new.collect());
        Ok(step)
    }

    async fn deliveries_step(
        &self,
        job: &Job,
        filter: &DeliveryFilter,
        lease: Lease,
        slots: Slots,
    ) -> Result<JobStep, StorageError> {
        let (mut to, mut ids, mut end) = (job.progress.examined_to, Vec::new(), None);
        for _ in 0..MAX_SEARCHES {
            let limit = u32::try_from(slots.count).unwrap_or(u32::MAX);
            let part = ListPart::After(DeliveryId(to));
            let listed = list_filtered(&self.storage, job.tenant, filter, part, limit).await?;
            let Listed { deliveries, searched_to } = listed;
            let is_full = deliveries.len() >= slots.count;
            ids.extend(deliveries.iter().take(slots.count).map(|delivery| delivery.id));
            match (ids.last().filter(|_| is_full), searched_to) {
                (Some(last), _) => to = last.0,
                (None, Some(end)) => to = end.0,
                (None, None) => end = Some(Ok(())),
            }
            if !ids.is_empty() || end.is_some() {
                break;
            }
        }
        if end.is_some() {
            to = ids.last().map_or(to, |last| last.0);
        }
        let (examined, next_due_at) = (ids.len() as u64, slots.end(ids.len()));
        let changes = match &job.work {
            JobWork::Cancel(_) => StepChanges::Cancel(ids),
            _ => {
                let due = ids.into_iter().enumerate().map(|(number, id)| (id, slots.due_at(number)));
                StepChanges::Retry(due.collect())
            }
        };
        let now = self.sources.now();
        Ok(JobStep { job: job.clone(), lease, changes, examined_to: to, examined, next_due_at, end, now })
    }
}

/// When the first delivery that a step makes is due.
pub(super) fn first_due_at(changes: &StepChanges) -> Option<UnixMillis> {
    match changes {
        StepChanges::Replay(new) => new.first().map(|new| new.due_at),
        StepChanges::Retry(due) => due.first().map(|(_, due_at)| *due_at),
        StepChanges::Cancel(_) => None,
    }
}
