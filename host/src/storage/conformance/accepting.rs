//! Accepting events.

use std::sync::Arc;

use futures_util::future::join_all;

use super::{OTHER_TENANT, TENANT, World};
use crate::domain::{DeliveryId, Event, EventId, HookId, TenantId, UnixMillis};
use crate::storage::{Acceptance, Accepted, ConflictOn};

fn named(world: &World, id: &str, content: u8) -> Acceptance {
    let mut acceptance = world.event_for(HookId(1), None);
    Arc::make_mut(&mut acceptance.event).id = EventId::from_path(id);
    acceptance.content = [content; 32];
    acceptance
}

fn keyed(world: &World, key: &str, content: u8) -> Acceptance {
    let mut acceptance = world.event_for(HookId(1), None);
    acceptance.idempotency_key = Some(key.to_owned());
    acceptance.content = [content; 32];
    acceptance
}

fn of(tenant: TenantId, mut acceptance: Acceptance) -> Acceptance {
    Arc::make_mut(&mut acceptance.event).tenant = tenant;
    acceptance
}

fn duplicate_of(first: &Acceptance) -> Accepted {
    let Event { key, id, .. } = &*first.event;
    Accepted::Duplicate { key: *key, id: id.clone(), deliveries: 1 }
}

/// All fields come back.
pub async fn an_event_is_read_back_by_its_id(world: &World) {
    let mut acceptance = world.event();
    let event = Arc::make_mut(&mut acceptance.event);
    event.project = Some(7);
    event.event_type = "CUSTOM->engine::x".parse().unwrap();
    event.occurred_at = UnixMillis(-5);
    event.data = "{\"ü\": \"\\u0000\",  \"kept\" : 1.50}".into();
    let expected = format!("{event:?}");
    let id = event.id.clone();
    world.store(acceptance).await;
    let events = &world.storage.events;
    assert_eq!(format!("{:?}", events.event(TENANT, &id).await.unwrap().unwrap()), expected);
    assert!(events.event(OTHER_TENANT, &id).await.unwrap().is_none());
    assert!(events.event(TENANT, &EventId::from_path("evt_nonsense")).await.unwrap().is_none());
}

/// By the sender's id, and by the key that deliveries hold.
pub async fn an_event_with_a_senders_id_is_found_by_both(world: &World) {
    let acceptance = named(world, "order-1", 0);
    let key = acceptance.event.key;
    world.store(acceptance).await;
    for id in [EventId::from_path("order-1"), EventId::of_key(key)] {
        let event = world.storage.events.event(TENANT, &id).await.unwrap().unwrap();
        assert_eq!((event.key, event.id.as_str()), (key, "order-1"));
        assert!(world.storage.events.event(OTHER_TENANT, &id).await.unwrap().is_none());
    }
}

/// By id or by idempotency key, in one call, in the next, and never between tenants.
pub async fn the_same_event_is_accepted_once(world: &World) {
    let accept = async |batch| world.storage.events.accept(batch).await.unwrap();
    for make in [named, keyed] {
        let (first, second, third) = (make(world, "x", 1), make(world, "x", 1), make(world, "x", 1));
        let duplicate = duplicate_of(&first);
        let second_delivery = second.deliveries[0].id;
        assert_eq!(accept(vec![first, second]).await, [Accepted::Stored, duplicate.clone()]);
        assert_eq!(accept(vec![third]).await, [duplicate]);
        assert!(world.storage.deliveries.delivery(TENANT, second_delivery).await.unwrap().is_none());
        assert_eq!(accept(vec![of(OTHER_TENANT, make(world, "x", 2))]).await, [Accepted::Stored]);
    }
}

