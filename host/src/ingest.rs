//! Accepts events: matches an event with its hooks and stores it with their deliveries in one transaction. When
//! [`Ingest::accept`] has returned, the event is on disk.
//!
//! Ingest decides nothing about payloads and sends nothing. It asks the dispatcher for room in memory *before* the commit, so
//! that the lease is stored with the delivery. A delivery without room is stored as due, and claimed from disk later.

mod admission;
mod digest;
mod error;
mod handover;
mod incoming;
mod rates;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::delivery::{Dispatcher, Notices, Work};
use crate::directory::Directory;
use crate::domain::{DeliveryId, Event, EventId, EventKey, EventType, Hook, HookId, TenantId, Trigger};
use crate::metrics::events::{self, EventSource};
use crate::metrics::tenants;
use crate::sources::Sources;
use crate::storage::{Acceptance, Accepted, ConflictOn, EventStore, NewDelivery, Storage, StorageError};
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

use self::digest::content_digest;
use self::handover::Handover;

pub use self::admission::{Admission, NotAdmitted};
pub use self::error::{IngestError, MAX_DELIVERIES_PER_CALL};
pub use self::incoming::IncomingEvent;
pub use self::rates::RateStatus;

/// The result for one event, for its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id, as receivers get it.
    pub id: EventId,
    /// The engine's own id.
    pub key: EventKey,
    /// How many hooks match it.
    pub deliveries: u32,
    /// Whether it was accepted before. If so, this is the first result again.
    pub duplicate: bool,
}

/// Why a hook was not tested. Nothing is stored.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// There is no room for another delivery in memory.
    #[error("the engine is too busy for a test; try again later")]
    Busy,
    /// The tenant is suspended.
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Number of deliveries that one call creates without waiting for a permit.
const SMALL_CALL: usize = 1_000;

/// See the module's head.
pub struct Ingest {
    sources: Sources,
    directory: Arc<Directory>,
    events: Arc<dyn EventStore>,
    dispatcher: Arc<Dispatcher>,
    /// Weighted by deliveries. Large transactions of a tenant run one after another, so that they do not delay other tenants.
    large_calls: TenantLimiter,
    accepted: AtomicU64,
    admission: Arc<Admission>,
}

/// Events that are ready to be stored. Dropping them gives back the room of their deliveries.
pub struct Prepared {
    acceptances: Vec<Acceptance>,
    handover: Handover,
    source: EventSource,
}

