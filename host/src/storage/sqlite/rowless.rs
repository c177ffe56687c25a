//! Deliveries that have no row of their own yet: only their event's row names them.
//!
//! A delivery that finds room in memory is leased when its event is accepted, and is usually finished a moment later. It
//! gets a row, with the cost of all indexes, only when there is something to write: when an attempt is recorded, somebody
//! asks for it, its lease ends, or it has waited for some seconds.
//!
//! The writer adds what it has committed, and removes what it has given a row. After a crash [`recover`] gives rows to the
//! deliveries that only memory knew. It reads the events after `written_until`, the key up to which every delivery has its
//! row.

use std::collections::{BTreeMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnection;

use super::delivery_rows::DeliveryInsert;
use super::id_buckets::{self, HookBucket, KnownBuckets};
use super::rows::named_after_mark;
use crate::domain::{Delivery, DeliveryId, Event, EventKey, HookId, TenantId, Trigger, UnixMillis};
use crate::storage::rowless::{self, MARK_STEP, MAX_AGE};
use crate::storage::{Backlog, NewDelivery, StorageError};

/// How many deliveries one transaction materializes on request, at most.
pub const MATERIALIZE_LIMIT: usize = 1_000;
/// How many old deliveries one transaction materializes, at most.
const OLD_LIMIT: usize = 256;

/// A delivery without a row of its own.
#[derive(Debug, Clone)]
pub struct RowlessDelivery {
    pub event: Arc<Event>,
    pub hook: HookId,
    pub lease_until: UnixMillis,
}

impl RowlessDelivery {
    /// For a new delivery that needs no row yet: one that an event made and that is leased at once.
    pub fn of(new: &NewDelivery, event: &Arc<Event>) -> Option<Self> {
        let lease_until = new.lease_until.filter(|_| new.trigger == Trigger::Event)?;
        Some(Self { event: Arc::clone(event), hook: new.hook, lease_until })
    }

    /// The row that it gets before anything is recorded.
    pub fn first_row(&self, id: DeliveryId, deleted_hooks: &HashSet<HookId>) -> DeliveryInsert {
        let Self { ref event, hook, lease_until } = *self;
        let lease = Some(lease_until);
        let trigger = Trigger::Event;
        let new =
            NewDelivery { id, hook, trigger, lease_until: lease, due_at: lease_until, ordering_key: None };
        DeliveryInsert::first(&new, event, deleted_hooks)
    }

    /// As it would be read from that row.
    fn delivery(&self, id: DeliveryId) -> Delivery {
        rowless::delivery(id, &self.event, self.hook, self.lease_until)
    }
}

/// Which deliveries to materialize.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Selection {
    One(DeliveryId),
    OfEvent(EventKey),
    OfHook(HookId),
    OfTenant(TenantId),
    All,
}

impl Selection {
    fn covers(self, id: DeliveryId, delivery: &RowlessDelivery) -> bool {
        match self {
            Self::One(wanted) => wanted == id,
            Self::OfEvent(key) => delivery.event.key == key,
            Self::OfHook(hook) => delivery.hook == hook,
            Self::OfTenant(tenant) => delivery.event.tenant == tenant,
            Self::All => true,
        }
    }
}

/// A request to give selected deliveries their rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Materialize {
    pub selection: Selection,
    /// The greatest id to materialize: the request ends even if more deliveries arrive meanwhile.
    pub until: DeliveryId,
    /// How many deliveries there were at the time of the request, [`MATERIALIZE_LIMIT`] at most.
    pub count: usize,
}

/// All deliveries without rows, how far `written_until` is, and which id buckets are on disk.
#[derive(Debug)]
pub struct RowlessDeliveries {
    by_id: BTreeMap<DeliveryId, RowlessDelivery>,
    /// How many there are of each event.
    events: BTreeMap<EventKey, usize>,
    /// The greatest key of a committed event.
    last_event: EventKey,
    written_until: EventKey,
    /// Buckets that are on disk and need not be written again.
    pub buckets: KnownBuckets,
    /// The last number of a delivery in order. A plan that is not committed leaves a gap.
    last_ordering_seq: AtomicI64,
}

