//! Leases.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry, request};
use crate::domain::{DeliveryId, DeliveryState, HookId, UnixMillis};
use crate::storage::{Backlog, Claimed, Claims, HookClaim, Record, Rendered, StorageError};

/// A time after everything that is due at once.
const LATER: UnixMillis = UnixMillis(NOW.0 + 1_000);

fn ids(claimed: &[Claimed]) -> Vec<DeliveryId> {
    claimed.iter().map(|claimed| claimed.delivery.id).collect()
}

async fn lease_end(world: &World, delivery: DeliveryId) -> UnixMillis {
    let delivery = world.delivery(delivery).await;
    assert_eq!(delivery.due_at, None, "nothing is due while a lease lasts");
    delivery.lease.unwrap().until
}

async fn pending(world: &World, hook: HookId) -> DeliveryId {
    world.delivery_in(hook, DeliveryState::Pending).await
}

/// No more than asked for, nothing of another hook, nothing that is not due.
pub async fn what_is_due_is_claimed_oldest_first(world: &World) {
    let (hook, other) = (HookId(1), HookId(2));
    let waiting = world.delivery_in(hook, DeliveryState::Waiting).await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.push(pending(world, hook).await);
        pending(world, other).await;
    }
    assert_eq!(ids(&world.claim(hook, UnixMillis(NOW.0 - 1), 10).await), []);
    assert_eq!(ids(&world.claim(hook, LATER, 2).await), expected[..2]);
    // The one that waits was made first, but is due last.
    expected.push(waiting);
    assert_eq!(ids(&world.claim(hook, UnixMillis(NOW.0 + 5_000), 10).await), expected[2..]);
    assert_eq!(ids(&world.claim(hook, UnixMillis(NOW.0 + 5_000), 10).await), []);
}

/// Also the lease that an event is accepted with.
pub async fn a_lease_excludes_others_until_it_ends(world: &World) {
    let hook = HookId(1);
    let accepted = world.delivery_in(hook, DeliveryState::Delivering).await;
    assert_eq!(lease_end(world, accepted).await, LEASE_END);
    assert_eq!(ids(&world.claim(hook, UnixMillis(LEASE_END.0 - 1), 10).await), []);
    assert_eq!(ids(&world.claim(hook, LEASE_END, 10).await), [accepted]);
    let second = UnixMillis(LEASE_END.0 + 60_000);
    assert_eq!(lease_end(world, accepted).await, second);
    assert_eq!(ids(&world.claim(hook, UnixMillis(second.0 - 1), 10).await), []);
    assert_eq!(ids(&world.claim(hook, second, 10).await), [accepted]);
}

