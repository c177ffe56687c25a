//! Searches for events, counts of their deliveries, and further deliveries of them.

use std::sync::Arc;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World};
use crate::domain::{
    DeliveryId, DeliveryState, EventKey, HookId, TenantId, Trigger, TypePattern, UnixMillis,
};
use crate::storage::{EventQuery, EventSummary, Redelivered};

const ALL: u32 = 1_000;

async fn search(world: &World, tenant: TenantId, query: EventQuery) -> Vec<EventSummary> {
    let listed = world.storage.events.search(tenant, &query).await.unwrap();
    assert_eq!(listed.searched_to, None, "there are few");
    assert!(listed.events.is_sorted_by(|a, b| a.key > b.key));
    listed.events
}

/// Every combination of filters, against a plain filter over all.
pub async fn events_are_found_by_every_filter(world: &World) {
    for number in 0..12 {
        let mut acceptance = world.event();
        let event = Arc::make_mut(&mut acceptance.event);
        let types = ["order.paid", "order.sent", "order.", "orders"];
        event.event_type = types[number % 4].parse().unwrap();
        event.project = (number % 3 == 0).then_some(7);
        event.key =
            EventKey(EventKey::first_at(UnixMillis(NOW.0 + number as i64 * 1_000)).0 + world.id() % 4096);
        event.tenant = if number == 11 { OTHER_TENANT } else { TENANT };
        event.id = crate::domain::EventId::of_key(event.key);
        world.store(acceptance).await;
    }
    let everything = EventQuery { limit: ALL, ..EventQuery::default() };
    let all = search(world, TENANT, everything.clone()).await;
    assert_eq!((all.len(), search(world, OTHER_TENANT, everything).await.len()), (11, 1));
    let times = [None, Some(NOW), Some(UnixMillis(NOW.0 + 3_000)), Some(UnixMillis(NOW.0 + 9_500))];
    for pattern in [None, Some("order.paid"), Some("order.*"), Some("o*"), Some("*"), Some("none")] {
        for project in [None, Some(7), Some(8)] {
            for (since, until) in times.into_iter().flat_map(|since| times.map(|until| (since, until))) {
                for before in [None, Some(all[4].key)] {
                    let event_type: Option<TypePattern> = pattern.map(|text| text.parse().unwrap());
                    let fits = |event: &&EventSummary| {
                        event_type.as_ref().is_none_or(|wanted| wanted.matches(&event.event_type))
                            && project.is_none_or(|project| event.project == Some(project))
                            && since.is_none_or(|since| event.key.created_at() >= since)
                            && until.is_none_or(|until| event.key.created_at() < until)
                            && before.is_none_or(|before| event.key < before)
                    };
                    let expected: Vec<_> = all.iter().filter(fits).cloned().collect();
                    let event_type = event_type.clone();
                    let query = EventQuery { event_type, project, since, until, before, limit: ALL };
                    assert_eq!(search(world, TENANT, query.clone()).await, expected, "{query:?}");
                    let query = EventQuery { limit: 2, ..query };
                    let first = &expected[..expected.len().min(2)];
                    assert_eq!(search(world, TENANT, query).await, first);
                }
            }
        }
    }
}

/// With rows of their own and without.
pub async fn deliveries_of_events_are_counted_by_state(world: &World) {
    let hook = world.stored_hook().await;
    let mut expected = Vec::new();
    for state in DeliveryState::ALL {
        let id = world.delivery_in(hook, state).await;
        expected.push((world.delivery(id).await.event, state));
    }
    let alone = world.event();
    let (alone_key, rowless) = (alone.event.key, world.event_for(hook, Some(LEASE_END)));
    expected.push((rowless.event.key, DeliveryState::Delivering));
    world.store(alone).await;
    world.store(rowless).await;
    let keys: Vec<EventKey> = expected.iter().map(|(key, _)| *key).chain([alone_key, EventKey(1)]).collect();
    let counts = world.storage.events.count_deliveries(TENANT, &keys).await.unwrap();
    assert_eq!(counts.len(), expected.len());
    for (key, state) in expected {
        assert_eq!(counts[&key], [(state, 1)]);
    }
    assert!(world.storage.events.count_deliveries(OTHER_TENANT, &keys).await.unwrap().is_empty());
}

/// Also for a hook that has a delivery of it. It is due, and listed with the event's others.
pub async fn a_stored_event_is_delivered_again(world: &World) {
    let (first, second) = (world.stored_hook().await, world.stored_hook().await);
    let finished = world.delivery_in(first, DeliveryState::Succeeded).await;
    let event = world.delivery(finished).await.event;
    let events = &world.storage.events;
    let mut made = vec![world.delivery(finished).await];
    for hook in [second, first, first] {
        let id = DeliveryId(world.id());
        let Redelivered::Made(delivery) = events.redeliver(TENANT, hook, event, id, NOW).await.unwrap()
        else {
            panic!("refused");
        };
        assert_eq!((delivery.id, delivery.hook, delivery.event), (id, hook, event));
        assert_eq!(
            (delivery.trigger, delivery.state, delivery.due_at),
            (Trigger::Replay, DeliveryState::Pending, Some(NOW))
        );
        assert_eq!(world.delivery(id).await, delivery);
        made.push(delivery);
    }
    assert_eq!(world.storage.deliveries.of_event(TENANT, event).await.unwrap(), made);
    let counts = events.count_deliveries(TENANT, &[event]).await.unwrap();
    assert_eq!(counts[&event], [(DeliveryState::Pending, 3), (DeliveryState::Succeeded, 1)]);
    let claimed: Vec<_> = world.claim(second, NOW, 9).await.into_iter().map(|it| it.delivery.id).collect();
    assert_eq!(claimed, [made[1].id]);

    let id = DeliveryId(world.id());
    let refused = |tenant, hook, event| events.redeliver(tenant, hook, event, id, NOW);
    assert_eq!(refused(TENANT, HookId(5), event).await.unwrap(), Redelivered::NoHook);
    assert_eq!(refused(TENANT, first, EventKey(1)).await.unwrap(), Redelivered::NoEvent);
    assert_eq!(refused(OTHER_TENANT, first, event).await.unwrap(), Redelivered::NoHook);
    assert_eq!(world.storage.deliveries.delivery(TENANT, id).await.unwrap(), None);
}