/// How a transaction changes the [`RowlessDeliveries`], once it is committed.
#[derive(Debug, Default)]
pub struct RowlessChange {
    pub added: Vec<(DeliveryId, RowlessDelivery)>,
    pub removed: Vec<DeliveryId>,
    /// The greatest key among the events of the transaction.
    pub last_event: Option<EventKey>,
    /// The buckets of its delivery rows that were not known to be on disk.
    pub buckets: Vec<HookBucket>,
}

impl RowlessDeliveries {
    pub fn new(written_until: EventKey) -> Self {
        let (by_id, events, buckets) = (BTreeMap::new(), BTreeMap::new(), KnownBuckets::default());
        let last_ordering_seq = AtomicI64::new(0);
        Self { by_id, events, last_event: written_until, written_until, buckets, last_ordering_seq }
    }

    /// The number of a new delivery in order, in the order of commits. Ids ascend over restarts, and are made before their
    /// transaction.
    pub fn next_ordering_seq(&self, id: DeliveryId) -> i64 {
        // The lock of `SharedRowless` is held: nobody comes between the two.
        let seq = id.0.max(self.last_ordering_seq.load(Ordering::Relaxed) + 1);
        self.last_ordering_seq.store(seq, Ordering::Relaxed);
        seq
    }

    pub fn get(&self, id: DeliveryId) -> Option<&RowlessDelivery> {
        self.by_id.get(&id)
    }

    /// Whether a delivery of this event has no row.
    pub fn has_event(&self, event: EventKey) -> bool {
        self.events.contains_key(&event)
    }

    /// The deliveries of a request, oldest first.
    pub fn selected(&self, request: Materialize) -> impl Iterator<Item = (DeliveryId, &RowlessDelivery)> {
        let Materialize { selection, until, .. } = request;
        let ids = match selection {
            Selection::One(id) => id..=id,
            _ => DeliveryId(0)..=until,
        };
        let selected = self.by_id.range(ids).map(|(id, it)| (*id, it));
        selected.filter(move |(id, it)| selection.covers(*id, it)).take(MATERIALIZE_LIMIT)
    }

    /// The deliveries of `hooks` whose lease has ended by `now`. Leases end about in the order in which they began: if the
    /// first has not ended, the others are not looked at. One that ended all the same gets its row as an
    /// [old](Self::old) one.
    pub fn expired(
        &self,
        hooks: impl Iterator<Item = HookId>,
        now: UnixMillis,
    ) -> impl Iterator<Item = (DeliveryId, &RowlessDelivery)> {
        let has_ended = self.by_id.first_key_value().is_some_and(|(_, first)| first.lease_until <= now);
        let hooks = hooks.filter(|_| has_ended).collect::<HashSet<_>>();
        let all = has_ended.then_some(&self.by_id).into_iter().flatten();
        all.filter(move |(_, it)| it.lease_until <= now && hooks.contains(&it.hook)).map(|(id, it)| (*id, it))
    }

    /// Some of the deliveries that were accepted long before `last_event`.
    pub fn old(&self, last_event: Option<EventKey>) -> impl Iterator<Item = (DeliveryId, &RowlessDelivery)> {
        let limit = self.with_last(last_event).0 - MAX_AGE;
        let oldest = self.by_id.iter().take(OLD_LIMIT).map(|(id, it)| (*id, it));
        oldest.filter(move |(_, it)| it.event.key.0 < limit)
    }

    /// The greatest key of an event once `last_event` is committed, too.
    fn with_last(&self, last_event: Option<EventKey>) -> EventKey {
        last_event.map_or(self.last_event, |last| last.max(self.last_event))
    }