/// All that an attempt needs.
pub async fn a_claim_returns_event_and_rendered_request(world: &World) {
    let hook = HookId(1);
    let fresh = pending(world, hook).await;
    let retried = world.delivery_in(hook, DeliveryState::Waiting).await;
    let claimed = world.claim(hook, UnixMillis(NOW.0 + 5_000), 10).await;
    assert_eq!(ids(&claimed), [fresh, retried]);
    for one in &claimed {
        assert_eq!(one.delivery, world.delivery(one.delivery.id).await);
        assert_eq!(one.delivery.state, DeliveryState::Delivering);
        assert_eq!((one.event.key, &*one.event.data), (one.delivery.event, r#"{"n":1}"#));
    }
    assert_eq!(claimed[0].rendered, None);
    assert_eq!(claimed[1].rendered, Some(request("rendered")));
    assert_eq!((claimed[1].delivery.attempts, claimed[1].delivery.failures), (1, 1));
}

/// Nothing is claimed twice, and nothing is left.
pub async fn concurrent_claims_share_nothing(world: &World) {
    let hook = HookId(1);
    let stored = join_all((0..100).map(|_| pending(world, hook))).await;
    let claims = join_all((0..20).map(|_| world.claim(hook, LATER, 7))).await;
    let claimed: Vec<_> = claims.iter().flat_map(|claims| ids(claims)).collect();
    assert_eq!(claimed.len(), 100);
    assert_eq!(claimed.into_iter().collect::<HashSet<_>>(), stored.into_iter().collect());
}

/// Data and rendered bodies count, and something for each; one is taken however large it is.
pub async fn a_claim_is_limited_by_bytes_and_tells_whether_there_is_more(world: &World) {
    let hook = HookId(1);
    let mut stored = Vec::new();
    // In characters, the third is no larger than the first two.
    for text in ["x".repeat(10_000), "x".repeat(10_000), "\u{1f980}".repeat(10_000), "x".into(), "x".into()] {
        let mut acceptance = world.event_for(hook, None);
        Arc::make_mut(&mut acceptance.event).data = format!("\"{text}\"").into();
        stored.push(acceptance.deliveries[0].id);
        world.store(acceptance).await;
    }
    let claim = async |now, limit, max_bytes| {
        let lease_until = UnixMillis(LATER.0 + 60_000);
        let claims = world.try_claim(hook, now, lease_until, (limit, max_bytes)).await.unwrap();
        (ids(&claims.claimed), claims.more)
    };
    assert_eq!(claim(LATER, 0, u64::MAX).await, (Vec::new(), true));
    assert_eq!(claim(LATER, 10, 30_000).await, (stored[..2].to_vec(), true));
    assert_eq!(claim(LATER, 10, 30_000).await, (stored[2..3].to_vec(), true));
    assert_eq!(claim(LATER, 1, u64::MAX).await, (stored[3..4].to_vec(), true));
    assert_eq!(claim(LATER, 1, 0).await, (stored[4..].to_vec(), false));
    assert_eq!(claim(LATER, 1, 0).await, (Vec::new(), false));
    let mut retried = Vec::new();
    for _ in 0..2 {
        let id = world.delivery_in(hook, DeliveryState::Delivering).await;
        let rendered = Rendered::Store(request(&"x".repeat(10_000)));
        world.record(Record { rendered, ..world.record_of(id, DeliveryState::Waiting) }).await;
        retried.push(id);
    }
    let due = UnixMillis(NOW.0 + 5_000);
    assert_eq!(claim(due, 2, 20_000).await, (retried[..1].to_vec(), true));
    assert_eq!(claim(due, 2, 20_000).await, (retried[1..].to_vec(), false));
}

/// In one transaction, in their order, within one bound on bytes; a hook that has nothing or is deleted has an answer.
pub async fn several_hooks_are_claimed_together(world: &World) {
    let [first, second, gone, third] =
        [world.stored_hook().await, HookId(2), world.stored_hook().await, HookId(3)];
    let mut stored = Vec::new();
    for hook in [first, first, first, gone, third, third] {
        stored.push(pending(world, hook).await);
    }
    world.storage.hooks.delete(TENANT, gone, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    let claim = async |limits: [u32; 4], max_bytes| {
        let hooks = [first, second, gone, third].into_iter().zip(limits);
        let hooks = hooks
            .map(|(hook, limit)| HookClaim { hook, tenant: TENANT, limit, tenant_bytes: u64::MAX })
            .collect();
        let claims = world.storage.deliveries.claim(hooks, LATER, world.lease(LEASE_END), max_bytes).await;
        let of_hook = |claims: Result<Claims, StorageError>| {
            let claims = claims.unwrap();
            (ids(&claims.claimed), claims.more)
        };
        claims.into_iter().map(of_hook).collect::<Vec<_>>()
    };
    let nothing = || (Vec::new(), false);
    assert_eq!(
        claim([2, 5, 5, 1], u64::MAX).await,
        [(stored[..2].to_vec(), true), nothing(), nothing(), (vec![stored[4]], true)]
    );
    let one = (vec![stored[2]], false);
    assert_eq!(claim([1, 1, 1, 1], 0).await, [one, nothing(), nothing(), (Vec::new(), true)]);
    assert_eq!(claim([1, 1, 1, 1], 0).await, [nothing(), nothing(), nothing(), (vec![stored[5]], false)]);
    for id in [stored[0], stored[1], stored[2], stored[4], stored[5]] {
        let delivery = world.delivery(id).await;
        assert_eq!(delivery.state, DeliveryState::Delivering);
        assert_eq!(lease_end(world, id).await, LEASE_END);
    }
}

/// The hooks of one tenant share its limit. Each tenant gets one delivery, however large, until the limit of all is reached.
pub async fn a_claim_is_limited_by_bytes_for_each_tenant(world: &World) {
    let pending = async |hook| {
        let mut acceptance = world.event_for(HookId(hook), None);
        Arc::make_mut(&mut acceptance.event).data = format!("\"{}\"", "x".repeat(1_000)).into();
        let id = acceptance.deliveries[0].id;
        world.store(acceptance).await;
        id
    };
    let mut stored = Vec::new();
    for hook in [1, 1, 2, 2, 3, 3] {
        stored.push(pending(hook).await);
    }
    // Hooks 1 and 2 are of one tenant.
    let claim = async |tenant_bytes, max_bytes| {
        let hooks = [(1, TENANT), (3, OTHER_TENANT), (2, TENANT)];
        let hooks =
            hooks.map(|(hook, tenant)| HookClaim { hook: HookId(hook), tenant, limit: 2, tenant_bytes });
        let claims =
            world.storage.deliveries.claim(hooks.to_vec(), LATER, world.lease(LEASE_END), max_bytes).await;
        let of_hook = |claims: Result<Claims, StorageError>| {
            let claims = claims.unwrap();
            (ids(&claims.claimed), claims.more)
        };
        claims.into_iter().map(of_hook).collect::<Vec<_>>()
    };
    let ids = |ids: &[DeliveryId]| ids.to_vec();
    assert_eq!(
        claim(0, u64::MAX).await,
        [(ids(&stored[..1]), true), (ids(&stored[4..5]), true), (ids(&[]), true)],
        "one delivery of each tenant"
    );
    assert_eq!(
        claim(3_000, u64::MAX).await,
        [(ids(&stored[1..2]), false), (ids(&stored[5..]), false), (ids(&stored[2..3]), true)],
        "two deliveries of each tenant"
    );
    assert_eq!(
        claim(u64::MAX, 0).await,
        [(ids(&[]), false), (ids(&[]), false), (ids(&stored[3..4]), false)],
        "one delivery in all"
    );
}

/// Ids run ahead of a clock that was set back.
pub async fn a_delivery_is_due_at_its_due_time_and_not_at_that_of_its_id(world: &World) {
    let hook = HookId(1);
    let due_at = UnixMillis(NOW.0 - 3_600_000);
    let mut acceptance = world.event_for(hook, None);
    acceptance.deliveries[0].due_at = due_at;
    let id = acceptance.deliveries[0].id;
    world.store(acceptance).await;
    assert_eq!(world.delivery(id).await.due_at, Some(due_at));
    assert_eq!(ids(&world.claim(hook, UnixMillis(due_at.0 - 1), 10).await), []);
    assert_eq!(ids(&world.claim(hook, due_at, 10).await), [id]);
}

/// What waits for the longest that there is goes on waiting.
pub async fn deliveries_that_a_wrong_clock_put_out_of_reach_are_due_after_recovery(world: &World) {
    let hook = world.stored_hook().await;
    let days = |days: i64| Some(UnixMillis(LATER.0 + days * 24 * 3_600_000));
    for (due_at, expected) in [(days(9), days(9)), (days(10), Some(LATER)), (days(9_000), Some(LATER))] {
        let id = world.delivery_in(hook, DeliveryState::Delivering).await;
        world.record(Record { due_at, ..world.record_of(id, DeliveryState::Waiting) }).await;
        assert_eq!(world.storage.deliveries.recover(world.node, LATER).await.unwrap(), 0);
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.due_at), (DeliveryState::Waiting, expected));
    }
}

/// Once for each step back of the clock, however often the call is repeated. Leases stay.
pub async fn waiting_deliveries_are_brought_forward_once(world: &World) {
    const DAY: i64 = 86_400_000;
    let day = Duration::from_secs(86_400);
    let (waits, leased) = (world.stored_hook().await, world.stored_hook().await);
    let waiting = world.delivery_in(waits, DeliveryState::Waiting).await;
    let delivering = world.delivery_in(leased, DeliveryState::Delivering).await;
    assert_eq!(world.delivery(waiting).await.due_at, Some(UnixMillis(NOW.0 + 5_000)));
    for (steps, due_at) in [(1, NOW.0 - DAY + 5_000), (2, NOW.0 - 2 * DAY + 5_000)] {
        let now = UnixMillis(NOW.0 - steps * DAY);
        for _ in 0..3 {
            world.storage.deliveries.bring_forward(now, day).await.unwrap();
            assert_eq!(world.delivery(waiting).await.due_at, Some(UnixMillis(due_at)));
        }
    }
    // Not before the new time.
    let late = UnixMillis(NOW.0 - 2 * DAY + 4_000);
    world.storage.deliveries.bring_forward(late, day).await.unwrap();
    assert_eq!(world.delivery(waiting).await.due_at, Some(late));
    assert_eq!(ids(&world.claim(waits, UnixMillis(late.0 - 1), 10).await), []);
    assert_eq!(ids(&world.claim(waits, late, 10).await), [waiting]);
    assert_eq!(lease_end(world, delivering).await, LEASE_END);
}

/// As at the start after a crash.
pub async fn recovery_ends_leases(world: &World) {
    let hook = world.stored_hook().await;
    let first = world.delivery_in(hook, DeliveryState::Delivering).await;
    let second = world.delivery_in(hook, DeliveryState::Waiting).await;
    let untouched = world.delivery_in(hook, DeliveryState::Succeeded).await;
    assert_eq!(ids(&world.claim(hook, UnixMillis(NOW.0 + 5_000), 10).await), [second]);
    assert_eq!(world.storage.deliveries.recover(world.node, LATER).await.unwrap(), 2);
    for (id, state) in [(first, DeliveryState::Pending), (second, DeliveryState::Waiting)] {
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.due_at), (state, Some(LATER)));
    }
    assert_eq!(world.delivery(untouched).await.state, DeliveryState::Succeeded);
    let again = world.claim(hook, LATER, 10).await;
    assert_eq!(ids(&again), [first, second]);
    assert_eq!(again[1].rendered, Some(request("rendered")));
    assert_eq!(world.storage.deliveries.recover(world.node, LATER).await.unwrap(), 2);
}

