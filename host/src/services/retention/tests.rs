//! Tests of passes, with a store that deletes whole days.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use super::passes::to_leave;
use super::steps::{AfterFailure, STEP};
use super::trims::next_look;
use super::*;
use crate::delivery::testing;
use crate::domain::{DeliveryId, EventId, TenantId};
use crate::storage::sqlite::{self, SqliteOptions};
use crate::storage::{Deleted, Purged, StorageError, StoredEvent, Trim, Trimmed};

const DAY: Duration = Duration::from_secs(86_400);
const ONE: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);

/// Events, what replays hold of them, and which were erased.
#[derive(Default)]
pub struct Days {
    pub erased: Mutex<Vec<(EventKey, UnixMillis)>>,
    events: Mutex<BTreeMap<EventKey, TenantId>>,
    held: Vec<(TenantId, EventKey, EventKey)>,
    unfinished: Mutex<BTreeSet<EventKey>>,
    /// Deleting one of these fails, with all others of the same call; also those of deliveries with the same number.
    damaged: Mutex<BTreeSet<EventKey>>,
    /// What fails.
    failing: Mutex<BTreeSet<&'static str>>,
    tidied: AtomicU64,
    /// The deliveries of any tenant, how often they were looked for, and those whose attempts were removed.
    deliveries: Mutex<BTreeSet<DeliveryId>>,
    looks: AtomicU64,
    trimmed: Mutex<Vec<DeliveryId>>,
    /// Up to which event whole days were to be deleted.
    until: Mutex<Vec<EventKey>>,
}

impl Days {
    fn fail_if(&self, part: &str) -> Result<(), StorageError> {
        if self.failing.lock().unwrap().contains(part) { Err(StorageError::NoSpace) } else { Ok(()) }
    }

    fn fail_if_damaged(&self, mut keys: impl Iterator<Item = EventKey>) -> Result<(), StorageError> {
        let damaged = self.damaged.lock().unwrap();
        if !keys.any(|key| damaged.contains(&key)) {
            return Ok(());
        }
        self.fail_if("disk")?;
        Err(StorageError::Damaged { what: "event", detail: "its content has no digest".to_owned() })
    }

    fn left(&self) -> Vec<TenantId> {
        self.events.lock().unwrap().values().copied().collect()
    }
}

fn stored(key: EventKey, tenant: TenantId) -> StoredEvent {
    StoredEvent { key, tenant, bytes: 1_000 }
}

#[async_trait]
impl RetentionStore for Days {
    async fn takes_lease(&self, _: NodeNumber) -> Result<bool, StorageError> {
        Ok(true)
    }

    async fn events_between(
        &self,
        after: EventKey,
        until: EventKey,
        _: u32,
    ) -> Result<Vec<StoredEvent>, StorageError> {
        let events = self.events.lock().unwrap();
        let between = events.iter().filter(|(key, _)| **key > after && **key <= until);
        Ok(between.map(|(key, tenant)| stored(*key, *tenant)).collect())
    }

    async fn delete_events(&self, keys: &[EventKey]) -> Result<Purged, StorageError> {
        self.fail_if_damaged(keys.iter().copied())?;
        let unfinished = self.unfinished.lock().unwrap();
        let (kept, gone): (Vec<_>, Vec<_>) = keys.iter().partition(|key| unfinished.contains(key));
        self.events.lock().unwrap().retain(|key, _| !gone.contains(key));
        Ok(Purged { kept, ..Purged::default() })
    }

    fn deletes_days(&self) -> bool {
        true
    }

    async fn delete_days(&self, until: EventKey) -> Result<(Deleted, EventKey), StorageError> {
        self.fail_if("delete_days")?;
        self.until.lock().unwrap().push(until);
        Ok((Deleted::default(), EventKey(0)))
    }

    async fn held_by_replays(&self) -> Result<Vec<(TenantId, EventKey, EventKey)>, StorageError> {
        self.fail_if("held_by_replays")?;
        Ok(self.held.clone())
    }

