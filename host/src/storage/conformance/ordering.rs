//! Deliveries that are sent one after the other.

use super::{LEASE_END, NOW, TENANT, World};
use crate::domain::{
    DeliveryId, DeliveryState, EventKey, HookId, OrderingGroup, OrderingKey, OrderingScope, UnixMillis,
};
use crate::storage::{Acceptance, Changed, Claimed, LeftGroup, Record, RetryPolicy};

/// A time after everything that is due at once.
const LATER: UnixMillis = UnixMillis(NOW.0 + 1_000);
/// When what has failed once is due again.
const RETRY: UnixMillis = UnixMillis(NOW.0 + 5_000);

fn key(text: &str) -> OrderingKey {
    OrderingKey::from_stored(text)
}

/// An event with a delivery for `hook`, in the order of this key. Without one, it is in none.
pub fn event_in_order(world: &World, hook: HookId, text: &str) -> Acceptance {
    let mut acceptance = world.event_for(hook, None);
    acceptance.deliveries[0].ordering_key = (!text.is_empty()).then(|| key(text));
    acceptance
}

async fn store(world: &World, hook: HookId, text: &str) -> DeliveryId {
    let acceptance = event_in_order(world, hook, text);
    let id = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    id
}

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.delivery.id).collect()
}

/// The record of an attempt of what was claimed.
pub fn record_of(world: &World, claimed: &Claimed, state: DeliveryState, at: UnixMillis) -> Record {
    let delivery = &claimed.delivery;
    let group = |key| LeftGroup { group: OrderingGroup { hook: delivery.hook, key }, at };
    let record = world.record_of(delivery.id, state);
    Record {
        lease: delivery.lease.unwrap().id,
        attempts: delivery.attempts + 1,
        failures: delivery.failures + record.failures,
        leaves: claimed.ordering_key.clone().filter(|_| state.is_final()).map(group),
        ..record
    }
}

/// Claims all that may start, and records how it ended.
async fn attempt(world: &World, hook: HookId, now: UnixMillis, state: DeliveryState) -> Vec<DeliveryId> {
    let claimed = world.claim(hook, now, 10).await;
    for one in &claimed {
        world.record(record_of(world, one, state, now)).await;
    }
    ids(&claimed)
}

/// The first of each key, and whatever is in no order. The next one once it is final, however that came.
pub async fn of_each_group_only_the_first_is_claimed(world: &World) {
    let hook = world.stored_hook().await;
    let mut stored = Vec::new();
    for text in ["a", "a", "b", "", "b", "a", "ä\"\\", "a"] {
        stored.push(store(world, hook, text).await);
    }
    let first = world.try_claim(hook, LATER, LEASE_END, (10, u64::MAX)).await.unwrap();
    assert_eq!(ids(&first.claimed), [stored[0], stored[2], stored[3], stored[6]]);
    assert!(!first.more);
    let keys = first.claimed.iter().map(|one| one.ordering_key.as_ref().map(OrderingKey::as_str));
    assert_eq!(keys.collect::<Vec<_>>(), [Some("a"), Some("b"), None, Some("ä\"\\")]);
    assert_eq!(ids(&world.claim(hook, LATER, 10).await), [], "a lease holds those behind");
    let waiting = world.delivery(stored[1]).await;
    assert_eq!((waiting.state, waiting.due_at), (DeliveryState::Pending, None));

    world.record(record_of(world, &first.claimed[0], DeliveryState::Succeeded, LATER)).await;
    world.record(record_of(world, &first.claimed[1], DeliveryState::Waiting, LATER)).await;
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Dropped).await, [stored[1]]);
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Exhausted).await, [stored[5]]);
    world.storage.deliveries.cancel(TENANT, stored[7]).await.unwrap().unwrap();
    assert_eq!(ids(&world.claim(hook, LATER, 10).await), [], "one waits for its retry");
    assert_eq!(attempt(world, hook, RETRY, DeliveryState::Succeeded).await, [stored[2]]);
    assert_eq!(attempt(world, hook, RETRY, DeliveryState::Succeeded).await, [stored[4]]);
}

/// Also while it is leased, and from the middle of the order.
pub async fn what_is_cancelled_leaves_the_order(world: &World) {
    let hook = world.stored_hook().await;
    let mut stored = Vec::new();
    for _ in 0..5 {
        stored.push(store(world, hook, "a").await);
    }
    let cancel = async |id| world.storage.deliveries.cancel(TENANT, id).await.unwrap().unwrap();
    cancel(stored[2]).await;
    cancel(stored[0]).await;
    assert_eq!(ids(&world.claim(hook, LATER, 10).await), [stored[1]]);
    cancel(stored[1]).await;
    assert_eq!(ids(&world.claim(hook, LATER, 10).await), [stored[3]]);
    assert_eq!(ids(&world.claim(hook, LATER, 10).await), []);
}