impl Ingest {
    /// Creates it from its parts. `retention` is how long events are kept of tenants that have no time of their own.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        storage: &Storage,
        (dispatcher, notices): (Arc<Dispatcher>, Notices),
        retention: Option<Duration>,
    ) -> Self {
        let usage = Arc::clone(&storage.tenant_usage);
        let telling = (Arc::clone(&dispatcher), notices);
        let admission = Admission::new(sources.clone(), Arc::clone(&directory), telling, usage, retention);
        let (events, admission) = (Arc::clone(&storage.events), Arc::new(admission));
        let large_calls = TenantLimiter::new(MAX_DELIVERIES_PER_CALL);
        let accepted = AtomicU64::new(0);
        Self { sources, directory, events, dispatcher, large_calls, accepted, admission }
    }

    /// What limits how much tenants publish.
    #[must_use]
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// How many events this process has accepted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Stores all events with their deliveries, or none. Returns a receipt for each event, in order.
    ///
    /// # Errors
    /// Fails if an event conflicts with another, if there are too many deliveries, or if storage fails. Then nothing is stored.
    pub async fn accept(
        &self,
        events: Vec<IncomingEvent>,
        source: EventSource,
    ) -> Result<Vec<Receipt>, IngestError> {
        self.store(self.prepare(events, source)?).await
    }

    /// The first half of [`Self::accept`], which does not wait. For many events, run it off the I/O threads.
    ///
    /// # Errors
    /// Fails if the tenant may not publish them, or there are too many deliveries.
    pub fn prepare(&self, events: Vec<IncomingEvent>, source: EventSource) -> Result<Prepared, IngestError> {
        let count = events.len();
        let prepared = self.match_all(events, source);
        prepared.inspect_err(|error| error.count(count, source))
    }

    fn match_all(&self, events: Vec<IncomingEvent>, source: EventSource) -> Result<Prepared, IngestError> {
        // All events of a call belong to one tenant.
        if let Some(first) = events.first() {
            self.admission.admit(first.tenant, events.len())?;
        }
        let (mut hooks, mut deliveries) = (Vec::with_capacity(events.len()), 0);
        for event in &events {
            let matching = self.directory.matching_hooks(event.tenant, &event.event_type, event.project);
            deliveries += matching.len();
            // Checked for each event: ten thousand events for as many hooks would fill a gigabyte.
            if events.len() > 1 && deliveries > MAX_DELIVERIES_PER_CALL {
                return Err(IngestError::TooMany);
            }
            hooks.push(matching);
        }
        let mut prepared = self.empty(events.len(), source);
        for (event, hooks) in events.into_iter().zip(hooks) {
            self.prepare_one(event, &hooks, Trigger::Event, &mut prepared);
        }
        Ok(prepared)
    }

    /// Sends a test event to one hook, once, even if the hook is disabled. Returns the stored event and its delivery.
    ///
    /// # Errors
    /// Fails if there is no room in memory (deliveries of a disabled hook are not claimed from disk), or if storage fails.
    pub async fn test(
        &self,
        hook: &Arc<Hook>,
        event_type: EventType,
        data: Arc<str>,
    ) -> Result<(Arc<Event>, DeliveryId), TestError> {
        self.admission.check_open(hook.tenant)?;
        let event = IncomingEvent {
            tenant: hook.tenant,
            id: None,
            idempotency_key: None,
            event_type,
            occurred_at: None,
            project: hook.project,
            ordering_key: None,
            trace: None,
            data,
        };
        let mut prepared = self.empty(1, EventSource::Test);
        self.prepare_one(event, std::slice::from_ref(hook), Trigger::Test, &mut prepared);
        let Acceptance { event, deliveries, .. } = &prepared.acceptances[0];
        if deliveries[0].lease_until.is_none() && !self.sends(hook) {
            return Err(TestError::Busy);
        }
        let made = (Arc::clone(event), deliveries[0].id);
        match self.store(prepared).await {
            Ok(_) => Ok(made),
            Err(IngestError::Storage(error)) => Err(TestError::Storage(error)),
            Err(IngestError::NotAdmitted(why)) => Err(TestError::NotAdmitted(why)),
            // Impossible: an event without a sender's id conflicts with nothing, and one delivery is not too many.
            Err(IngestError::Conflict { .. } | IngestError::TooMany) => Err(TestError::Busy),
        }
    }

    /// Stores an event that the engine itself sends, for the tenant's hooks that subscribe to it by name, except for the hook
    /// that it is about.
    ///
    /// # Errors
    /// Fails if an event with the same id is stored already, or if storage fails.
    pub async fn accept_operational(
        &self,
        event: IncomingEvent,
        about: Option<HookId>,
    ) -> Result<(), IngestError> {
        let mut hooks = self.directory.hooks(event.tenant);
        hooks.retain(|hook| {
            hook.enabled
                && Some(hook.id) != about
                && hook.wants_project(event.project)
                && hook.subscription.names_operational(&event.event_type)
        });
        let mut prepared = self.empty(1, EventSource::Engine);
        self.prepare_one(event, &hooks, Trigger::Event, &mut prepared);
        self.store(prepared).await.map(drop)
    }

    fn empty(&self, events: usize, source: EventSource) -> Prepared {
        let reserved = Vec::with_capacity(events);
        let handover = Handover { dispatcher: Arc::clone(&self.dispatcher), reserved };
        Prepared { acceptances: Vec::with_capacity(events), handover, source }
    }

    fn prepare_one(
        &self,
        incoming: IncomingEvent,
        hooks: &[Arc<Hook>],
        trigger: Trigger,
        prepared: &mut Prepared,
    ) {
        let now = self.sources.now();
        let key = EventKey::generate(&self.sources.ids, now);
        // Only events with an id or key of their sender can be duplicates, so only they need a digest.
        let named = incoming.id.is_some() || incoming.idempotency_key.is_some();
        let content = if named { content_digest(&incoming) } else { [0; 32] };
        let event = Arc::new(Event {
            key,
            id: incoming.id.unwrap_or_else(|| EventId::of_key(key)),
            tenant: incoming.tenant,
            project: incoming.project,
            event_type: incoming.event_type,
            occurred_at: incoming.occurred_at.unwrap_or(now),
            ordering_key: incoming.ordering_key,
            trace: incoming.trace,
            data: incoming.data,
        });
        let mut reserved = Vec::with_capacity(hooks.len());
        let mut deliveries = Vec::with_capacity(hooks.len());
        for hook in hooks {
            let id = DeliveryId::generate(&self.sources.ids, now);
            let work = Work::fresh(id, hook.id, Arc::clone(&event), trigger);
            // Deliveries of a hook that is paused or cannot be decrypted are held on disk.
            let starts = self.sends(hook) || (trigger == Trigger::Test && !hook.unreadable);
            // What is in order is sent when the database says that it is the first.
            let ordering_key = if trigger == Trigger::Event { hook.ordering_key(&event) } else { None };
            let starts = starts && ordering_key.is_none();
            let work = if starts { self.dispatcher.reserve(work, now) } else { None };
            let lease_until = work.as_ref().map(|work| work.lease_until);
            deliveries.push(NewDelivery {
                id,
                hook: hook.id,
                trigger,
                lease_until,
                due_at: now,
                ordering_key,
            });
            reserved.extend(work);
        }
        let idempotency_key = incoming.idempotency_key;
        prepared.acceptances.push(Acceptance { event, content, idempotency_key, deliveries });
        prepared.handover.reserved.push(reserved);
    }

    /// The second half of [`Self::accept`]: commits, and passes the deliveries to the dispatcher.
    ///
    /// # Errors
    /// Fails if an event conflicts with another, or if storage fails. Then nothing is stored.
    pub async fn store(&self, prepared: Prepared) -> Result<Vec<Receipt>, IngestError> {
        let (count, source) = (prepared.acceptances.len(), prepared.source);
        let stored = self.commit(prepared).await;
        stored.inspect_err(|error| error.count(count, source))
    }

    async fn commit(&self, prepared: Prepared) -> Result<Vec<Receipt>, IngestError> {
        let Prepared { acceptances, mut handover, source } = prepared;
        let first_receipts: Vec<_> = acceptances
            .iter()
            .map(|acceptance| Receipt {
                id: acceptance.event.id.clone(),
                key: acceptance.event.key,
                deliveries: u32::try_from(acceptance.deliveries.len()).unwrap_or(u32::MAX),
                duplicate: false,
            })
            .collect();
        let on_disk: Vec<Vec<_>> = acceptances
            .iter()
            .map(|one| {
                one.deliveries.iter().filter(|new| new.lease_until.is_none()).map(|new| new.hook).collect()
            })
            .collect();
        let events: Vec<_> = acceptances.iter().map(|one| Arc::clone(&one.event)).collect();
        let live = self.dispatcher.live();
        let is_watched = events.first().is_some_and(|event| live.is_watched(event.tenant));
        let watched: Vec<_> =
            acceptances.iter().filter(|_| is_watched).map(|one| one.deliveries.clone()).collect();
        let permit = self.permit_if_large(&acceptances).await;
        // It may have waited: nothing may be stored of a tenant that is being deleted.
        if let Some(first) = events.first() {
            self.admission.check_open(first.tenant)?;
        }
        let outcomes = self.events.accept(acceptances).await?;
        drop(permit);
        if let Some((index, on)) = first_conflict(&outcomes) {
            return Err(IngestError::Conflict { index, on });
        }
        let stored = events.iter().zip(&outcomes).filter(|(_, outcome)| **outcome == Accepted::Stored);
        self.admission.count(stored.map(|(event, _)| &**event));
        let mut receipts = Vec::with_capacity(outcomes.len());
        for (index, (outcome, first)) in outcomes.into_iter().zip(first_receipts).enumerate() {
            match outcome {
                Accepted::Stored => {
                    self.accepted.fetch_add(1, Ordering::Relaxed);
                    events::ACCEPTED.of(source).increment();
                    tenants::accepted(events[index].tenant);
                    // Before the first attempt can end.
                    if let Some(deliveries) = watched.get(index) {
                        live.tell_created(&events[index], deliveries);
                    }
                    handover.deliver(index);
                    on_disk[index].iter().for_each(|hook| self.note_on_disk(*hook, events[index].tenant));
                    receipts.push(first);
                }
                Accepted::Duplicate { key, id, deliveries } => {
                    events::DUPLICATES.increment();
                    receipts.push(Receipt { id, key, deliveries, duplicate: true });
                }
                Accepted::Conflict(_) => {}
            }
        }
        Ok(receipts)
    }

    /// Whether deliveries of `hook` are sent now, and not held.
    fn sends(&self, hook: &Hook) -> bool {
        self.directory.sends(hook) && !self.dispatcher.health().is_shut(hook.id)
    }

    /// Has the delivery claimed from disk. One that is held is claimed when its hook sends again.
    fn note_on_disk(&self, hook: HookId, tenant: TenantId) {
        let is_held = self.directory.hook(hook).is_some_and(|hook| !self.sends(&hook));
        if is_held {
            self.dispatcher.held_on_disk(hook, tenant, self.sources.now());
        } else {
            self.dispatcher.stored_on_disk(hook, tenant);
        }
    }

    /// The permit of a call that creates many deliveries. All its events belong to one tenant.
    async fn permit_if_large(&self, acceptances: &[Acceptance]) -> Option<TenantPermit> {
        let deliveries: usize = acceptances.iter().map(|one| one.deliveries.len()).sum();
        if deliveries <= SMALL_CALL {
            return None;
        }
        Some(self.large_calls.acquire_weighted(acceptances.first()?.event.tenant, deliveries).await)
    }
}

fn first_conflict(outcomes: &[Accepted]) -> Option<(usize, ConflictOn)> {
    outcomes.iter().enumerate().find_map(|(index, outcome)| match outcome {
        Accepted::Conflict(on) => Some((index, *on)),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
