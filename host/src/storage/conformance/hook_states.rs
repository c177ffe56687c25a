//! The health of hooks, the pause of the engine, and missed events.

use std::collections::HashSet;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::{
    DeliveryId, DeliveryState, EventKey, EventType, HookHealth, HookId, OpenCircuit, Trigger, UnixMillis,
};
use crate::storage::{MissedQuery, ProbeClaim};

fn health(hook: HookId, circuit: Option<OpenCircuit>) -> HookHealth {
    HookHealth {
        hook,
        tenant: TENANT,
        failing_since: Some(NOW),
        all_failed_since: None,
        failed: 7,
        attempts: 9,
        reason: "a \"reason\" \u{fc}".to_owned(),
        circuit,
    }
}

/// Also that of a hook that changes. A hook that is well or was deleted has none.
pub async fn health_is_read_back_until_a_hook_is_well(world: &World) {
    let store = &world.storage.hook_states;
    let (first, second) = (world.stored_hook().await, world.stored_hook().await);
    let circuit = OpenCircuit { since: NOW, until: LEASE_END, failed_probes: 3 };
    let unwell = [health(first, None), health(second, Some(circuit))];
    store.save_health(unwell.to_vec(), Vec::new()).await.unwrap();
    assert_eq!(store.unwell_hooks().await.unwrap(), unwell);
    let closed = health(second, None);
    store.save_health(vec![closed.clone()], vec![first]).await.unwrap();
    assert_eq!(store.unwell_hooks().await.unwrap(), [closed]);
    world.storage.hooks.delete(TENANT, second, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    store.save_health(vec![health(second, None)], Vec::new()).await.unwrap();
    assert_eq!(store.unwell_hooks().await.unwrap(), []);
}

/// Whether all is read or only what has changed.
pub async fn other_nodes_read_what_has_changed(world: &World) {
    let store = &world.storage.hook_states;
    let (first, second) = (world.stored_hook().await, world.stored_hook().await);
    let start = store.health_since(None).await.unwrap();
    assert_eq!((start.unwell, start.well), (Vec::new(), None));
    store.save_health(vec![health(first, None), health(second, None)], Vec::new()).await.unwrap();
    for since in [None, Some(start.read_at)] {
        let mut unwell = store.health_since(since).await.unwrap().unwell;
        unwell.sort_by_key(|one| one.hook);
        assert_eq!(unwell, [health(first, None), health(second, None)]);
    }
    store.save_health(Vec::new(), vec![first]).await.unwrap();
    let changes = store.health_since(Some(start.read_at)).await.unwrap();
    assert_eq!(changes.unwell, [health(second, None)]);
    assert!(changes.well.is_none_or(|well| well == [first]));
    let later = UnixMillis(changes.read_at.0 + 3_600_000);
    let changes = store.health_since(Some(later)).await.unwrap();
    assert!(changes.well.is_none_or(|well| well.is_empty() && changes.unwell.is_empty()));
    store.save_health(vec![health(first, None)], vec![second]).await.unwrap();
    assert_eq!(store.unwell_hooks().await.unwrap(), [health(first, None)]);
}

/// The first one. What others know of the end of the circuit is old then.
pub async fn one_of_several_takes_a_probe(world: &World) {
    let store = &world.storage.hook_states;
    let hook = world.stored_hook().await;
    let circuit = OpenCircuit { since: NOW, until: NOW, failed_probes: 0 };
    let other = world.stored_hook().await;
    let claim = ProbeClaim { hook, expected: NOW, until: LEASE_END };
    let claims = [claim, ProbeClaim { hook: other, ..claim }];
    assert_eq!(store.take_probes(&claims).await.unwrap(), [], "their circuits are closed");
    store.save_health(vec![health(hook, Some(circuit))], Vec::new()).await.unwrap();
    assert_eq!(store.take_probes(&claims).await.unwrap(), [hook]);
    assert_eq!(store.take_probes(&claims).await.unwrap(), []);
    let circuit = OpenCircuit { until: LEASE_END, ..circuit };
    assert_eq!(store.unwell_hooks().await.unwrap(), [health(hook, Some(circuit))]);
}

/// And removed.
pub async fn the_pause_of_the_engine_is_kept(world: &World) {
    let store = &world.storage.hook_states;
    for since in [None, Some(NOW), Some(UnixMillis(NOW.0 + 1)), None, None] {
        store.set_paused(since, &entry()).await.unwrap();
        assert_eq!(store.paused_since().await.unwrap(), since);
    }
}

/// Up to a limit.
pub async fn unfinished_deliveries_are_counted(world: &World) {
    let hook = world.stored_hook().await;
    for state in [DeliveryState::Pending, DeliveryState::Waiting, DeliveryState::Succeeded] {
        world.delivery_in(hook, state).await;
    }
    for (most, expected) in [(1, 1), (2, 2), (10, 2)] {
        assert_eq!(world.storage.hook_states.unfinished(hook, most).await.unwrap(), expected);
    }
    assert_eq!(world.storage.hook_states.unfinished(HookId(1), 10).await.unwrap(), 0);
}

/// Events that have a delivery for the hook are not missed. A replay is claimed like any other delivery.
pub async fn missed_events_are_found_and_replayed_once(world: &World) {
    let store = &world.storage.hook_states;
    let (hook, other) = (world.stored_hook().await, world.stored_hook().await);
    let mut missed = Vec::new();
    for acceptance in [
        world.event_for(hook, Some(LEASE_END)),
        world.event(),
        world.event_for(hook, None),
        world.event_for(other, Some(LEASE_END)),
        world.event(),
    ] {
        if acceptance.deliveries.iter().all(|one| one.hook != hook) {
            missed.push(acceptance.event.key);
        }
        world.store(acceptance).await;
    }
    let query =
        MissedQuery { tenant: TENANT, hook, after: EventKey(0), before: EventKey(i64::MAX), limit: 10 };
    let all = |_: &EventType, _: Option<i64>| true;
    let none = |_: &EventType, _: Option<i64>| false;
    let found = store.missed(&query, &all).await.unwrap();
    assert_eq!((&found.events, found.searched_to), (&missed, None));
    for query in [
        MissedQuery { tenant: OTHER_TENANT, ..query },
        MissedQuery { after: missed[2], ..query },
        MissedQuery { before: missed[0], ..query },
    ] {
        assert_eq!(store.missed(&query, &all).await.unwrap().events, []);
    }
    assert_eq!(store.missed(&query, &none).await.unwrap().events, []);
    let cut = store.missed(&MissedQuery { limit: 2, ..query }, &all).await.unwrap();
    assert_eq!((&cut.events[..], cut.searched_to), (&missed[..2], Some(missed[1])));

    let new: Vec<_> = missed.iter().map(|event| (*event, DeliveryId(world.id()))).collect();
    let ids: Vec<_> = new.iter().map(|(_, id)| *id).collect();
    assert_eq!(store.replay(OTHER_TENANT, (hook, None), new.clone(), NOW).await.unwrap(), []);
    assert_eq!(store.replay(TENANT, (hook, None), new[..2].to_vec(), NOW).await.unwrap(), ids[..2]);
    let again: Vec<_> = missed.iter().map(|event| (*event, DeliveryId(world.id()))).collect();
    assert_eq!(store.replay(TENANT, (hook, None), again.clone(), NOW).await.unwrap(), [again[2].1]);
    assert_eq!(store.missed(&query, &all).await.unwrap().events, []);
    let made: HashSet<_> = [ids[0], ids[1], again[2].1].into();
    let claimed = world.claim(hook, NOW, 10).await;
    let replays = claimed.iter().filter(|one| one.delivery.trigger == Trigger::Replay);
    assert_eq!(replays.map(|one| one.delivery.id).collect::<HashSet<_>>(), made);
    let of_event = world.storage.deliveries.of_event(TENANT, missed[1]).await.unwrap();
    assert_eq!(of_event.len(), 2, "that of the other hook, and the replay");
    world.storage.hooks.delete(TENANT, other, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    let for_deleted = vec![(missed[0], DeliveryId(world.id()))];
    assert_eq!(store.replay(TENANT, (other, None), for_deleted, NOW).await.unwrap(), []);
}