    /// The new `written_until` to commit together with `change`, if it moves.
    ///
    /// It rises in steps. It falls if an event arrives late: keys are made before events queue for the writer, so commits
    /// are not in the order of keys.
    pub fn next_written_until(&self, change: &RowlessChange) -> Option<EventKey> {
        let late = change.added.iter().map(|(_, it)| it.event.key).min();
        if let Some(late) = late.filter(|late| *late <= self.written_until) {
            return Some(EventKey(late.0 - 1));
        }
        // What this transaction removes counts from the next one on.
        let oldest = self.events.keys().next().copied().into_iter().chain(late).min();
        let until = oldest.map_or(self.with_last(change.last_event), |oldest| EventKey(oldest.0 - 1));
        (until.0 - self.written_until.0 >= MARK_STEP).then_some(until)
    }

    /// Applies what was committed.
    pub fn apply(&mut self, change: RowlessChange, written_until: Option<EventKey>) {
        self.written_until = written_until.unwrap_or(self.written_until);
        self.last_event = self.with_last(change.last_event);
        self.buckets.add(change.buckets);
        for (id, delivery) in change.added {
            *self.events.entry(delivery.event.key).or_default() += 1;
            self.by_id.insert(id, delivery);
        }
        for id in change.removed {
            let Some(delivery) = self.by_id.remove(&id) else { continue };
            let key = delivery.event.key;
            if let Some(count) = self.events.get_mut(&key) {
                *count -= 1;
                if *count == 0 {
                    self.events.remove(&key);
                }
            }
        }
    }
}

/// The [`RowlessDeliveries`] as the writer and the stores share them. The lock is never held across an await.
#[derive(Debug)]
pub struct SharedRowless(Mutex<RowlessDeliveries>);

impl SharedRowless {
    pub fn new(deliveries: RowlessDeliveries) -> Self {
        Self(Mutex::new(deliveries))
    }

    pub fn lock(&self) -> MutexGuard<'_, RowlessDeliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One delivery of `tenant`, as it would be read if it had a row.
    pub fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Option<Delivery> {
        let rowless = self.lock();
        let found = rowless.get(id).filter(|it| it.event.tenant == tenant);
        found.map(|it| it.delivery(id))
    }

    /// The ids of `tenant`'s deliveries in this range.
    pub fn ids(&self, tenant: TenantId, ids: RangeInclusive<DeliveryId>) -> Vec<DeliveryId> {
        let rowless = self.lock();
        let found = rowless.by_id.range(ids).filter(|(_, it)| it.event.tenant == tenant);
        found.map(|(id, _)| *id).collect()
    }

    /// A request for the selected deliveries up to `until`, or up to the newest there is now; none if there are none.
    pub fn request(&self, selection: Selection, until: Option<DeliveryId>) -> Option<Materialize> {
        let rowless = self.lock();
        let until = until.or_else(|| rowless.by_id.last_key_value().map(|(id, _)| *id))?;
        let count = rowless.selected(Materialize { selection, until, count: 0 }).count();
        (count > 0).then_some(Materialize { selection, until, count })
    }

    /// Adds to the backlog on disk when the leases of deliveries without rows end.
    pub fn add_backlog(&self, on_disk: &mut Vec<Backlog>) {
        rowless::add_leases(on_disk, self.lock().by_id.values().map(|it| (it.hook, it.lease_until)));
    }
}

/// Gives rows to the deliveries that a process left without one when it died. Their leases have ended.
pub async fn recover(connection: &mut SqliteConnection) -> Result<RowlessDeliveries, StorageError> {
    let sql = concat!(
        "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, failures, \
        lease_owner, lease_id, lease_until) SELECT e.tenant_id, e.key + (d.value ->> 0), d.value ->> 1, e.key, e.event_type, \
        0, 1, 0, 0, ((e.key + (d.value ->> 0)) >> 12) & 1023, e.key + (d.value ->> 0), 0",
        named_after_mark!(),
        " ON CONFLICT DO NOTHING"
    );
    sqlx::query(sql).execute(&mut *connection).await?;
    id_buckets::recover(connection).await?;
    let sql = "UPDATE written_until SET event_key = (SELECT ifnull(max(key), 0) FROM events)";
    sqlx::query(sql).execute(&mut *connection).await?;
    let until = sqlx::query_scalar("SELECT event_key FROM written_until").fetch_one(connection).await?;
    Ok(RowlessDeliveries::new(EventKey(until)))
}

#[cfg(test)]
mod tests;
