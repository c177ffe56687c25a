//! Lists and counts.

use std::sync::Arc;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World};
use crate::domain::{
    Delivery, DeliveryId, DeliveryState, EventKey, EventType, HookId, TenantId, Trigger, TypePattern,
    UnixMillis,
};
use crate::storage::{DeliveryQuery, ListOrder, NewDelivery};

const ALL: u32 = 1_000;

async fn list(world: &World, query: DeliveryQuery) -> Vec<DeliveryId> {
    let listed = world.storage.deliveries.list(TENANT, &query).await.unwrap();
    assert_eq!(listed.searched_to, None, "there are few");
    listed.deliveries.iter().map(|delivery| delivery.id).collect()
}

/// Newest first or oldest first, each delivery on one page.
pub async fn pages_follow_each_other(world: &World) {
    let mut expected = Vec::new();
    for _ in 0..10 {
        expected.insert(0, world.delivery_in(HookId(1), DeliveryState::Pending).await);
    }
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = list(world, DeliveryQuery { before, limit: 3, ..DeliveryQuery::default() }).await;
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        before = Some(*last);
        pages.extend(page);
    }
    assert_eq!(pages, expected);
    let (mut pages, mut after) = (Vec::new(), None);
    loop {
        let order = ListOrder::OldestFirst;
        let page = list(world, DeliveryQuery { after, order, limit: 3, ..DeliveryQuery::default() }).await;
        let Some(last) = page.last() else { break };
        after = Some(*last);
        pages.extend(page);
    }
    expected.reverse();
    assert_eq!(pages, expected);
}

/// Stores deliveries of three types in every state.
async fn store_in_every_state(world: &World, hooks: [HookId; 2]) {
    for round in 0..3 {
        for state in DeliveryState::ALL {
            for (hook, trigger) in hooks.into_iter().zip([Trigger::Replay, Trigger::Test]) {
                let mut acceptance = world.event();
                Arc::make_mut(&mut acceptance.event).event_type = format!("type.{round}").parse().unwrap();
                // One an hour.
                let id = DeliveryId(
                    DeliveryId::first_at(UnixMillis(NOW.0 + round * 3_600_000)).0 + world.id() % 4096,
                );
                let lease_until = (state != DeliveryState::Pending).then_some(LEASE_END);
                acceptance.deliveries.push(NewDelivery {
                    id,
                    hook,
                    trigger,
                    lease_until,
                    due_at: NOW,
                    ordering_key: None,
                });
                world.store(acceptance).await;
                match state {
                    DeliveryState::Pending | DeliveryState::Delivering => {}
                    state => world.record(world.record_of(id, state)).await,
                }
            }
        }
    }
}

/// Every combination of filters, against a plain filter over all.
pub async fn every_filter_selects_what_it_names(world: &World) {
    let hooks = [world.stored_hook().await, world.stored_hook().await];
    store_in_every_state(world, hooks).await;
    let everything = DeliveryQuery { limit: ALL, ..DeliveryQuery::default() };
    let all = world.storage.deliveries.list(TENANT, &everything).await.unwrap().deliveries;
    assert_eq!(all.len(), 42);
    assert!(all.is_sorted_by(|a, b| a.id > b.id));
    let times = [None, Some(NOW), Some(UnixMillis(NOW.0 + 3_600_000)), Some(UnixMillis(NOW.0 + 9_000_000))];
    let states = DeliveryState::ALL.map(Some).into_iter().chain([None]);
    let mut asked = 0;
    for state in states {
        for hook in [None, Some(hooks[0]), Some(HookId(5))] {
            for event_type in [None, Some("type.1"), Some("type.*"), Some("type.1*"), Some("other")] {
                let event_type: Option<TypePattern> = event_type.map(|text| text.parse().unwrap());
                for (since, until) in times.into_iter().flat_map(|since| times.map(|until| (since, until))) {
                    let event_type = event_type.clone();
                    let before = (asked % 2 == 0).then_some(all[3].id);
                    let after = (asked % 3 == 0).then_some(all[33].id);
                    let order = [ListOrder::NewestFirst, ListOrder::OldestFirst][asked / 2 % 2];
                    asked += 1;
                    let query = DeliveryQuery {
                        hook,
                        state,
                        event_type,
                        since,
                        until,
                        before,
                        after,
                        order,
                        limit: ALL,
                    };
                    let fits = |delivery: &&Delivery| {
                        let made = delivery.id.created_at();
                        state.is_none_or(|state| delivery.state == state)
                            && hook.is_none_or(|hook| delivery.hook == hook)
                            && query
                                .event_type
                                .as_ref()
                                .is_none_or(|wanted| wanted.matches(&delivery.event_type))
                            && since.is_none_or(|since| made >= since)
                            && until.is_none_or(|until| made < until)
                            && before.is_none_or(|before| delivery.id < before)
                            && after.is_none_or(|after| delivery.id > after)
                    };
                    let mut expected: Vec<_> = all.iter().filter(fits).map(|delivery| delivery.id).collect();
                    if order == ListOrder::OldestFirst {
                        expected.reverse();
                    }
                    assert_eq!(list(world, query.clone()).await, expected, "{query:?}");
                }
            }
        }
    }
}

