//! Deliveries that are on disk in their events' rows alone.
//!
//! A delivery which has room in memory is leased when its event is accepted, and mostly done a moment later. Its
//! event's row names it; a row of its own, with all that indexes cost, it gets only when there is something to say:
//! when an attempt is recorded, when somebody asks for it, or when its lease ends. Who does what:
//! - the [`writer`] adds what it has committed, and removes what it has written;
//! - whoever reads deliveries has it write those first which the answer could need ([`Shared::settle`]);
//! - after a crash [`recover`] writes what only this memory knew. It looks at events after `written_until`, a key
//!   below which every delivery has its row.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnection;

use super::events::DeliveryInsert;
use super::{Shared, writer};
use crate::domain::{DeliveryId, DeliveryState, Event, EventKey, HookId, TenantId, Trigger, UnixMillis};
use crate::storage::{Backlog, StorageError};

/// How many deliveries are written in one transaction at most, where somebody asks for them.
pub const SETTLE_AT_ONCE: usize = 2_000;
/// `written_until` follows in steps of so much: a start after a crash looks at the events of a few seconds.
const STEP: i64 = 1 << 32;

/// A delivery without a row of its own.
#[derive(Debug, Clone)]
pub struct Unwritten {
    pub event: Arc<Event>,
    pub hook: HookId,
    pub lease_until: UnixMillis,
}

impl Unwritten {
    /// The row that it gets where nothing came of it yet.
    pub fn leased_row(&self, id: DeliveryId) -> DeliveryInsert {
        DeliveryInsert {
            id,
            event: Arc::clone(&self.event),
            hook: self.hook,
            trigger: Trigger::Event,
            state: DeliveryState::Delivering,
            due_at: Some(self.lease_until),
            attempts: 0,
            failures: 0,
        }
    }
}

/// Which deliveries are to be written.
#[derive(Debug, Clone, Copy)]
pub enum Which {
    One(DeliveryId),
    OfEvent(EventKey),
    Of(TenantId),
    All,
}

impl Which {
    fn covers(self, id: DeliveryId, delivery: &Unwritten) -> bool {
        match self {
            Self::One(wanted) => wanted == id,
            Self::OfEvent(key) => delivery.event.key == key,
            Self::Of(tenant) => delivery.event.tenant == tenant,
            Self::All => true,
        }
    }
}

/// All of them, and how far `written_until` is.
#[derive(Debug)]
pub struct Ledger {
    by_id: HashMap<DeliveryId, Unwritten>,
    /// How many of each event.
    events: BTreeMap<EventKey, usize>,
    /// The greatest key of an event that was committed.
    last_event: EventKey,
    written_until: EventKey,
}

/// What a transaction does to the ledger once it is committed.
#[derive(Debug, Default)]
pub struct Change {
    pub added: Vec<(DeliveryId, Unwritten)>,
    pub removed: Vec<DeliveryId>,
    /// The greatest key among the events of the transaction.
    pub last_event: Option<EventKey>,
}

impl Ledger {
    pub fn new(written_until: EventKey) -> Self {
        Self { by_id: HashMap::new(), events: BTreeMap::new(), last_event: written_until, written_until }
    }

    pub fn get(&self, id: DeliveryId) -> Option<&Unwritten> {
        self.by_id.get(&id)
    }

    /// Up to [`SETTLE_AT_ONCE`] of those that are wanted.
    pub fn some(&self, which: Which) -> Vec<(DeliveryId, &Unwritten)> {
        let one = match which {
            Which::One(id) => {
                return self.by_id.get_key_value(&id).map(|(id, it)| (*id, it)).into_iter().collect();
            }
            _ => self.by_id.iter().map(|(id, it)| (*id, it)),
        };
        one.filter(|(id, it)| which.covers(*id, it)).take(SETTLE_AT_ONCE).collect()
    }

    /// Those of `hook` whose lease has ended.
    pub fn expired(&self, hook: HookId, now: UnixMillis) -> Vec<(DeliveryId, &Unwritten)> {
        let expired = |it: &Unwritten| it.hook == hook && it.lease_until <= now;
        self.by_id.iter().filter(|(_, it)| expired(it)).map(|(id, it)| (*id, it)).collect()
    }

    /// When the first lease of each hook ends.
    fn backlog(&self) -> HashMap<HookId, UnixMillis> {
        let mut first = HashMap::new();
        for it in self.by_id.values() {
            let at = first.entry(it.hook).or_insert(it.lease_until);
            *at = it.lease_until.min(*at);
        }
        first
    }

    /// The `written_until` that must be committed together with `change`, if it is another.
    ///
    /// It rises in steps. It falls where an event comes late: keys are made before events queue for the writer, so
    /// that the order of commits is not theirs.
    pub fn next_written_until(&self, change: &Change) -> Option<EventKey> {
        let late = change.added.iter().map(|(_, it)| it.event.key).min();
        if let Some(late) = late.filter(|late| *late <= self.written_until) {
            return Some(EventKey(late.0 - 1));
        }
        // What this transaction removes is looked at by the next one.
        let oldest = self.events.keys().next().copied().into_iter().chain(late).min();
        let last = change.last_event.map_or(self.last_event, |last| last.max(self.last_event));
        let until = oldest.map_or(last, |oldest| EventKey(oldest.0 - 1));
        (until.0 - self.written_until.0 >= STEP).then_some(until)
    }