/// After that, it is retried beside the others.
pub async fn a_delivery_that_is_skipped_holds_nothing(world: &World) {
    let hook = world.stored_hook().await;
    let (first, second) = (store(world, hook, "a").await, store(world, hook, "a").await);
    let claimed = world.claim(hook, LATER, 10).await.remove(0);
    let leaves = record_of(world, &claimed, DeliveryState::Succeeded, LATER).leaves;
    let record = record_of(world, &claimed, DeliveryState::Waiting, LATER);
    world.record(Record { leaves, ..record }).await;
    let next = world.claim(hook, LATER, 10).await;
    assert_eq!(ids(&next), [second]);
    let skipped = world.claim(hook, RETRY, 10).await;
    assert_eq!((ids(&skipped), &skipped[0].ordering_key), (vec![first], &None));
    let third = store(world, hook, "a").await;
    world.record(record_of(world, &next[0], DeliveryState::Succeeded, RETRY)).await;
    assert_eq!(ids(&world.claim(hook, RETRY, 10).await), [third], "the skipped one is still attempted");
}

/// What is final is sent out of order; what waits keeps its place.
pub async fn a_retry_by_hand_does_not_overtake(world: &World) {
    let hook = world.stored_hook().await;
    let retry = async |id| {
        let changed = world.storage.deliveries.retry(TENANT, id, LATER).await.unwrap().unwrap();
        assert!(matches!(changed, Changed::Done(_)));
    };
    let (first, second) = (store(world, hook, "a").await, store(world, hook, "a").await);
    retry(second).await;
    let claimed = world.try_claim(hook, LATER, LEASE_END, (10, u64::MAX)).await.unwrap();
    assert_eq!((ids(&claimed.claimed), claimed.more), (vec![first], false));
    world.record(record_of(world, &claimed.claimed[0], DeliveryState::Exhausted, LATER)).await;
    retry(first).await;
    let both = world.claim(hook, LATER, 10).await;
    assert_eq!(ids(&both).len(), 2);
    let of_first = both.iter().find(|one| one.delivery.id == first).unwrap();
    assert_eq!(of_first.ordering_key, None);
}

/// The delivery may be claimed again, and those behind it wait.
pub async fn a_lease_that_ends_keeps_the_order(world: &World) {
    let hook = world.stored_hook().await;
    let (first, second) = (store(world, hook, "a").await, store(world, hook, "a").await);
    let stalled = world.claim(hook, LATER, 10).await.remove(0);
    let end = stalled.delivery.lease.unwrap().until;
    let again = world.claim(hook, end, 10).await;
    assert_eq!(ids(&again), [first]);
    world.record(record_of(world, &stalled, DeliveryState::Succeeded, end)).await;
    assert_eq!(ids(&world.claim(hook, end, 10).await), [], "that record is of a lease that has ended");
    assert_eq!(world.storage.deliveries.recover(world.node, end).await.unwrap(), 1);
    assert_eq!(attempt(world, hook, end, DeliveryState::Succeeded).await, [first]);
    assert_eq!(attempt(world, hook, end, DeliveryState::Succeeded).await, [second]);
}

/// That of one request, and of requests one after the other. Other hooks and keys have nothing to do with it.
pub async fn the_order_is_that_of_acceptance(world: &World) {
    let (hook, other) = (world.stored_hook().await, world.stored_hook().await);
    let mut expected = Vec::new();
    for _ in 0..3 {
        let mut batch: Vec<_> = (0..5).map(|_| event_in_order(world, hook, "a")).collect();
        batch.extend((0..2).map(|_| event_in_order(world, other, "a")));
        let own = batch.iter().map(|one| one.deliveries[0].id).take(5);
        expected.extend(own);
        world.storage.events.accept(batch).await.unwrap();
    }
    let mut sent = Vec::new();
    for _ in 0..15 {
        sent.extend(attempt(world, hook, LATER, DeliveryState::Succeeded).await);
    }
    assert_eq!(sent, expected);
    assert_eq!(ids(&world.claim(other, LATER, 10).await).len(), 1);
}

/// In the order of their events, behind what waits already. An event without a key is in no order.
pub async fn recovered_events_join_the_end_of_their_group(world: &World) {
    let hook = world.stored_hook().await;
    let mut missed = Vec::new();
    for text in ["a", "b", "a", ""] {
        let mut acceptance = world.event();
        let event = std::sync::Arc::make_mut(&mut acceptance.event);
        event.ordering_key = (!text.is_empty()).then(|| key(text));
        missed.push(event.key);
        world.store(acceptance).await;
    }
    let waiting = store(world, hook, "a").await;
    let replay = async |scope, events: &[EventKey]| {
        let new: Vec<_> = events.iter().map(|event| (*event, DeliveryId(world.id()))).collect();
        let ids: Vec<_> = new.iter().map(|(_, id)| *id).collect();
        let made = world.storage.hook_states.replay(TENANT, (hook, Some(scope)), new, NOW).await.unwrap();
        assert_eq!(made, ids);
        ids
    };
    let made = replay(OrderingScope::Key, &missed).await;
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Succeeded).await, [waiting, made[1], made[3]]);
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Succeeded).await, [made[0]]);
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Succeeded).await, [made[2]]);
    let event = world.event();
    let missed = [event.event.key];
    world.store(event).await;
    let first = store(world, hook, "").await;
    let whole = OrderingKey::of_hook();
    let mut acceptance = world.event_for(hook, None);
    acceptance.deliveries[0].ordering_key = Some(whole);
    let second = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    let made = replay(OrderingScope::Hook, &missed).await;
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Succeeded).await, [first, second]);
    assert_eq!(attempt(world, hook, LATER, DeliveryState::Succeeded).await, made);
}