    async fn deliveries_between(
        &self,
        _: (TenantId, Trim),
        after: DeliveryId,
        until: DeliveryId,
        most: u32,
    ) -> Result<Vec<(DeliveryId, bool)>, StorageError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let deliveries = self.deliveries.lock().unwrap();
        let between = deliveries.iter().filter(|id| **id > after && **id <= until);
        Ok(between.take(most as usize).map(|id| (*id, true)).collect())
    }

    async fn trim_attempts(
        &self,
        _: TenantId,
        ids: &[DeliveryId],
        _: Trim,
        _: UnixMillis,
    ) -> Result<Trimmed, StorageError> {
        self.fail_if_damaged(ids.iter().map(|id| EventKey(id.0)))?;
        self.trimmed.lock().unwrap().extend(ids);
        Ok(Trimmed::default())
    }

    async fn forget_names(&self, _: UnixMillis, _: UnixMillis, _: u32) -> Result<u64, StorageError> {
        self.fail_if("forget_names")?;
        Ok(0)
    }

    async fn tidy(&self, _: UnixMillis) -> Result<bool, StorageError> {
        self.tidied.fetch_add(1, Ordering::Relaxed);
        Ok(false)
    }

    async fn erase(
        &self,
        _: TenantId,
        _: &EventId,
        _: UnixMillis,
    ) -> Result<Option<UnixMillis>, StorageError> {
        Ok(None)
    }

    async fn erased_at(&self, _: TenantId, _: EventKey) -> Result<Option<UnixMillis>, StorageError> {
        Ok(None)
    }

    async fn erased_since(
        &self,
        since: UnixMillis,
        most: u32,
    ) -> Result<Vec<(EventKey, UnixMillis)>, StorageError> {
        let erased = self.erased.lock().unwrap();
        Ok(erased.iter().copied().filter(|(_, at)| *at >= since).take(most as usize).collect())
    }

    async fn erase_late(&self, _: UnixMillis) -> Result<(), StorageError> {
        self.fail_if("erase_late")
    }
}

/// A retention of 30 days, of a store with an event of each of these tenants: each is a day older than the one before, and the
/// first is 31 days old. `held` makes what replays hold of the events' keys.
async fn retention(
    tenants: &[TenantId],
    held: impl Fn(&[EventKey]) -> Vec<(TenantId, EventKey, EventKey)>,
) -> (Retention, Arc<Days>, Vec<EventKey>) {
    let sources = testing::sources();
    let now = sources.now();
    let keys: Vec<_> =
        (31..).zip(tenants).map(|(days, _)| EventKey::first_at(now.minus(DAY * days))).collect();
    let events = keys.iter().copied().zip(tenants.iter().copied()).collect();
    let store = Arc::new(Days { events: Mutex::new(events), held: held(&keys), ..Days::default() });
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let (clock, ids) = (Arc::clone(&sources.clock), Arc::clone(&sources.ids));
    let storage = crate::storage::Database::stores(&storage);
    let usage = Arc::clone(&storage.tenant_usage);
    let directory = Directory::load(storage, ids, clock).await.unwrap();
    let defaults = RetentionDefaults { events: Some(DAY * 30), ..RetentionDefaults::default() };
    let retention =
        Retention::new(sources, directory, (Arc::clone(&store) as _, usage), NodeNumber(1), defaults);
    (retention, store, keys)
}

async fn pass(retention: &mut Retention) {
    assert!(retention.pass().await.is_ok());
}

#[tokio::test]
async fn a_replay_holds_the_events_of_its_own_tenant_only() {
    // A replay of everything, which may be paused for ever.
    let (mut retention, store, _) =
        retention(&[ONE, OTHER], |_| vec![(ONE, EventKey(0), EventKey(i64::MAX))]).await;
    pass(&mut retention).await;
    assert_eq!(store.left(), [ONE]);
    assert_eq!(*store.until.lock().unwrap(), [EventKey(0)], "no day has an event that is held");
}