/// The same id or key with other content, in one call or two.
pub async fn another_event_with_the_same_id_is_refused(world: &World) {
    type Make = fn(&World, &str, u8) -> Acceptance;
    let rows: [(Make, ConflictOn); 2] = [(named, ConflictOn::Id), (keyed, ConflictOn::IdempotencyKey)];
    for (make, conflict) in rows {
        let refused = [Accepted::Stored, Accepted::Conflict(conflict)];
        let both = vec![make(world, "x", 1), make(world, "x", 2)];
        assert_eq!(world.storage.events.accept(both).await.unwrap(), refused);
        world.store(make(world, "x", 3)).await;
        let third = vec![make(world, "x", 1)];
        assert_eq!(world.storage.events.accept(third).await.unwrap(), refused[1..]);
    }
    // One key for two ids: the request was not repeated, whatever the content.
    let twice = |id| Acceptance { idempotency_key: Some("k".to_owned()), ..named(world, id, 9) };
    world.store(twice("first")).await;
    let answer = world.storage.events.accept(vec![twice("second")]).await.unwrap();
    assert_eq!(answer, [Accepted::Conflict(ConflictOn::IdempotencyKey)]);
}

/// Calls that are committed together are refused one by one.
pub async fn a_conflict_refuses_its_whole_call_and_no_other(world: &World) {
    world.store(named(world, "x", 1)).await;
    let good = [named(world, "a", 1), named(world, "b", 1)];
    let bad = [named(world, "c", 1), named(world, "x", 2), named(world, "d", 1)];
    let later = [named(world, "c", 5)];
    let calls = [good.to_vec(), bad.to_vec(), later.to_vec()];
    let answers = join_all(calls.map(|call| world.storage.events.accept(call))).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers[0], [Accepted::Stored, Accepted::Stored]);
    assert_eq!(answers[1][1], Accepted::Conflict(ConflictOn::Id));
    assert_eq!(answers[2], [Accepted::Stored], "what the refused call named is free");
    for (acceptance, stored) in
        good.iter().chain(&later).map(|it| (it, true)).chain(bad.iter().map(|it| (it, false)))
    {
        let id = EventId::of_key(acceptance.event.key);
        assert_eq!(world.storage.events.event(TENANT, &id).await.unwrap().is_some(), stored);
        let delivery = acceptance.deliveries[0].id;
        assert_eq!(world.storage.deliveries.delivery(TENANT, delivery).await.unwrap().is_some(), stored);
    }
}

/// A bug of one caller is not the others' misfortune.
pub async fn an_id_in_use_already_fails_only_its_own_call(world: &World) {
    let first = world.event_for(HookId(1), None);
    world.store(first.clone()).await;
    let calls = [vec![world.event()], vec![world.event(), first], vec![world.event()]];
    let keys: Vec<_> = calls.iter().map(|call| EventId::of_key(call[0].event.key)).collect();
    let answers = join_all(calls.map(|call| world.storage.events.accept(call))).await;
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    for (id, stored) in keys.iter().zip([true, false, true]) {
        assert_eq!(world.storage.events.event(TENANT, id).await.unwrap().is_some(), stored);
    }
}

/// Calls of different sizes, all at once.
pub async fn hundreds_of_concurrent_calls_are_all_stored(world: &World) {
    let hook = HookId(5);
    let calls = (0..400).map(|number| {
        let batch: Vec<_> = (0..number % 7 + 1).map(|_| world.event_for(hook, None)).collect();
        async { (batch.len(), world.storage.events.accept(batch).await.unwrap()) }
    });
    let mut total = 0;
    for (asked, answers) in join_all(calls).await {
        assert_eq!(answers, vec![Accepted::Stored; asked]);
        total += asked;
    }
    let mut claimed: Vec<DeliveryId> = Vec::new();
    loop {
        let some = world.claim(hook, UnixMillis(super::NOW.0 + 1_000), 300).await;
        if some.is_empty() {
            break;
        }
        claimed.extend(some.iter().map(|claimed| claimed.delivery.id));
    }
    claimed.sort_unstable();
    claimed.dedup();
    assert_eq!(claimed.len(), total);
}

/// The first one; the others get its key.
pub async fn one_of_concurrent_duplicates_is_stored(world: &World) {
    let calls = (0..50).map(|_| world.storage.events.accept(vec![named(world, "same", 1)]));
    let answers: Vec<_> = join_all(calls).await.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| **answer == Accepted::Stored).count(), 1);
    let stored = world.storage.events.event(TENANT, &EventId::from_path("same")).await.unwrap().unwrap();
    let duplicate = Accepted::Duplicate { key: stored.key, id: stored.id, deliveries: 1 };
    assert_eq!(answers.iter().filter(|answer| **answer == duplicate).count(), 49);
}
