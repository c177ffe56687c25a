//! Deliveries that are on disk in their events' rows alone.
//!
//! A delivery which has room in memory is leased when its event is accepted, and mostly done a moment later. Its
//! event's row names it; a row of its own, with all that indexes cost, it gets only when there is something to say:
//! when an attempt is recorded, when somebody asks for it, when its lease ends, or when it has been waiting for some
//! seconds. Who does what:
//! - the [`writer`] adds what it has committed, and removes what it has written;
//! - whoever reads deliveries has it write those first which the answer could need ([`Shared::settle`]);
//! - after a crash [`recover`] writes what only this memory knew. It looks at events after `written_until`, a key
//!   below which every delivery has its row.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sqlx::sqlite::SqliteConnection;

use super::claims::Claim;
use super::delivery_rows::DeliveryInsert;
use super::rows::named_after_mark;
use super::spans::{self, HookSpan, KnownSpans};
use super::{Shared, writer};
use crate::domain::{
    Delivery, DeliveryId, DeliveryState, Event, EventKey, HookId, TenantId, Trigger, UnixMillis,
};
use crate::storage::{Backlog, NewDelivery, StorageError};

/// How many deliveries are written in one transaction at most, where somebody asks for them.
pub const SETTLE_AT_ONCE: usize = 1_000;
/// `written_until` follows in steps of so much, 1,024 ms of ids, whose milliseconds begin at bit 22: a start after a crash
/// looks at the events of a few seconds.
const STEP: i64 = 1 << 32;
/// One whose event is so much older than the newest gets its row even if nothing came of it, so that a slow receiver does
/// not hold `written_until` back.
const OLD: i64 = 8 * STEP;
/// How many of these are written in one transaction at most.
const OLD_AT_ONCE: usize = 256;

/// A delivery without a row of its own.
#[derive(Debug, Clone)]
pub struct Unwritten {
    pub event: Arc<Event>,
    pub hook: HookId,
    pub lease_until: UnixMillis,
}

impl Unwritten {
    /// What is kept of a new delivery that needs no row yet: one that an event made and that is leased at once.
    pub fn of(new: &NewDelivery, event: &Arc<Event>) -> Option<Self> {
        let lease_until = new.lease_until.filter(|_| new.trigger == Trigger::Event)?;
        Some(Self { event: Arc::clone(event), hook: new.hook, lease_until })
    }

    /// The row that it gets where nothing came of it yet.
    pub fn first_row(&self, id: DeliveryId, deleted_hooks: &HashSet<HookId>) -> DeliveryInsert {
        let Self { ref event, hook, lease_until } = *self;
        let lease = Some(lease_until);
        let new = NewDelivery { id, hook, trigger: Trigger::Event, lease_until: lease, due_at: lease_until };
        DeliveryInsert::first(&new, event, deleted_hooks)
    }

    /// As it would be read from that row.
    fn delivery(&self, id: DeliveryId) -> Delivery {
        Delivery {
            id,
            tenant: self.event.tenant,
            hook: self.hook,
            event: self.event.key,
            event_type: self.event.event_type.clone(),
            trigger: Trigger::Event,
            state: DeliveryState::Delivering,
            attempts: 0,
            failures: 0,
            due_at: Some(self.lease_until),
        }
    }
}

/// Which deliveries are to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Which {
    One(DeliveryId),
    OfEvent(EventKey),
    OfHook(HookId),
    OfTenant(TenantId),
    All,
}

impl Which {
    fn covers(self, id: DeliveryId, delivery: &Unwritten) -> bool {
        match self {
            Self::One(wanted) => wanted == id,
            Self::OfEvent(key) => delivery.event.key == key,
            Self::OfHook(hook) => delivery.hook == hook,
            Self::OfTenant(tenant) => delivery.event.tenant == tenant,
            Self::All => true,
        }
    }
}

/// A question for some of them: up to `until`, so that it ends although others come meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settle {
    pub which: Which,
    pub until: DeliveryId,
    /// How many there were when it was asked, [`SETTLE_AT_ONCE`] at most.
    pub count: usize,
}

/// The deliveries without rows, how far `written_until` is, and which spans need not be written.
#[derive(Debug)]
pub struct Ledger {
    by_id: BTreeMap<DeliveryId, Unwritten>,
    /// How many of each event.
    events: BTreeMap<EventKey, usize>,
    /// The greatest key of an event that was committed.
    last_event: EventKey,
    written_until: EventKey,
    /// Spans that are on disk and need not be written again.
    pub spans: KnownSpans,
}

/// What a transaction does to the ledger once it is committed.
#[derive(Debug, Default)]
pub struct Change {
    pub added: Vec<(DeliveryId, Unwritten)>,
    pub removed: Vec<DeliveryId>,
    /// The greatest key among the events of the transaction.
    pub last_event: Option<EventKey>,
    /// Where its rows of deliveries lie, as far as that was not known.
    pub spans: Vec<HookSpan>,
}

impl Ledger {
    pub fn new(written_until: EventKey) -> Self {
        let (by_id, events, spans) = (BTreeMap::new(), BTreeMap::new(), KnownSpans::default());
        Self { by_id, events, last_event: written_until, written_until, spans }
    }

    pub fn get(&self, id: DeliveryId) -> Option<&Unwritten> {
        self.by_id.get(&id)
    }

