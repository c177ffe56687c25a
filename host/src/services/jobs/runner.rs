//! Works on jobs: takes those that are free, and makes their steps.
//!
//! A job is worked on by the node that owns its hook, which also claims what the job makes due. If anything fails, the job
//! is let go, and taken again as it is stored.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::pace::{Backpressure, Slots, is_outstanding};
use super::service::JobService;
use super::step::{MAX_CHANGES, first_due_at};
use crate::clock;
use crate::domain::{HookId, Job, JobId, JobWork, Lease, LeaseId};
use crate::log_limiter::LogLimiter;
use crate::storage::{MAX_REMOVED_JOBS, StepEnd, StorageError};
use crate::tenant_limiter::TenantLimiter;

/// How often it is looked for jobs that other nodes left, or that were started on them.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same if there are no other nodes.
const LOOK_EVERY_ALONE: Duration = Duration::from_secs(30);
/// How long a job is not taken again after something failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// How many steps this node makes at the same time.
const STEPS_AT_ONCE: usize = 2;
/// Jobs that ended so long ago are removed.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often old jobs are removed.
const REMOVED_EVERY: Duration = Duration::from_secs(600);

static FAILURES: LogLimiter = LogLimiter::new();

/// See the module's head.
pub struct JobRunner {
    service: JobService,
    steps: Arc<Steps>,
    held: Arc<Mutex<HashMap<JobId, LeaseId>>>,
}

/// Limits the steps that are made at the same time: one of a tenant.
struct Steps {
    of_tenants: TenantLimiter,
    at_once: Semaphore,
}

/// Notes that a task works on a job, until it is dropped.
struct Held(Arc<Mutex<HashMap<JobId, LeaseId>>>, JobId, LeaseId);

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&self.1) == Some(&self.2) {
            held.remove(&self.1);
        }
    }
}

/// What a task does next.
enum Next {
    Wait(Duration),
    /// The job has ended.
    End,
    /// The job is not running, or others work on it.
    Leave,
}

impl JobRunner {
    /// Works on the jobs of `service`.
    #[must_use]
    pub fn new(service: JobService) -> Self {
        let steps = Steps { of_tenants: TenantLimiter::new(1), at_once: Semaphore::new(STEPS_AT_ONCE) };
        Self { service, steps: Arc::new(steps), held: Arc::default() }
    }

    /// Runs until `stop`. Steps that are not committed by then are not made.
    pub async fn run(self, stop: CancellationToken) {
        let membership = self.service.dispatcher.membership();
        let every = if membership.is_shared() { LOOK_EVERY } else { LOOK_EVERY_ALONE };
        let mut tasks = JoinSet::new();
        let mut removed_at: Option<Instant> = None;
        loop {
            if !membership.is_fenced()
                && let Err(error) = self.take(&mut tasks).await
            {
                note(&error, "cannot take jobs");
            }
            if removed_at.is_none_or(|at| clock::elapsed(at) >= REMOVED_EVERY) {
                removed_at = Some(clock::monotonic());
                self.remove_old().await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.service.wake.notified() => {}
                () = tokio::time::sleep(every) => {}
                // One that failed is taken again.
                Some(_) = tasks.join_next() => {}
            }
        }
    }

