//! Tells what happens to the deliveries of a tenant to those who watch it.
//!
//! While nobody watches, this costs the load of one number. What is told is on disk already. A watcher that reads too slowly
//! misses changes, and learns how many.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::work::Work;
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryState, Event, EventId, FaultKind, Outcome, TenantId, UnixMillis,
};
use crate::storage::{NewDelivery, Record};

/// How many may watch one tenant.
pub const MAX_WATCHERS_OF_TENANT: usize = 16;
/// How many may watch in total.
const MAX_WATCHERS: usize = 256;
/// How many changes wait for one watcher.
const MAX_QUEUED: usize = 256;
/// How much is told of a message, in characters.
const MAX_MESSAGE: usize = 300;

/// What happened to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was made.
    Created,
    /// An attempt ended.
    Attempted,
    /// It was made due by hand.
    Retried,
    /// It was cancelled.
    Cancelled,
    /// Another node did something; the database shows what has come of it.
    Changed,
}

impl ChangeKind {
    /// The name in APIs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Attempted => "attempted",
            Self::Retried => "retried",
            Self::Cancelled => "cancelled",
            Self::Changed => "changed",
        }
    }
}

/// A change of a delivery.
#[derive(Debug, Clone)]
pub struct DeliveryChange {
    /// What happened.
    pub kind: ChangeKind,
    /// When.
    pub at: UnixMillis,
    /// The delivery as it is now.
    pub delivery: Delivery,
    /// The id of its event that receivers see, if it is known here.
    pub event_id: Option<EventId>,
    /// The attempt that ended.
    pub attempt: Option<AttemptSummary>,
}

/// An attempt in short.
#[derive(Debug, Clone)]
pub struct AttemptSummary {
    /// Its id.
    pub id: AttemptId,
    /// Its number, from 1.
    pub number: u32,
    /// When it started.
    pub started_at: UnixMillis,
    /// How long it took.
    pub duration: Duration,
    /// How it ended, as APIs say it.
    pub outcome: &'static str,
    /// The status of the response.
    pub status: Option<u16>,
    /// Why there was no response, in short.
    pub error: Option<String>,
    /// The step that failed or dropped the event, counted from 0.
    pub step: Option<usize>,
    /// How the step failed, in short.
    pub fault: Option<(FaultKind, String)>,
}

impl AttemptSummary {
    fn of(attempt: &Attempt) -> Self {
        let summary = Self {
            id: attempt.id,
            number: attempt.number,
            started_at: attempt.started_at,
            duration: attempt.duration,
            outcome: attempt.outcome.as_str(),
            status: None,
            error: None,
            step: None,
            fault: None,
        };
        let short = |text: &str| text.chars().take(MAX_MESSAGE).collect::<String>();
        match &attempt.outcome {
            Outcome::Response(response) => Self { status: Some(response.status), ..summary },
            Outcome::TimedOut { .. } | Outcome::Unreachable { .. } => {
                Self { error: attempt.outcome.failure().map(|text| short(&text)), ..summary }
            }
            Outcome::Faulted { step, fault } => {
                let fault = Some((fault.kind, short(&fault.message)));
                Self { step: Some(*step), fault, ..summary }
            }
            Outcome::Dropped { step } => Self { step: Some(*step), ..summary },
        }
    }
}

/// See the module's head.
#[derive(Debug, Default)]
pub struct LiveChanges {
    watchers: AtomicUsize,
    next: AtomicU64,
    tenants: RwLock<Watchers>,
    closed: CancellationToken,
}

type Watchers = HashMap<TenantId, Vec<Watcher>>;

#[derive(Debug)]
struct Watcher {
    number: u64,
    queue: mpsc::Sender<Arc<DeliveryChange>>,
    missed: Arc<AtomicU64>,
    /// Whether it only follows what others are told.
    is_follower: bool,
}

/// Too many watch already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many streams are open; close one, or try again later")]
pub struct TooManyWatchers;

impl LiveChanges {
    /// Whether somebody watches the tenant.
    #[must_use]
    pub fn is_watched(&self, tenant: TenantId) -> bool {
        self.watchers.load(Relaxed) > 0 && self.read().get(&tenant).is_some_and(|all| count(all) > 0)
    }

    /// Watches a tenant until the return value is dropped.
    ///
    /// # Errors
    /// If too many watch it, or others.
    pub fn watch(self: &Arc<Self>, tenant: TenantId) -> Result<Watch, TooManyWatchers> {
        let mut tenants = self.write();
        let of_tenant = tenants.get(&tenant).map_or(0, |all| count(all));
        if of_tenant >= MAX_WATCHERS_OF_TENANT || self.watchers.load(Relaxed) >= MAX_WATCHERS {
            return Err(TooManyWatchers);
        }
        self.watchers.fetch_add(1, Relaxed);
        Ok(self.add(&mut tenants, tenant, false))
    }

    /// Follows what those are told who watch the tenant, without counting as one of them.
    #[must_use]
    pub fn follow(self: &Arc<Self>, tenant: TenantId) -> Watch {
        self.add(&mut self.write(), tenant, true)
    }

    fn add(self: &Arc<Self>, tenants: &mut Watchers, tenant: TenantId, is_follower: bool) -> Watch {
        let (queue, changes) = mpsc::channel(MAX_QUEUED);
        let (number, missed) = (self.next.fetch_add(1, Relaxed), Arc::<AtomicU64>::default());
        let watcher = Watcher { number, queue, missed: Arc::clone(&missed), is_follower };
        tenants.entry(tenant).or_default().push(watcher);
        Watch { live: Arc::clone(self), tenant, number, changes, missed }
    }