    /// Those that are wanted, the oldest first.
    pub fn wanted(&self, question: Settle) -> impl Iterator<Item = (DeliveryId, &Unwritten)> {
        let Settle { which, until, .. } = question;
        let ids = match which {
            Which::One(id) => id..=id,
            _ => DeliveryId(0)..=until,
        };
        let wanted =
            self.by_id.range(ids).map(|(id, it)| (*id, it)).filter(move |(id, it)| which.covers(*id, it));
        wanted.take(SETTLE_AT_ONCE)
    }

    /// Those which `claim` asks for because their lease has ended. Leases end about in the order in which they began, so if
    /// the first has not ended nobody looks at the others: one that ended all the same gets its row with the
    /// [`Self::old`] ones.
    pub fn expired(&self, claim: &Claim) -> impl Iterator<Item = (DeliveryId, &Unwritten)> {
        let now = claim.now;
        let has_ended = self.by_id.first_key_value().is_some_and(|(_, first)| first.lease_until <= now);
        let hooks = claim.hooks.iter().filter(|_| has_ended).map(|it| it.hook).collect::<HashSet<_>>();
        let all = has_ended.then_some(&self.by_id).into_iter().flatten();
        all.filter(move |(_, it)| it.lease_until <= now && hooks.contains(&it.hook)).map(|(id, it)| (*id, it))
    }

    /// Some of those which were accepted long before `last_event`.
    pub fn old(&self, last_event: Option<EventKey>) -> impl Iterator<Item = (DeliveryId, &Unwritten)> {
        let limit = self.with_last(last_event).0 - OLD;
        let oldest = self.by_id.iter().take(OLD_AT_ONCE).map(|(id, it)| (*id, it));
        oldest.filter(move |(_, it)| it.event.key.0 < limit)
    }

    /// The greatest key of an event, if `last_event` is committed, too.
    fn with_last(&self, last_event: Option<EventKey>) -> EventKey {
        last_event.map_or(self.last_event, |last| last.max(self.last_event))
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
        let until = oldest.map_or(self.with_last(change.last_event), |oldest| EventKey(oldest.0 - 1));
        (until.0 - self.written_until.0 >= STEP).then_some(until)
    }

    /// After the commit.
    pub fn apply(&mut self, change: Change, written_until: Option<EventKey>) {
        self.written_until = written_until.unwrap_or(self.written_until);
        self.last_event = self.with_last(change.last_event);
        self.spans.add(change.spans);
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

/// The ledger as its users share it. Held while a plan is made or applied, never across a wait.
#[derive(Debug)]
pub struct SharedLedger(Mutex<Ledger>);

impl SharedLedger {
    pub fn new(ledger: Ledger) -> Self {
        Self(Mutex::new(ledger))
    }

    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of `tenant`'s, as it would be read if it had a row.
    pub fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Option<Delivery> {
        let ledger = self.lock();
        let found = ledger.get(id).filter(|it| it.event.tenant == tenant);
        found.map(|it| it.delivery(id))
    }

    /// Asks for those that are wanted of all there are now; none if there are none.
    fn ask(&self, which: Which, until: Option<DeliveryId>) -> Option<Settle> {
        let ledger = self.lock();
        let until = until.or_else(|| ledger.by_id.last_key_value().map(|(id, _)| *id))?;
        let count = ledger.wanted(Settle { which, until, count: 0 }).count();
        (count > 0).then_some(Settle { which, until, count })
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
    /// Has rows written for those of the wanted deliveries that have none. Writes nothing where all have.
    pub async fn settle(&self, which: Which) -> Result<(), StorageError> {
        let mut until = None;
        while let Some(question) = self.ledger.ask(which, until) {
            // Those that come meanwhile are not waited for: the question was asked before.
            until = Some(question.until);
            self.commit(writer::Message::Settle, question).await?;
        }
        Ok(())
    }

    /// The same for a list. Where it cannot be written, the list shows what has been: reading goes on while a disk is
    /// full.
    pub async fn settle_to_read(&self, which: Which) {
        if let Err(error) = self.settle(which).await {
            tracing::warn!(%error, "deliveries in memory are missing from a list, since they cannot be written");
        }
    }
}

/// Gives a row to what a process that died left without one: as if its lease had ended. Answers with the ledger to
/// begin with.
pub async fn recover(connection: &mut SqliteConnection) -> Result<Ledger, StorageError> {
    let sql = concat!(
        "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, due_at, \
        attempts, failures) SELECT e.tenant_id, e.key + (d.value ->> 0), d.value ->> 1, e.key, e.event_type, 0, 1, 0, 0, 0",
        named_after_mark!(),
        " ON CONFLICT DO NOTHING"
    );
    sqlx::query(sql).execute(&mut *connection).await?;
    spans::recover(connection).await?;
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

    /// Else a slow receiver would have the next start look at all that came after.
    #[test]
    fn what_waits_for_long_gets_its_row() {
        let mut ledger = Ledger::new(EventKey(0));
        let change = accepted(OLD);
        let next = ledger.next_written_until(&change);
        ledger.apply(change, next);
        let old = |last| ledger.old(last).map(|(id, _)| id.0).collect::<Vec<_>>();
        assert_eq!(old(None), [0; 0]);
        assert_eq!(old(Some(EventKey(2 * OLD))), [0; 0]);
        assert_eq!(old(Some(EventKey(2 * OLD + 1))), [OLD + 1]);
    }
}