    async fn take(&self, tasks: &mut JoinSet<()>) -> Result<(), StorageError> {
        let JobService { sources, storage, .. } = &self.service;
        let now = sources.now();
        let lease = Lease::generate(&sources.ids, now, now);
        let held: Vec<JobId> = self.held().keys().copied().collect();
        let service = self.service.clone();
        let wanted = move |hook: Option<HookId>| service.is_of_this_node(hook);
        for job in storage.jobs.take_jobs(lease, &held, &wanted).await? {
            self.held().insert(job.id, lease.id);
            let held = Held(Arc::clone(&self.held), job.id, lease.id);
            let (service, steps) = (self.service.clone(), Arc::clone(&self.steps));
            tasks.spawn(async move {
                let id = job.id;
                if let Err(error) = service.work(job, lease, &steps).await {
                    note(&error, "cannot make the next step of a job");
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
                // If this fails, the next look does it.
                if let Err(error) = service.storage.jobs.release_job(id, lease).await {
                    note(&error, "cannot leave a job to others");
                }
                drop(held);
            });
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, HashMap<JobId, LeaseId>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn remove_old(&self) {
        let JobService { sources, storage, .. } = &self.service;
        let before = sources.trusted_now().minus(KEPT_FOR);
        loop {
            match storage.jobs.remove_jobs(before).await {
                Ok(removed) if removed == u64::from(MAX_REMOVED_JOBS) => {}
                Ok(_) => return,
                Err(error) => return note(&error, "cannot remove old jobs"),
            }
        }
    }
}

fn note(error: &StorageError, what: &'static str) {
    if let Some(unlogged) = FAILURES.permit() {
        tracing::warn!(unlogged, error = error as &dyn std::error::Error, "{what}");
    }
}

impl JobService {
    /// Whether this node works on jobs about `hook`.
    fn is_of_this_node(&self, hook: Option<HookId>) -> bool {
        let Some(id) = hook else { return true };
        match self.directory.hook(id) {
            Some(hook) => self.dispatcher.owns(hook.id, hook.tenant),
            // It is not known here yet, or was deleted.
            None => self.dispatcher.membership().owns(id),
        }
    }

    /// Makes steps until the job ends, or is left to others.
    async fn work(&self, mut job: Job, lease: Lease, steps: &Steps) -> Result<(), StorageError> {
        let mut pressure = Backpressure::new(job.work.hook().is_some());
        let mut looked_at = clock::monotonic();
        loop {
            if !self.is_of_this_node(job.work.hook()) {
                return Ok(());
            }
            self.look(&mut job, &mut pressure, &mut looked_at).await?;
            match self.advance(&mut job, lease, &pressure, steps).await? {
                Next::Wait(time) => tokio::time::sleep(time).await,
                Next::End => return Ok(()),
                Next::Leave => {
                    // If there was no reason to leave it, it is taken again.
                    tokio::time::sleep(AFTER_FAILURE).await;
                    return Ok(());
                }
            }
        }
    }

    /// Looks which of the deliveries that the job made have been attempted.
    async fn look(
        &self,
        job: &mut Job,
        pressure: &mut Backpressure,
        looked_at: &mut Instant,
    ) -> Result<(), StorageError> {
        let elapsed = clock::elapsed(*looked_at);
        if job.progress.outstanding.is_empty() || elapsed < Backpressure::BETWEEN_LOOKS {
            return Ok(());
        }
        let states = self.storage.jobs.states_of(job.tenant, &job.progress.outstanding).await?;
        pressure.observe(&states.iter().map(|(.., state)| *state).collect::<Vec<_>>(), elapsed);
        *looked_at = clock::monotonic();
        // A job about several hooks does not wait for one that is held.
        let of_one_hook = job.work.hook().is_some();
        let counts = |hook: HookId| of_one_hook || !self.is_held(hook);
        let outstanding =
            states.into_iter().filter(|(_, hook, state)| is_outstanding(*state) && counts(*hook));
        job.progress.outstanding = outstanding.map(|(id, ..)| id).collect();
        Ok(())
    }

    /// Whether nothing is sent to a hook at the moment.
    fn is_held(&self, hook: HookId) -> bool {
        let sends = self.directory.hook(hook).is_some_and(|hook| self.directory.sends(&hook));
        !sends || self.dispatcher.health().is_shut(hook)
    }

    /// Makes a step, if it is time.
    async fn advance(
        &self,
        job: &mut Job,
        lease: Lease,
        pressure: &Backpressure,
        steps: &Steps,
    ) -> Result<Next, StorageError> {
        let time = self.sources.now();
        let slots = if matches!(job.work, JobWork::Cancel(_)) {
            Slots::all_at(time, job.rate, MAX_CHANGES)
        } else {
            let (room, least) = (pressure.room(job.progress.outstanding.len()), pressure.least(job.rate));
            if room < least {
                return Ok(Next::Wait(pressure.next_look()));
            }
            match Slots::at(time, job.progress.next_due_at, job.rate, room.min(MAX_CHANGES)) {
                Ok(slots) if slots.count < least => return Ok(Next::Wait(Backpressure::BETWEEN_LOOKS)),
                Ok(slots) => slots,
                Err(wait) => return Ok(Next::Wait(wait)),
            }
        };
        let _of_tenant = steps.of_tenants.acquire(job.tenant).await;
        let _permit = steps.at_once.acquire().await.map_err(|_| StorageError::Closed)?;
        let began = clock::monotonic();
        let step = self.next_step(job, lease, slots).await?;
        let StepEnd::Done(now) = self.storage.jobs.commit_step(&step).await? else { return Ok(Next::Leave) };
        if let Some(due_at) = first_due_at(&step.changes) {
            self.dispatcher.due_at(due_at);
        } else if now.progress.made > job.progress.made {
            // What waited in an order for something that was cancelled may be due now, since its acceptance.
            self.dispatcher.wake();
        }
        if now.state.is_final() {
            tracing::info!(tenant = %now.tenant, job = %now.id, state = %now.state, made = now.progress.made, "a job has ended");
            return Ok(Next::End);
        }
        *job = *now;
        // Half of the time is for others.
        Ok(Next::Wait(clock::elapsed(began).max(pressure.after_step())))
    }
}