    /// After the commit.
    pub fn apply(&mut self, change: Change, written_until: Option<EventKey>) {
        self.written_until = written_until.unwrap_or(self.written_until);
        self.last_event = change.last_event.map_or(self.last_event, |last| last.max(self.last_event));
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

/// The ledger as its users share it. Held for lookups alone, never across a wait.
#[derive(Debug)]
pub struct SharedLedger(Mutex<Ledger>);

impl SharedLedger {
    pub fn new(ledger: Ledger) -> Self {
        Self(Mutex::new(ledger))
    }

    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, which: Which) -> usize {
        self.lock().some(which).len()
    }

    /// Adds to what is on disk when the leases of the others end.
    pub fn add_backlog(&self, on_disk: &mut Vec<Backlog>) {
        let mut unwritten = self.lock().backlog();
        for backlog in on_disk.iter_mut() {
            if let Some(ends) = unwritten.remove(&backlog.hook) {
                backlog.first_due_at = backlog.first_due_at.min(ends);
            }
        }
        on_disk.extend(unwritten.into_iter().map(|(hook, first_due_at)| Backlog { hook, first_due_at }));
    }
}

impl Shared {
    /// Has rows written for those of the wanted deliveries that have none. Costs nothing where all have.
    pub async fn settle(&self, which: Which) -> Result<(), StorageError> {
        // Those that come meanwhile are not waited for: the question was asked before.
        let mut left = match which {
            Which::Of(_) | Which::All => self.ledger.lock().by_id.len(),
            Which::One(_) | Which::OfEvent(_) => usize::MAX,
        };
        loop {
            let count = self.ledger.count(which);
            if count == 0 || left == 0 {
                return Ok(());
            }
            self.commit(writer::Message::Settle, which).await?;
            left = left.saturating_sub(count);
        }
    }
}

/// Gives a row to what a process that died left without one: as if its lease had ended. The ledger to begin with.
pub async fn recover(connection: &mut SqliteConnection) -> Result<Ledger, StorageError> {
    let sql = "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, due_at, \
        attempts, failures) SELECT e.tenant_id, e.key + (d.value ->> 0), d.value ->> 1, e.key, e.event_type, 0, 1, 0, 0, 0 \
        FROM events e CROSS JOIN json_each(e.deliveries) d \
        WHERE e.key > (SELECT event_key FROM written_until) ON CONFLICT DO NOTHING";
    sqlx::query(sql).execute(&mut *connection).await?;
    let sql = "UPDATE written_until SET event_key = (SELECT ifnull(max(key), 0) FROM events)";
    sqlx::query(sql).execute(&mut *connection).await?;
    let until = sqlx::query_scalar("SELECT event_key FROM written_until").fetch_one(connection).await?;
    Ok(Ledger::new(EventKey(until)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::EventId;

    fn accepted(key: i64) -> Change {
        let key = EventKey(key);
        let event = Event {
            key,
            id: EventId::of_key(key),
            tenant: TenantId(1),
            project: None,
            event_type: "a".parse().unwrap(),
            occurred_at: UnixMillis(0),
            data: "1".into(),
        };
        let unwritten = Unwritten { event: Arc::new(event), hook: HookId(2), lease_until: UnixMillis(3) };
        Change { added: vec![(DeliveryId(key.0 + 1), unwritten)], last_event: Some(key), ..Change::default() }
    }

    fn written(key: i64) -> Change {
        Change { removed: vec![DeliveryId(key + 1)], ..Change::default() }
    }

    /// What is committed must never be at or after the event of a delivery without a row.
    #[test]
    fn written_until_stays_before_whatever_has_no_row() {
        let mut ledger = Ledger::new(EventKey(0));
        for (what, change, expected) in [
            ("the first event lies far ahead", accepted(3 * STEP), Some(3 * STEP - 1)),
            ("less than a step", accepted(3 * STEP + 5), None),
            ("late: its key was made before", accepted(STEP), Some(STEP - 1)),
            ("a step and more, but an older one has no row", accepted(9 * STEP), None),
            ("it has one from now on", written(STEP), None),
            ("which the next transaction sees", written(3 * STEP), Some(3 * STEP - 1)),
            ("two are left, the older less than a step on", written(3 * STEP + 5), None),
            ("one is left", written(9 * STEP), Some(9 * STEP - 1)),
            ("none", Change::default(), None),
            (
                "an event without deliveries",
                Change { last_event: Some(EventKey(20 * STEP)), ..Change::default() },
                Some(20 * STEP),
            ),
            ("as late as can be", accepted(20 * STEP), Some(20 * STEP - 1)),
        ] {
            let next = ledger.next_written_until(&change);
            assert_eq!(next, expected.map(EventKey), "{what}");
            ledger.apply(change, next);
        }
    }
}
