//! The way in: an event is matched with the hooks that want it, and stored with their deliveries in
//! one transaction. When [`Ingest::accept`] has returned, the event is on disk.
//!
//! Ingest decides nothing about payloads and sends nothing. It asks the dispatcher whether a delivery
//! has room in memory *before* the commit, so that the lease is stored with the delivery: what has no
//! room is stored as due, and claimed from disk when there is.

use std::sync::Arc;

use crate::delivery::{Dispatcher, Work};
use crate::directory::Directory;
use crate::domain::hash::sha256;
use crate::domain::{DeliveryId, Event, EventId, EventKey, EventType, Hook, TenantId, Trigger, UnixMillis};
use crate::sources::Sources;
use crate::storage::{Acceptance, Accepted, ConflictOn, EventStore, NewDelivery, StorageError};
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// An event as some surface received it, checked for form.
#[derive(Debug, Clone)]
pub struct IncomingEvent {
    /// Whose it is.
    pub tenant: TenantId,
    /// The sender's own id.
    pub id: Option<EventId>,
    /// The request's `Idempotency-Key`.
    pub idempotency_key: Option<String>,
    /// Its type.
    pub event_type: EventType,
    /// When it happened, by its sender's word.
    pub occurred_at: Option<UnixMillis>,
    /// The project that it belongs to; the tenant has it.
    pub project: Option<i64>,
    /// Its data, JSON text.
    pub data: Arc<str>,
}

/// What the sender of an event is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The event's id, as receivers see it.
    pub id: EventId,
    /// The engine's own number of it.
    pub key: EventKey,
    /// How many hooks want it.
    pub deliveries: u32,
    /// Whether it had been accepted before; then this is the first answer again.
    pub duplicate: bool,
}

/// Why events were not accepted. Nothing of the call is stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// Another event has the same id or idempotency key.
    #[error("event {index} of the call conflicts with another event")]
    Conflict {
        /// Which event of the call, counted from 0.
        index: usize,
        /// On what.
        on: ConflictOn,
    },
    /// The events of one call make more deliveries than one transaction should hold.
    #[error(
        "the events make more than {MAX_DELIVERIES_PER_CALL} deliveries, the most that are taken in at once; send fewer events"
    )]
    TooMany,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a hook was not tested. Nothing is stored.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// There is no room for another delivery in memory.
    #[error("the engine has too much to do for a test right now; try again in a moment")]
    Busy,
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Deliveries that one call may make, if it has more than one event: they are one transaction, for which
/// every other tenant waits.
pub const MAX_DELIVERIES_PER_CALL: usize = 20_000;

/// Number of deliveries that one call creates without waiting for a permit.
const SMALL_CALL: usize = 1_000;

/// See the module's head.
pub struct Ingest {
    sources: Sources,
    directory: Arc<Directory>,
    events: Arc<dyn EventStore>,
    dispatcher: Arc<Dispatcher>,
    /// By deliveries. Large transactions of a tenant follow one another, or all would stand before others' events.
    large_calls: TenantLimiter,
}

/// Events on their way into storage. Dropped instead, they leave nothing behind.
pub struct Prepared {
    acceptances: Vec<Acceptance>,
    handover: Handover,
}

impl Ingest {
    /// Creates it from its parts.
    #[must_use]
    pub fn new(
        sources: Sources,
        directory: Arc<Directory>,
        events: Arc<dyn EventStore>,
        dispatcher: Arc<Dispatcher>,
    ) -> Self {
        let large_calls = TenantLimiter::new(MAX_DELIVERIES_PER_CALL);
        Self { sources, directory, events, dispatcher, large_calls }
    }

    /// Stores events with the deliveries they make, all or nothing; one receipt for each, in order.
    ///
    /// # Errors
    /// Where an event conflicts with another, they make too many deliveries, or storage fails; nothing is
    /// stored then.
    pub async fn accept(&self, events: Vec<IncomingEvent>) -> Result<Vec<Receipt>, IngestError> {
        self.store(self.prepare(events)?).await
    }

    /// The first half of [`Self::accept`], in which nothing waits: for many events it belongs where it holds up nobody.
    ///
    /// # Errors
    /// Where the events make too many deliveries.
    pub fn prepare(&self, events: Vec<IncomingEvent>) -> Result<Prepared, IngestError> {
        let (mut hooks, mut deliveries) = (Vec::with_capacity(events.len()), 0);
        for event in &events {
            let matching = self.directory.matching_hooks(event.tenant, &event.event_type, event.project);
            deliveries += matching.len();
            // Not after all are counted: ten thousand events for as many hooks would be a gigabyte of them.
            if events.len() > 1 && deliveries > MAX_DELIVERIES_PER_CALL {
                return Err(IngestError::TooMany);
            }
            hooks.push(matching);
        }
        let mut prepared = self.nothing_prepared(events.len());
        for (event, hooks) in events.into_iter().zip(hooks) {
            self.prepare_one(event, &hooks, Trigger::Event, &mut prepared);
        }
        Ok(prepared)
    }

