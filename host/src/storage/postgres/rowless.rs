//! Deliveries of this node that have no row of their own yet: only their event's row names them.
//!
//! A delivery that finds room in memory is leased when its event is accepted, and is usually finished a moment later: its
//! row is then inserted once. Memory holds what that row needs. It decides nothing: another node, or a request of a client,
//! may have given the delivery a row, and the database says so when it is recorded.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Delivery, DeliveryId, Event, EventKey, HookId, TenantId, Trigger, UnixMillis};
use crate::storage::rowless::{self, MARK_STEP, MAX_AGE};
use crate::storage::{Backlog, NewDelivery};

/// An event's deliveries get their ids soon after its key: the database looks for the event among the keys this far
/// before a delivery's id. It is 256 ms, and `materialize` spells it out.
const REACH: i64 = 1 << 30;
/// How many old deliveries get their rows in one transaction, at most. Other nodes see them then.
const OLD_LIMIT: usize = 1_000;

/// A delivery without a row of its own.
#[derive(Debug, Clone)]
pub struct RowlessDelivery {
    pub event: Arc<Event>,
    pub hook: HookId,
    pub lease_until: UnixMillis,
    /// Its event is committed.
    is_stored: bool,
}

impl RowlessDelivery {
    fn delivery(&self, id: DeliveryId) -> Delivery {
        rowless::delivery(id, &self.event, self.hook, self.lease_until)
    }
}

/// All of them, and the mark.
#[derive(Debug)]
pub struct RowlessDeliveries {
    by_id: BTreeMap<DeliveryId, RowlessDelivery>,
    /// How many there are of each event.
    events: BTreeMap<EventKey, usize>,
    /// The greatest key of an event with such a delivery.
    last_event: EventKey,
    /// Deliveries of events up to this key have a row of their own.
    mark: EventKey,
}

impl RowlessDeliveries {
    /// Whether `new` needs no row when its event is stored. `lease_until` is that of the event's other ones.
    fn fits(&self, new: &NewDelivery, event: &Event, lease_until: Option<UnixMillis>) -> bool {
        let distance = new.id.0.saturating_sub(event.key.0);
        new.trigger == Trigger::Event
            && new.lease_until.is_some()
            && lease_until.is_none_or(|until| new.lease_until == Some(until))
            && (1..REACH).contains(&distance)
            && new.id.node() == event.key.node()
            && event.key > self.mark
            && !self.by_id.contains_key(&new.id)
    }

    /// Adds a delivery before its event is stored, so that the mark does not pass it; returns whether it needs no row.
    pub fn add(&mut self, new: &NewDelivery, event: &Arc<Event>, lease_until: Option<UnixMillis>) -> bool {
        let Some(until) = new.lease_until.filter(|_| self.fits(new, event, lease_until)) else {
            return false;
        };
        *self.events.entry(event.key).or_default() += 1;
        self.last_event = self.last_event.max(event.key);
        let (event, hook) = (Arc::clone(event), new.hook);
        self.by_id.insert(new.id, RowlessDelivery { event, hook, lease_until: until, is_stored: false });
        true
    }

    /// The transaction of their events is committed.
    pub fn set_stored(&mut self, ids: &[DeliveryId]) {
        for id in ids {
            if let Some(delivery) = self.by_id.get_mut(id) {
                delivery.is_stored = true;
            }
        }
    }

    pub fn get(&self, id: DeliveryId) -> Option<&RowlessDelivery> {
        self.by_id.get(&id)
    }

    /// They have rows, or their events are not stored.
    pub fn remove(&mut self, ids: impl IntoIterator<Item = DeliveryId>) {
        for id in ids {
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

    /// Those of `ids` have rows whose events are known to be stored.
    pub fn remove_stored(&mut self, ids: &[DeliveryId]) {
        let is_stored = |id: &&DeliveryId| self.by_id.get(id).is_some_and(|it| it.is_stored);
        let stored: Vec<DeliveryId> = ids.iter().filter(is_stored).copied().collect();
        self.remove(stored);
    }

    /// All deliveries of this node have rows; those of events up to `mark` will always have one.
    pub fn clear(&mut self, mark: EventKey) {
        self.by_id.clear();
        self.events.clear();
        self.mark = self.mark.max(mark);
    }

    /// The stored deliveries of `hooks` whose lease has ended by `now`.
    pub fn expired(&self, hooks: &HashSet<HookId>, now: UnixMillis) -> Vec<DeliveryId> {
        let has_ended = self.by_id.first_key_value().is_some_and(|(_, first)| first.lease_until <= now);
        let all = has_ended.then_some(&self.by_id).into_iter().flatten();
        let expired = all.filter(|(_, it)| it.is_stored && it.lease_until <= now && hooks.contains(&it.hook));
        expired.map(|(id, _)| *id).collect()
    }

    /// Some of the deliveries that were accepted long before `newest`, an id of now.
    pub fn old(&self, newest: EventKey) -> Vec<DeliveryId> {
        let limit = newest.max(self.last_event).0 - MAX_AGE;
        let oldest =
            self.by_id.iter().take(OLD_LIMIT).filter(|(_, it)| it.is_stored && it.event.key.0 < limit);
        oldest.map(|(id, _)| *id).collect()
    }

    /// Raises the mark, if it is far behind, and returns it. `now` is an id of the present.
    pub fn raise_mark(&mut self, now: EventKey) -> EventKey {
        let oldest = self.events.keys().next();
        // What is accepted with a lesser key gets a row at once: without deliveries in memory, the mark may be anywhere.
        let newest = self.last_event.max(EventKey(now.0 - MAX_AGE));
        let until = oldest.map_or(newest, |oldest| EventKey(oldest.0 - 1));
        if until.0 - self.mark.0 >= MARK_STEP {
            self.mark = until;
        }
        self.mark
    }
}

/// The [`RowlessDeliveries`] as all of a node share them. The lock is never held across an await.
#[derive(Debug)]
pub struct SharedRowless(Mutex<RowlessDeliveries>);

impl SharedRowless {
    pub fn new(mark: EventKey) -> Self {
        let (by_id, events) = (BTreeMap::new(), BTreeMap::new());
        Self(Mutex::new(RowlessDeliveries { by_id, events, last_event: mark, mark }))
    }

    pub fn lock(&self) -> MutexGuard<'_, RowlessDeliveries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The deliveries of `tenant` that are `wanted`, newest first.
    pub fn list(&self, tenant: TenantId, wanted: impl Fn(&Delivery) -> bool) -> Vec<Delivery> {
        let rowless = self.lock();
        let of_tenant =
            rowless.by_id.iter().rev().filter(|(_, it)| it.is_stored && it.event.tenant == tenant);
        of_tenant.map(|(id, it)| it.delivery(*id)).filter(wanted).collect()
    }

    /// Adds to the backlog in the database when the leases of these deliveries end.
    pub fn add_backlog(&self, backlog: &mut Vec<Backlog>) {
        rowless::add_leases(backlog, self.lock().by_id.values().map(|it| (it.hook, it.lease_until)));
    }
}