/// With the first time something is due; hooks without unfinished deliveries are not in it.
pub async fn the_backlog_names_each_hook_once(world: &World) {
    assert_eq!(world.storage.deliveries.backlog().await.unwrap(), []);
    let done = HookId(world.id());
    world.delivery_in(done, DeliveryState::Succeeded).await;
    assert_eq!(world.storage.deliveries.backlog().await.unwrap(), []);
    let (waits, due, leased) = (HookId(world.id()), HookId(world.id()), HookId(world.id()));
    for due_at in [9_000, 4_000, 6_000] {
        let id = world.delivery_in(waits, DeliveryState::Delivering).await;
        let due_at = Some(UnixMillis(NOW.0 + due_at));
        world.record(Record { due_at, ..world.record_of(id, DeliveryState::Waiting) }).await;
    }
    pending(world, due).await;
    pending(world, due).await;
    world.delivery_in(due, DeliveryState::Cancelled).await;
    world.delivery_in(leased, DeliveryState::Delivering).await;
    let mut backlog = world.storage.deliveries.backlog().await.unwrap();
    backlog.sort_by_key(|backlog| backlog.hook);
    let expected = [
        Backlog { hook: waits, first_due_at: UnixMillis(NOW.0 + 4_000) },
        Backlog { hook: due, first_due_at: NOW },
        Backlog { hook: leased, first_due_at: LEASE_END },
    ];
    assert_eq!(backlog, expected);
}