/// With a row of their own and without; of the tenant alone.
pub async fn a_short_number_leads_to_the_deliveries_of_all_nodes(world: &World) {
    let numbered = async |tenant, number| world.storage.deliveries.numbered(tenant, number).await.unwrap();
    for state in [DeliveryState::Delivering, DeliveryState::Succeeded] {
        let first = world.delivery_in(HookId(1), state).await;
        let number = first.short();
        assert_eq!(numbered(TENANT, number).await, [first], "{state}");
        assert_eq!(numbered(OTHER_TENANT, number).await, []);
        assert_eq!(numbered(TENANT, number + 4_096 * 500).await, []);
        let [second, last] =
            [first.node().0 + 1, 1023].map(|node| DeliveryId::from_short(number, i64::from(node)).unwrap());
        for id in [last, second] {
            let mut acceptance = world.event_for(HookId(1), Some(LEASE_END));
            acceptance.deliveries[0].id = id;
            world.store(acceptance).await;
        }
        assert_eq!(numbered(TENANT, number).await, [first, second, last], "{state}");
    }
    for number in [-1, 0, i64::MIN, i64::MAX] {
        assert_eq!(numbered(TENANT, number).await, [], "{number}");
    }
}

/// Not one row, whatever is asked.
pub async fn tenants_do_not_see_each_other(world: &World) {
    let hook = world.stored_hook().await;
    let mut event = EventKey(0);
    for state in DeliveryState::ALL {
        let id = world.delivery_in(hook, state).await;
        let delivery = world.delivery(id).await;
        event = delivery.event;
        let deliveries = &world.storage.deliveries;
        assert_eq!(deliveries.of_event(TENANT, event).await.unwrap(), [delivery]);
        assert_eq!(deliveries.of_event(OTHER_TENANT, event).await.unwrap(), []);
        assert_eq!(deliveries.delivery(OTHER_TENANT, id).await.unwrap(), None);
        assert!(deliveries.with_attempts(OTHER_TENANT, id, None, 9).await.unwrap().is_none());
        for (hook, state) in
            [(None, None), (Some(hook), None), (None, Some(state)), (Some(hook), Some(state))]
        {
            let query = DeliveryQuery { hook, state, limit: ALL, ..DeliveryQuery::default() };
            assert_eq!(deliveries.list(OTHER_TENANT, &query).await.unwrap().deliveries, []);
            assert!(!deliveries.list(TENANT, &query).await.unwrap().deliveries.is_empty());
        }
    }
    assert_ne!(event, EventKey(0));
}

/// Of the tenant alone; also where many events of others are newer, if it made a delivery.
pub async fn the_newest_wanted_event_is_found(world: &World) {
    let of = |event_type: &str, tenant: TenantId, project: Option<i64>| {
        let mut acceptance = world.event();
        let event = Arc::make_mut(&mut acceptance.event);
        (event.event_type, event.tenant, event.project) = (event_type.parse().unwrap(), tenant, project);
        acceptance
    };
    let found = async |wanted: &str, project: Option<i64>| {
        let wanted = |event_type: &EventType, of: Option<i64>| event_type.as_str() == wanted && of == project;
        world.storage.events.recent(TENANT, &wanted).await.unwrap().map(|event| event.key)
    };
    assert_eq!(found("a", None).await, None);

    let mut delivered = of("a", TENANT, None);
    let (id, hook) = (DeliveryId(world.id()), world.stored_hook().await);
    let (trigger, lease_until) = (Trigger::Event, None);
    delivered.deliveries.push(NewDelivery {
        id,
        hook,
        trigger,
        lease_until,
        due_at: NOW,
        ordering_key: None,
    });
    let delivered_key = delivered.event.key;
    world.store(delivered).await;
    let mut newest = EventKey(0);
    for (event_type, tenant, project) in
        [("a", TENANT, None), ("b", TENANT, None), ("a", OTHER_TENANT, None), ("a", TENANT, Some(7))]
    {
        let acceptance = of(event_type, tenant, project);
        if (event_type, tenant, project) == ("a", TENANT, None) {
            newest = acceptance.event.key;
        }
        world.store(acceptance).await;
    }
    assert_eq!(found("a", None).await, Some(newest), "the newer of two, and no other tenant's");
    assert!(found("a", Some(7)).await.is_some_and(|key| key > newest));
    assert_eq!(found("c", None).await, None);

    let others = (0..3_000).map(|_| of("a", OTHER_TENANT, None)).collect();
    world.storage.events.accept(others).await.unwrap();
    assert_eq!(found("a", None).await, Some(delivered_key), "by its delivery");
    assert_eq!(found("b", None).await, None, "it made no delivery, and is not looked for any further");
}