/// Random work on a few keys: of each, one is attempted at a time, and first attempts are in the order of acceptance.
pub async fn order_holds_whatever_happens(world: &World) {
    for seed in 1..=8_u64 {
        let hook = world.stored_hook().await;
        let mut model =
            Model { world, hook, seed, accepted: Vec::new(), first: Vec::new(), leased: Vec::new() };
        for step in 0..60 {
            model.step(UnixMillis(NOW.0 + step)).await;
        }
        model.drain().await;
        for text in ["a", "b", "c"] {
            let of_key = |all: &[(DeliveryId, &'static str)]| {
                all.iter().filter(|(_, key)| *key == text).map(|(id, _)| *id).collect::<Vec<_>>()
            };
            assert_eq!(of_key(&model.first), of_key(&model.accepted), "seed {seed}, key {text}");
        }
    }
}

struct Model<'a> {
    world: &'a World,
    hook: HookId,
    seed: u64,
    /// All that was accepted and not cancelled before its first attempt.
    accepted: Vec<(DeliveryId, &'static str)>,
    /// All first attempts.
    first: Vec<(DeliveryId, &'static str)>,
    leased: Vec<Claimed>,
}

impl Model<'_> {
    fn random(&mut self, below: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % below
    }

    async fn step(&mut self, now: UnixMillis) {
        match self.random(10) {
            0..4 => {
                let texts = (0..=self.random(3)).map(|_| ["a", "b", "c"][self.random(3)]).collect::<Vec<_>>();
                let batch: Vec<_> =
                    texts.iter().map(|text| event_in_order(self.world, self.hook, text)).collect();
                self.accepted.extend(batch.iter().map(|one| one.deliveries[0].id).zip(texts));
                self.world.storage.events.accept(batch).await.unwrap();
            }
            4..6 => self.claim(now).await,
            6..9 if !self.leased.is_empty() => {
                let index = self.random(self.leased.len());
                let claimed = self.leased.swap_remove(index);
                let state = match self.random(4) {
                    0 => DeliveryState::Waiting,
                    1 => DeliveryState::Exhausted,
                    _ => DeliveryState::Succeeded,
                };
                let mut record = record_of(self.world, &claimed, state, now);
                record.due_at = record.due_at.map(|_| UnixMillis(now.0 + 1));
                if state == DeliveryState::Waiting && self.random(3) == 0 {
                    record.leaves = record_of(self.world, &claimed, DeliveryState::Exhausted, now).leaves;
                }
                self.world.record(record).await;
            }
            _ if !self.accepted.is_empty() => {
                let index = self.random(self.accepted.len());
                let (id, _) = self.accepted[index];
                let is_started = self.first.iter().any(|(first, _)| *first == id);
                match self.random(2) {
                    0 if !is_started => {
                        self.world.storage.deliveries.cancel(TENANT, id).await.unwrap().unwrap();
                        self.accepted.remove(index);
                    }
                    _ => drop(self.world.storage.deliveries.retry(TENANT, id, now).await.unwrap()),
                }
            }
            _ => {}
        }
    }

    async fn claim(&mut self, now: UnixMillis) {
        let limit = 1 + u32::try_from(self.random(4)).unwrap();
        for one in self.world.claim(self.hook, now, limit).await {
            let id = one.delivery.id;
            let (_, text) = self.accepted.iter().find(|(accepted, _)| *accepted == id).unwrap();
            if one.ordering_key.is_some() {
                let held = self.leased.iter().filter(|held| held.ordering_key == one.ordering_key).count();
                assert_eq!(held, 0, "one of a key at a time");
            }
            if !self.first.iter().any(|(first, _)| *first == id) {
                self.first.push((id, text));
            }
            self.leased.push(one);
        }
    }

    /// Ends all that was begun, without waiting for anything that waits for its turn too long.
    async fn drain(&mut self) {
        for step in 0..1_000 {
            let now = UnixMillis(NOW.0 + 1_000 + 50 * step);
            self.claim(now).await;
            if self.leased.is_empty() {
                let unfinished = self.world.storage.hook_states.unfinished(self.hook, 1_000).await.unwrap();
                if unfinished == 0 {
                    return;
                }
            }
            for claimed in std::mem::take(&mut self.leased) {
                let record = record_of(self.world, &claimed, DeliveryState::Succeeded, now);
                let records = vec![record];
                self.world.storage.deliveries.record(records, RetryPolicy::NONE).await.unwrap();
            }
        }
        panic!("something waits for ever");
    }
}