#[tokio::test]
async fn days_before_what_a_replay_holds_are_deleted_as_a_whole() {
    let (mut held, store, keys) =
        retention(&[ONE, OTHER, OTHER], |keys| vec![(ONE, keys[1], EventKey(i64::MAX))]).await;
    pass(&mut held).await;
    assert_eq!((store.left(), &*store.until.lock().unwrap()), (vec![ONE], &vec![keys[1]]));
    // It sends only what is not too old.
    let (mut free, store, keys) =
        retention(&[ONE, OTHER], |_| vec![(ONE, EventKey(i64::MAX - 1), EventKey(i64::MAX))]).await;
    pass(&mut free).await;
    assert_eq!(store.left().len(), 2, "days are deleted as a whole");
    assert!(store.until.lock().unwrap()[0] > keys[0]);
}

#[tokio::test]
async fn what_was_left_behind_is_not_held_by_a_replay_of_another_tenant() {
    let (mut retention, store, keys) =
        retention(&[ONE, OTHER], |_| vec![(ONE, EventKey(0), EventKey(i64::MAX))]).await;
    store.unfinished.lock().unwrap().insert(keys[1]);
    pass(&mut retention).await;
    assert_eq!(store.left().len(), 2);
    store.unfinished.lock().unwrap().clear();
    let left = [(keys[0], ONE), (keys[1], OTHER)].map(|(key, tenant)| to_leave(stored(key, tenant)));
    let free = retention.passes.without_held(0, left.into(), &store.held);
    assert!(retention.passes.delete(&retention.steps, 0, &free).await.is_ok());
    assert_eq!(store.left(), [ONE]);
}

#[tokio::test]
async fn a_part_that_fails_does_not_keep_the_others_from_going_on() {
    for (part, left) in [
        ("erase_late", vec![]),
        ("delete_days", vec![]),
        ("forget_names", vec![]),
        // What a replay is about to send is not known.
        ("held_by_replays", vec![OTHER]),
    ] {
        // Another tenant holds something, so that events are deleted one by one.
        let (mut retention, store, _) = retention(&[OTHER], |_| vec![(ONE, EventKey(0), EventKey(1))]).await;
        retention.passes.singly_until = EventKey(i64::MAX);
        store.failing.lock().unwrap().insert(part);
        pass(&mut retention).await;
        assert_eq!(store.left(), left, "{part}");
        assert_eq!(store.tidied.load(Ordering::Relaxed), 1, "{part}");
    }
}

#[tokio::test]
async fn an_event_that_fails_is_left_behind_and_all_others_go_on() {
    let (count, tenants) = (STEP + 1, vec![OTHER; STEP + 1]);
    // What fails, and how many are left because of it.
    for (failing, left) in [("", 1), ("disk", STEP)] {
        // Another tenant holds something, so that events are deleted one by one.
        let (mut retention, store, keys) =
            retention(&tenants, |_| vec![(ONE, EventKey(0), EventKey(1))]).await;
        retention.passes.singly_until = EventKey(i64::MAX);
        store.damaged.lock().unwrap().insert(keys[count - 1]);
        store.failing.lock().unwrap().insert(failing);
        for _ in 0..2 {
            pass(&mut retention).await;
            assert_eq!(store.left().len(), left, "{failing}");
        }
        let overdue = retention.passes.overdue().expect("it has come to its end");
        assert_eq!(overdue.len(), 1, "what is left counts");
    }
}