    /// Sends an event of its own to one hook, once, even while that is disabled. Answers with the event as it is
    /// stored and the delivery that it makes.
    ///
    /// # Errors
    /// Where there is no room in memory (a disabled hook's deliveries are not fetched from disk), or storage fails.
    pub async fn test(
        &self,
        hook: &Arc<Hook>,
        event_type: EventType,
        data: Arc<str>,
    ) -> Result<(Arc<Event>, DeliveryId), TestError> {
        let event = IncomingEvent {
            tenant: hook.tenant,
            id: None,
            idempotency_key: None,
            event_type,
            occurred_at: None,
            project: hook.project,
            data,
        };
        let mut prepared = self.nothing_prepared(1);
        self.prepare_one(event, std::slice::from_ref(hook), Trigger::Test, &mut prepared);
        let Acceptance { event, deliveries, .. } = &prepared.acceptances[0];
        if deliveries[0].lease_until.is_none() && !hook.is_sent_to() {
            return Err(TestError::Busy);
        }
        let made = (Arc::clone(event), deliveries[0].id);
        match self.store(prepared).await {
            Ok(_) => Ok(made),
            Err(IngestError::Storage(error)) => Err(TestError::Storage(error)),
            // An event without a name of its sender's conflicts with nothing, and one delivery is never too many.
            Err(IngestError::Conflict { .. } | IngestError::TooMany) => Err(TestError::Busy),
        }
    }

    fn nothing_prepared(&self, events: usize) -> Prepared {
        let reserved = Vec::with_capacity(events);
        let handover = Handover { dispatcher: Arc::clone(&self.dispatcher), reserved };
        Prepared { acceptances: Vec::with_capacity(events), handover }
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
        // Two posts can only be the same if their sender named them: the digest is for those alone.
        let named = incoming.id.is_some() || incoming.idempotency_key.is_some();
        let content = if named { content_digest(&incoming) } else { [0; 32] };
        let event = Arc::new(Event {
            key,
            id: incoming.id.unwrap_or_else(|| EventId::of_key(key)),
            tenant: incoming.tenant,
            project: incoming.project,
            event_type: incoming.event_type,
            occurred_at: incoming.occurred_at.unwrap_or(now),
            data: incoming.data,
        });
        let mut reserved = Vec::with_capacity(hooks.len());
        let mut deliveries = Vec::with_capacity(hooks.len());
        for hook in hooks {
            let id = DeliveryId::generate(&self.sources.ids, now);
            let work = Work::fresh(id, hook.id, Arc::clone(&event), trigger);
            // One that cannot be read is not sent to: what it gets waits on disk.
            let lease_until = (!hook.unreadable).then(|| self.dispatcher.reserve(&work, now)).flatten();
            deliveries.push(NewDelivery { id, hook: hook.id, trigger, lease_until, due_at: now });
            if let Some(lease_until) = lease_until {
                reserved.push(Work { lease_until, ..work });
            }
        }
        let idempotency_key = incoming.idempotency_key;
        prepared.acceptances.push(Acceptance { event, content, idempotency_key, deliveries });
        prepared.handover.reserved.push(reserved);
    }

    /// The second half of [`Self::accept`]: commits, and hands the deliveries on.
    ///
    /// # Errors
    /// Where an event conflicts with another, or storage fails; nothing is stored then.
    pub async fn store(&self, prepared: Prepared) -> Result<Vec<Receipt>, IngestError> {
        let Prepared { acceptances, mut handover } = prepared;
        let first_answers: Vec<_> = acceptances
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
        let tenants: Vec<_> = acceptances.iter().map(|one| one.event.tenant).collect();
        let permit = self.permit_if_large(&acceptances).await;
        let outcomes = self.events.accept(acceptances).await?;
        drop(permit);
        if let Some((index, on)) = first_conflict(&outcomes) {
            return Err(IngestError::Conflict { index, on });
        }
        let mut receipts = Vec::with_capacity(outcomes.len());
        for (index, (outcome, first)) in outcomes.into_iter().zip(first_answers).enumerate() {
            match outcome {
                Accepted::Stored => {
                    handover.deliver(index);
                    on_disk[index]
                        .iter()
                        .for_each(|hook| self.dispatcher.stored_on_disk(*hook, tenants[index]));
                    receipts.push(first);
                }
                Accepted::Duplicate { key, id, deliveries } => {
                    receipts.push(Receipt { id, key, deliveries, duplicate: true });
                }
                Accepted::Conflict(_) => {}
            }
        }
        Ok(receipts)
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

/// Reserved work between reservation and commit. What has not been delivered when this is dropped, be
/// it for an error or because the caller went away in the middle, is given back: where the commit went
/// through all the same, the delivery is on disk under a lease, and is taken up when that ends.
struct Handover {
    dispatcher: Arc<Dispatcher>,
    /// By event: the deliveries that have room in memory.
    reserved: Vec<Vec<Work>>,
}

impl Handover {
    fn deliver(&mut self, index: usize) {
        self.dispatcher.push_reserved(std::mem::take(&mut self.reserved[index]));
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.reserved.iter().flatten().for_each(|work| self.dispatcher.unreserve(work));
    }
}

fn first_conflict(outcomes: &[Accepted]) -> Option<(usize, ConflictOn)> {
    outcomes.iter().enumerate().find_map(|(index, outcome)| match outcome {
        Accepted::Conflict(on) => Some((index, *on)),
        _ => None,
    })
}

/// Two posts under one name are the same event if type, project, time and data are the same.
fn content_digest(event: &IncomingEvent) -> [u8; 32] {
    let event_type = event.event_type.as_str();
    sha256(&[
        &(event_type.len() as u64).to_le_bytes(),
        event_type.as_bytes(),
        &event.project.unwrap_or(-1).to_le_bytes(),
        &event.occurred_at.map_or(i64::MIN, |time| time.0).to_le_bytes(),
        event.data.as_bytes(),
    ])
}