    /// Ends all watching: the engine shuts down.
    pub fn close(&self) {
        self.closed.cancel();
    }

    /// Tells a change of a tenant's delivery.
    pub fn tell(&self, change: Arc<DeliveryChange>) {
        self.tell_those(&change, |_| true);
    }

    /// Tells what another node has changed to those who watch. Who follows found it out.
    pub fn tell_found(&self, change: &Arc<DeliveryChange>) {
        self.tell_those(change, |watcher| !watcher.is_follower);
    }

    fn tell_those(&self, change: &Arc<DeliveryChange>, are_told: impl Fn(&Watcher) -> bool) {
        if self.watchers.load(Relaxed) == 0 {
            return;
        }
        let tenants = self.read();
        let watchers = tenants.get(&change.delivery.tenant).into_iter().flatten();
        for watcher in watchers.filter(|watcher| are_told(watcher)) {
            if watcher.queue.try_send(Arc::clone(change)).is_err() {
                watcher.missed.fetch_add(1, Relaxed);
            }
        }
    }

    /// Tells those who watch the tenant that they miss at least one change, which is not known here.
    pub fn tell_missed(&self, tenant: TenantId) {
        for watcher in self.read().get(&tenant).into_iter().flatten().filter(|watcher| !watcher.is_follower) {
            watcher.missed.fetch_add(1, Relaxed);
        }
    }

    /// Tells that `event` was stored with these deliveries.
    pub fn tell_created(&self, event: &Event, deliveries: &[NewDelivery]) {
        for new in deliveries {
            let state =
                if new.lease_until.is_some() { DeliveryState::Delivering } else { DeliveryState::Pending };
            let delivery = Delivery {
                id: new.id,
                tenant: event.tenant,
                hook: new.hook,
                event: event.key,
                event_type: event.event_type.clone(),
                trigger: new.trigger,
                state,
                attempts: 0,
                failures: 0,
                due_at: Some(new.due_at).filter(|_| state == DeliveryState::Pending),
                lease: None,
            };
            let (kind, at) = (ChangeKind::Created, new.id.created_at());
            let event_id = Some(event.id.clone());
            self.tell(Arc::new(DeliveryChange { kind, at, delivery, event_id, attempt: None }));
        }
    }

    /// The change that is on disk once `record` of `work` is, if somebody watches and it is worth telling.
    pub(super) fn of_record(&self, work: &Work, record: &Record) -> Option<Arc<DeliveryChange>> {
        if !self.is_watched(record.tenant) {
            return None;
        }
        let attempt = record.attempt.as_ref().map(AttemptSummary::of);
        let kind = match (&attempt, record.state) {
            (Some(_), _) => ChangeKind::Attempted,
            (None, DeliveryState::Cancelled) => ChangeKind::Cancelled,
            (None, _) => return None,
        };
        let at = attempt.as_ref().map_or(work.delivery.created_at(), |it| it.started_at.plus(it.duration));
        let delivery = Delivery {
            id: work.delivery,
            tenant: record.tenant,
            hook: work.hook,
            event: work.event.key,
            event_type: work.event.event_type.clone(),
            trigger: work.trigger,
            state: record.state,
            attempts: record.attempts,
            failures: record.failures,
            due_at: record.due_at,
            lease: None,
        };
        let event_id = Some(work.event.id.clone());
        Some(Arc::new(DeliveryChange { kind, at, delivery, event_id, attempt }))
    }

    fn read(&self) -> RwLockReadGuard<'_, Watchers> {
        self.tenants.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Watchers> {
        self.tenants.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Watches a tenant.
#[derive(Debug)]
pub struct Watch {
    live: Arc<LiveChanges>,
    tenant: TenantId,
    number: u64,
    changes: mpsc::Receiver<Arc<DeliveryChange>>,
    missed: Arc<AtomicU64>,
}

impl Watch {
    /// The next change; `None` when the engine shuts down.
    pub async fn next(&mut self) -> Option<Arc<DeliveryChange>> {
        tokio::select! {
            biased;
            () = self.live.closed.cancelled() => None,
            change = self.changes.recv() => change,
        }
    }

    /// The next change, if it is there already.
    pub fn try_next(&mut self) -> Option<Arc<DeliveryChange>> {
        self.changes.try_recv().ok()
    }

    /// Waits until the engine shuts down.
    pub async fn closed(&self) {
        self.live.closed.cancelled().await;
    }

    /// How many changes were missed since the last call.
    #[must_use]
    pub fn take_missed(&self) -> u64 {
        self.missed.swap(0, Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut tenants = self.live.write();
        let Some(watchers) = tenants.get_mut(&self.tenant) else { return };
        let before = count(watchers);
        watchers.retain(|watcher| watcher.number != self.number);
        self.live.watchers.fetch_sub(before - count(watchers), Relaxed);
        if watchers.is_empty() {
            tenants.remove(&self.tenant);
        }
    }
}

/// How many watch, apart from those who follow.
fn count(watchers: &[Watcher]) -> usize {
    watchers.iter().filter(|watcher| !watcher.is_follower).count()
}

#[cfg(test)]
mod tests;