#[tokio::test]
async fn a_delivery_that_fails_does_not_keep_others_from_being_trimmed() {
    let (mut retention, store, _) = retention(&[], |_| Vec::new()).await;
    let old = DeliveryId::first_at(retention.steps.sources.now().minus(DAY * 12));
    let all = (0..STEP as i64 * 2).map(|number| DeliveryId(old.0 + number));
    *store.deliveries.lock().unwrap() = all.collect();
    store.damaged.lock().unwrap().insert(EventKey(old.0 + 7));
    let mut trims = Trims::default();
    for trimmed in [STEP * 2 - 1, 0] {
        assert!(trims.run(&mut retention.steps, (ONE, Trim::Attempts), DAY * 10).await.is_ok());
        assert_eq!(std::mem::take(&mut *store.trimmed.lock().unwrap()).len(), trimmed);
    }
}

#[tokio::test]
async fn what_fails_is_halved_unless_no_row_can_be_the_cause() {
    let (mut retention, _, _) = retention(&[], |_| Vec::new()).await;
    let damaged = || StorageError::Damaged { what: "event", detail: String::new() };
    let unknown = || StorageError::Database("a page cannot be read".into());
    let steps = &mut retention.steps;
    for (rows, error, expected) in [
        (2, damaged(), AfterFailure::Halve),
        (1, damaged(), AfterFailure::SetAside),
        (2, unknown(), AfterFailure::Halve),
        (1, unknown(), AfterFailure::SetAside),
        (2, StorageError::NoSpace, AfterFailure::Leave),
        (1, StorageError::NoSpace, AfterFailure::Leave),
    ] {
        assert_eq!(steps.failed(rows, &error), expected, "{rows}: {error}");
    }
    while steps.failed(2, &unknown()) == AfterFailure::Halve {}
    assert_eq!(steps.failed(1, &unknown()), AfterFailure::Leave, "everything fails");
    assert_eq!(steps.failed(1, &damaged()), AfterFailure::SetAside);
    steps.forget_failures();
    assert_eq!(steps.failed(1, &unknown()), AfterFailure::SetAside);
}

#[tokio::test]
async fn a_tenant_is_not_looked_at_until_something_of_it_may_be_too_old() {
    let (mut retention, store, _) = retention(&[], |_| Vec::new()).await;
    let (mut trims, key) = (Trims::default(), (ONE, Trim::Attempts));
    let now = retention.steps.sources.now();
    let made = |days: u32| DeliveryId::first_at(now.minus(DAY * days));
    // Each row: the deliveries' ages in days, for how many days attempts are kept, how many were removed and looked for.
    for (ages, keep, trimmed, looks) in [
        (&[][..], 10, 0, 2),
        (&[], 10, 0, 0),
        (&[12, 9, 3], 10, 0, 0),
        // Another time holds at once.
        (&[12, 9, 3], 11, 1, 3),
        (&[12, 9, 3], 11, 0, 0),
        (&[12, 9, 3], 5, 1, 3),
        (&[12, 9, 3], 5, 0, 0),
    ] {
        *store.deliveries.lock().unwrap() = ages.iter().map(|days| made(*days)).collect();
        let before = store.looks.load(Ordering::Relaxed);
        assert!(trims.run(&mut retention.steps, key, DAY * keep).await.is_ok());
        assert_eq!(std::mem::take(&mut *store.trimmed.lock().unwrap()).len(), trimmed, "{ages:?} {keep}");
        assert_eq!(store.looks.load(Ordering::Relaxed) - before, looks, "{ages:?} {keep}");
    }
    let (second, minute, hour) =
        (Duration::from_secs(1), Duration::from_secs(60), Duration::from_secs(3_600));
    let ago = |time| Some(DeliveryId::first_at(now.minus(time)));
    for (next, keep, after) in [
        (None, minute, minute),
        (ago(second), minute, minute - second),
        (ago(second * 59), minute, second),
        (ago(hour), hour, hour / 100),
        (ago(DAY), DAY, minute),
        // The clock may be set meanwhile.
        (None, DAY, hour),
        // An id that runs ahead of the clock.
        (Some(DeliveryId::first_at(now.plus(DAY))), minute, minute),
    ] {
        assert_eq!(next_look(next, keep, now), after, "{next:?} {keep:?}");
    }
}
