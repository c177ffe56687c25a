//! Deletes what is kept only for some time, and the content of events that are erased.
//!
//! An event is deleted with its deliveries, their attempts and bodies, once all of its deliveries are final. Each call is one or a
//! few small transactions, so that accepting and delivering do not wait: who calls sets the pace.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::{DeliveryId, EventId, EventKey, Job, JobWork, NodeNumber, TenantId, UnixMillis};

/// See the module's head.
#[async_trait]
pub trait RetentionStore: Send + Sync {
    /// Whether `node` is the one of several nodes that deletes, from now until about a minute later. Another one takes over if
    /// it does not ask again.
    async fn takes_lease(&self, node: NodeNumber) -> Result<bool, StorageError>;
    /// The events after `after` and up to `until`, oldest first, at most `most`.
    async fn events_between(
        &self,
        after: EventKey,
        until: EventKey,
        most: u32,
    ) -> Result<Vec<StoredEvent>, StorageError>;
    /// Deletes events with all that belongs to them. Those with a delivery that is not final are kept.
    async fn delete_events(&self, events: &[EventKey]) -> Result<Purged, StorageError>;
    /// Whether [`Self::delete_days`] is much cheaper than deleting event by event.
    fn deletes_days(&self) -> bool {
        false
    }
    /// Deletes the events of whole days, whichever tenant has them, up to `until`. Those with a delivery that is not final are
    /// kept. Also returns up to which event to delete the others one by one: those that are not in days of their own.
    async fn delete_days(&self, _until: EventKey) -> Result<(Deleted, EventKey), StorageError> {
        Ok((Deleted::default(), EventKey(0)))
    }
    /// The events of a tenant after a key and up to another that unfinished replays are about to send.
    async fn held_by_replays(&self) -> Result<Vec<(TenantId, EventKey, EventKey)>, StorageError>;
    /// A tenant's deliveries after `after` and up to `until`, oldest first, at most `most`: each, and whether it has what would be
    /// removed.
    async fn deliveries_between(
        &self,
        (tenant, what): (TenantId, Trim),
        after: DeliveryId,
        until: DeliveryId,
        most: u32,
    ) -> Result<Vec<(DeliveryId, bool)>, StorageError>;
    /// Deletes the attempts of these deliveries, or only the bodies of their requests and responses, of attempts made before
    /// `until`.
    async fn trim_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
        what: Trim,
        until: UnixMillis,
    ) -> Result<Trimmed, StorageError>;
    /// Names of events that were accepted before `known_from` need not be known any more. Those of events before `before` are
    /// deleted, at most `most` at a time. Returns how many; it may delete fewer although there are more.
    async fn forget_names(
        &self,
        known_from: UnixMillis,
        before: UnixMillis,
        most: u32,
    ) -> Result<u64, StorageError>;
    /// Does a little of what is left over after deletions: gives space back to the file system, removes entries of indexes. All
    /// that it looks at came before `before`. Returns whether there is more to do.
    async fn tidy(&self, before: UnixMillis) -> Result<bool, StorageError>;
    /// Erases the content of an event: its data, and what its attempts sent and got. Its deliveries that are not final are
    /// cancelled. The event stays, without data, until it is deleted as others; whatever is sent with its id repeats it.
    /// `None`: no such event.
    async fn erase(
        &self,
        tenant: TenantId,
        event: &EventId,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, StorageError>;
    /// When the content of an event was erased, if it was.
    async fn erased_at(&self, tenant: TenantId, event: EventKey) -> Result<Option<UnixMillis>, StorageError>;
    /// The events that were erased since `since`, with the time, the oldest first, at most `most`. Empty if no other process
    /// erases any.
    async fn erased_since(
        &self,
        _since: UnixMillis,
        _most: u32,
    ) -> Result<Vec<(EventKey, UnixMillis)>, StorageError> {
        Ok(Vec::new())
    }
    /// Erases what attempts wrote that were under way when their events were erased, of events erased since `since`.
    async fn erase_late(&self, since: UnixMillis) -> Result<(), StorageError>;
}

/// An event as retention sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its key.
    pub key: EventKey,
    /// Whose it is.
    pub tenant: TenantId,
    /// The size of its data.
    pub bytes: u64,
}

/// What [`RetentionStore::trim_attempts`] removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trim {
    /// The bodies of requests and responses.
    Bodies,
    /// The attempts with all they have.
    Attempts,
}

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// Events.
    pub events: u64,
    /// Their deliveries.
    pub deliveries: u64,
    /// Attempts.
    pub attempts: u64,
    /// Bodies of requests and responses, beside those of attempts that were deleted.
    pub bodies: u64,
}

/// What came of deleting events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged {
    /// What was deleted.
    pub deleted: Deleted,
    /// The events that are kept, since they have a delivery that is not final.
    pub kept: Vec<EventKey>,
}

/// What came of trimming attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// What was deleted.
    pub deleted: Deleted,
    /// The deliveries that have later attempts, or may get some: to be trimmed once more.
    pub kept: Vec<DeliveryId>,
}

impl Deleted {
    /// Adds what another step deleted.
    pub fn add(&mut self, other: Self) {
        self.events += other.events;
        self.deliveries += other.deliveries;
        self.attempts += other.attempts;
        self.bodies += other.bodies;
    }
}

/// The columns of a [`StoredEvent`].
pub(super) fn stored_event((key, tenant, bytes): (i64, i64, i64)) -> StoredEvent {
    StoredEvent { key: EventKey(key), tenant: TenantId(tenant), bytes: bytes.unsigned_abs() }
}

/// The events that an unfinished job is about to send: those that it has not examined.
pub(super) fn held_by(job: Job) -> Option<(TenantId, EventKey, EventKey)> {
    let JobWork::Replay(replay) = &job.work else { return None };
    let until = EventKey(EventKey::first_at(replay.until).0 - 1);
    Some((job.tenant, EventKey(job.progress.examined_to), until))
}
