//! Retrying, cancelling, and deleting hooks.

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::{DeliveryId, DeliveryState, HookId, UnixMillis};
use crate::storage::{Cancelled, Changed, Record};

/// Every state but `delivering` can be retried.
pub async fn retry_is_refused_only_under_a_lease(world: &World) {
    let hook = world.stored_hook().await;
    for state in DeliveryState::ALL {
        let id = world.delivery_in(hook, state).await;
        let before = world.delivery(id).await;
        let deliveries = &world.storage.deliveries;
        assert_eq!(deliveries.retry(OTHER_TENANT, id, NOW).await.unwrap(), None);
        let changed = deliveries.retry(TENANT, id, NOW).await.unwrap().unwrap();
        let after = world.delivery(id).await;
        if state == DeliveryState::Delivering {
            assert_eq!((changed, after), (Changed::Refused(state), before));
            continue;
        }
        assert_eq!(changed, Changed::Done(after.clone()), "{state}");
        assert_eq!((after.state, after.failures, after.due_at), (DeliveryState::Pending, 0, Some(NOW)));
        assert_eq!(after.attempts, before.attempts);
    }
    assert_eq!(world.storage.deliveries.retry(TENANT, DeliveryId(1), NOW).await.unwrap(), None);
}

/// There is nowhere to send it.
pub async fn retry_needs_the_hook(world: &World) {
    for state in DeliveryState::ALL {
        let id = world.delivery_in(HookId(77), state).await;
        let changed = world.storage.deliveries.retry(TENANT, id, NOW).await.unwrap();
        assert_eq!(changed, Some(Changed::Refused(state)));
        assert_eq!(world.delivery(id).await.state, state);
    }
}

/// What is not final can be called off, leased or not.
pub async fn cancel_is_refused_in_a_final_state(world: &World) {
    for state in DeliveryState::ALL {
        let id = world.delivery_in(HookId(77), state).await;
        let deliveries = &world.storage.deliveries;
        assert_eq!(deliveries.cancel(OTHER_TENANT, id).await.unwrap(), None);
        let before = world.delivery(id).await;
        let changed = deliveries.cancel(TENANT, id).await.unwrap().unwrap();
        let after = world.delivery(id).await;
        if state.is_final() {
            assert_eq!((changed, after.state), (Cancelled::Refused(state), state));
        } else {
            assert_eq!(before.lease.is_some(), state == DeliveryState::Delivering);
            assert_eq!(changed, Cancelled::Done { delivery: after.clone(), lease: before.lease });
            assert_eq!((after.state, after.due_at, after.lease), (DeliveryState::Cancelled, None, None));
        }
    }
    assert_eq!(world.storage.deliveries.cancel(TENANT, DeliveryId(1)).await.unwrap(), None);
    assert_eq!(world.storage.deliveries.backlog().await.unwrap(), []);
}

/// Without the request that an earlier attempt rendered, also if it was cancelled in between.
pub async fn a_retried_delivery_starts_again(world: &World) {
    let hook = world.stored_hook().await;
    for cancelled in [false, true] {
        let id = world.delivery_in(hook, DeliveryState::Waiting).await;
        if cancelled {
            world.storage.deliveries.cancel(TENANT, id).await.unwrap();
        }
        world.storage.deliveries.retry(TENANT, id, NOW).await.unwrap();
        let claimed = world.claim(hook, NOW, 10).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!((claimed[0].delivery.id, &claimed[0].rendered), (id, &None));
        let record = world.record_of(id, DeliveryState::Succeeded);
        world.record(Record { attempts: 2, ..record }).await;
    }
}

/// Neither what was there, nor what was matched before and is stored after; what others have stays.
pub async fn a_deleted_hook_leaves_no_unfinished_deliveries(world: &World) {
    let (hook, other) = (world.stored_hook().await, world.stored_hook().await);
    let mut unfinished = Vec::new();
    for _ in 0..5 {
        for state in DeliveryState::ALL {
            let id = world.delivery_in(hook, state).await;
            if !state.is_final() {
                unfinished.push(id);
            }
        }
    }
    let succeeded = world.delivery_in(hook, DeliveryState::Succeeded).await;
    let kept = world.delivery_in(other, DeliveryState::Pending).await;
    assert!(world.storage.hooks.delete(OTHER_TENANT, hook, &entry()).await.unwrap().is_none());
    assert_eq!(world.delivery(unfinished[0]).await.state, DeliveryState::Pending);
    world.storage.hooks.delete(TENANT, hook, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    assert!(world.storage.hooks.delete(TENANT, hook, &entry()).await.unwrap().is_none());
    for lease in [None, Some(LEASE_END)] {
        let late = world.event_for(hook, lease);
        unfinished.push(late.deliveries[0].id);
        world.store(late).await;
    }
    for id in unfinished {
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.due_at), (DeliveryState::Cancelled, None));
    }
    assert_eq!(world.delivery(succeeded).await.state, DeliveryState::Succeeded);
    assert_eq!(world.delivery(kept).await.state, DeliveryState::Pending);
    assert_eq!(world.claim(hook, UnixMillis(LEASE_END.0 + 1), 10).await.len(), 0);
    let backlog = world.storage.deliveries.backlog().await.unwrap();
    assert_eq!(backlog.iter().map(|backlog| backlog.hook).collect::<Vec<_>>(), [other]);
}
