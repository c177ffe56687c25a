use super::*;
use crate::clock::SystemClock;
use crate::delivery::HookHealthMonitor;
use crate::delivery::fair_queue::{Next, Observation};
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::testing::{self, SpyStore};
use crate::domain::ids::IdGenerator;
use crate::domain::members::agreed;
use crate::domain::{AuditEntry, DeliveryState, Flows, Hook, NodeNumber, Rate};
use crate::storage::conformance::{NOW, OTHER_TENANT, TENANT, World};
use crate::storage::sqlite::{self, SqliteOptions};
use crate::storage::{DeliveryQuery, Membership, Revision};

#[test]
fn hooks_are_sorted_round_robin_by_tenant_and_by_the_time_they_are_due() {
    let due = [(10, 1, 5), (11, 1, 3), (12, 1, 4), (20, 2, 9), (30, 3, 1), (21, 2, 8)];
    let due = due.map(|(hook, tenant, at)| ((HookId(hook), TenantId(tenant)), UnixMillis(at)));
    let hooks: Vec<_> =
        RoundRobin::default().sort(due.to_vec()).into_iter().map(|(hook, _)| hook.0).collect();
    assert_eq!(hooks, [30, 11, 21, 12, 20, 10]);
}

/// Stores a hook of `tenant` with this many due deliveries.
async fn hook_with_due(world: &World, tenant: TenantId, deliveries: usize) -> HookId {
    let hook = Hook { tenant, ..world.hook() };
    world.storage.hooks.insert(&hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    for _ in 0..deliveries {
        let mut acceptance = world.event_for(hook.id, None);
        Arc::make_mut(&mut acceptance.event).tenant = tenant;
        world.store(acceptance).await;
    }
    hook.id
}

#[tokio::test]
async fn a_tenant_with_many_hooks_is_claimed_in_few_transactions_and_does_not_delay_another() {
    const HOOKS: usize = 600;
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    for _ in 0..HOOKS {
        hook_with_due(&world, TENANT, 1).await;
    }
    let other = hook_with_due(&world, OTHER_TENANT, 3).await;
    let store = SpyStore::new(Arc::clone(&world.storage.deliveries));
    let ids = Arc::new(IdGenerator::new(0, 0));
    let dispatcher = Dispatcher::new(testing::limits());
    let feeder = Feeder {
        sources: testing::sources(),
        dispatcher,
        directory: Directory::load(storage.stores(), ids, SystemClock::shared()).await.unwrap(),
        deliveries: Arc::clone(&store) as Arc<dyn DeliveryStore>,
    };
    let now = UnixMillis(NOW.0 + 1_000);
    let mut looks = 0;
    while feeder.look(now, &CancellationToken::new()).await.unwrap() == Some(now) {
        looks += 1;
        assert!(looks < 20, "it does not end");
    }
    let claims = store.claims.lock().unwrap();
    let of_other: Vec<_> = claims.iter().map(|hooks| hooks.iter().any(|it| it.hook == other)).collect();
    assert!(of_other[0], "the other tenant waits for one with many hooks: {of_other:?}");
    let claimed: usize = claims.iter().map(Vec::len).sum();
    assert!(claims.iter().all(|hooks| hooks.len() <= MAX_CLAIM_HOOKS));
    // The other hook's three deliveries take two claims of two each.
    assert!((HOOKS + 1..=HOOKS + 3).contains(&claimed), "{claimed} hooks were claimed");
    assert!(claims.len() <= 8 && *store.looks.lock().unwrap() <= 5, "{} claims", claims.len());
}

/// A feeder over an empty database, and the spy on it.
async fn feeder(world: &World, limits: DispatcherLimits) -> (Feeder, Arc<SpyStore>) {
    let store = SpyStore::new(Arc::clone(&world.storage.deliveries));
    let ids = Arc::new(IdGenerator::new(0, 0));
    let directory = Directory::load(world.storage.clone(), ids, SystemClock::shared()).await.unwrap();
    let deliveries = Arc::clone(&store) as Arc<dyn DeliveryStore>;
    let dispatcher = Dispatcher::new(limits);
    (Feeder { sources: testing::sources(), dispatcher, directory, deliveries }, store)
}

#[tokio::test]
async fn no_more_is_claimed_than_there_is_room_for_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    for _ in 0..3 {
        hook_with_due(&world, TENANT, 40).await;
    }
    // A delivery weighs about 260 bytes, so there is room for about 20 of one tenant.
    let limits = DispatcherLimits { queued_bytes: 260 * 40, ..testing::limits() };
    let (feeder, store) = feeder(&world, limits.clone()).await;
    let now = UnixMillis(NOW.0 + 1_000);
    let next = feeder.look(now, &CancellationToken::new()).await.unwrap();
    assert_eq!(next, Some(now), "it looks again for what is left of the claims");
    for _ in 0..20 {
        feeder.look(now, &CancellationToken::new()).await.unwrap();
    }
    let queued = limits.queued_bytes - feeder.dispatcher.queue().free_bytes();
    assert!((260 * 15..=260 * 30).contains(&queued), "{queued} bytes are queued");
    let limits =
        store.claims.lock().unwrap().iter().flatten().map(|claim| claim.tenant_bytes).collect::<Vec<_>>();
    assert!(limits.iter().all(|bytes| *bytes <= 260 * 40), "{limits:?}");
    let next = feeder.look(now, &CancellationToken::new()).await.unwrap();
    assert_eq!(
        next,
        Some(now.plus(WITHOUT_ROOM)),
        "one hook has nothing in memory that would wake the feeder"
    );
}

#[tokio::test]
async fn claims_leave_the_reserve_to_tenants_that_have_nothing_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    for tenant in 0..20 {
        hook_with_due(&world, TenantId(100 + tenant), 20).await;
    }
    let limits = DispatcherLimits { queued_bytes: 260 * 160, ..testing::limits() };
    let (feeder, _) = feeder(&world, limits.clone()).await;
    for _ in 0..20 {
        feeder.look(UnixMillis(NOW.0 + 1_000), &CancellationToken::new()).await.unwrap();
    }
    let free = feeder.dispatcher.queue().free_bytes();
    let reserve = limits.queued_bytes / 8;
    // Some of it holds the first deliveries of tenants that had nothing.
    assert!(free >= reserve / 2, "{free} bytes are free, and {reserve} reserved");
}

#[tokio::test]
async fn a_cancellation_that_empties_a_queue_has_the_rest_of_the_hook_claimed() {
    use futures_util::FutureExt as _;

    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    hook_with_due(&world, TENANT, 5).await;
    let limits = DispatcherLimits { queued_per_hook: 2, ..testing::limits() };
    let (feeder, store) = feeder(&world, limits).await;
    let now = UnixMillis(NOW.0 + 1_000);
    assert_eq!(feeder.look(now, &CancellationToken::new()).await.unwrap(), Some(now));
    assert_eq!(feeder.look(now, &CancellationToken::new()).await.unwrap(), None, "there is room for two");
    let query = DeliveryQuery { limit: 9, ..DeliveryQuery::default() };
    let mut queued = world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries;
    queued.retain(|delivery| delivery.state == DeliveryState::Delivering);
    assert_eq!(queued.len(), 2);
    let wakes = feeder.dispatcher.refills();
    assert!(wakes.notified().now_or_never().is_none(), "nothing has woken the feeder");
    let recalled = feeder.dispatcher.recall(&queued[0], now).unwrap();
    recalled.cancelled(queued[0].lease);
    assert!(wakes.notified().now_or_never().is_some());
    feeder.look(now, &CancellationToken::new()).await.unwrap();
    let claimed: u32 = store.claims.lock().unwrap().last().unwrap().iter().map(|claim| claim.limit).sum();
    assert_eq!(claimed, 1);
}

#[tokio::test]
async fn a_node_claims_only_what_is_due_of_its_own_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    let mut hooks = Vec::new();
    for _ in 0..20 {
        hooks.push(hook_with_due(&world, TENANT, 1).await);
    }
    let membership = Membership::joining(NodeNumber(1));
    let (feeder, store) = feeder(&world, testing::limits()).await;
    let dispatcher =
        Dispatcher::beside(Arc::clone(&membership), testing::limits(), HookHealthMonitor::in_memory());
    let feeder = Feeder { dispatcher, ..feeder };
    let (now, stop) = (UnixMillis(NOW.0 + 1_000), CancellationToken::new());
    assert_eq!(feeder.look(now, &stop).await.unwrap(), None, "the others' are no reason to look again");
    assert!(store.claims.lock().unwrap().is_empty(), "it has not joined");
    let members = agreed(&[1, 2]);
    membership.see(members.view().clone(), true);
    feeder.dispatcher.queue().set_members(members.clone(), clock::monotonic());
    feeder.glance(now, &stop).await.unwrap();
    let claimed: Vec<_> = store.claims.lock().unwrap().iter().flatten().map(|claim| claim.hook).collect();
    let owned = hooks.iter().filter(|hook| members.owns(**hook));
    assert_eq!(claimed.iter().collect::<HashSet<_>>(), owned.collect());
    assert!((1..20).contains(&claimed.len()));
}

#[tokio::test]
async fn what_is_stored_while_the_disk_is_read_is_not_forgotten() {
    use futures_util::FutureExt as _;

    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    let hook = hook_with_due(&world, TENANT, 0).await;
    let limits = DispatcherLimits { queued_per_hook: 2, ..testing::limits() };
    let (feeder, store) = feeder(&world, limits).await;
    let work = testing::work(TENANT.0, hook.0, 1);
    let reserved = [1, 2].map(|_| feeder.dispatcher.reserve(work.clone(), NOW).unwrap());
    let dispatcher = Arc::clone(&feeder.dispatcher);
    // After the read, there is one for which memory has no room.
    *store.after_look.lock().unwrap() = Some(Box::new(move || dispatcher.stored_on_disk(hook, TENANT)));
    feeder.look(NOW, &CancellationToken::new()).await.unwrap();
    reserved.iter().for_each(|work| feeder.dispatcher.unreserve(work));
    let is_woken = |notify: Arc<Notify>| notify.notified().now_or_never().is_some();
    assert!(is_woken(feeder.dispatcher.feeder_wakes()) || is_woken(feeder.dispatcher.refills()));
}

#[tokio::test]
async fn hooks_of_a_tenant_with_a_rate_are_served_round_robin() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    let mut hooks = Vec::new();
    for deliveries in [20, 20, 3, 3, 3, 3] {
        hooks.push(hook_with_due(&world, TENANT, deliveries).await);
    }
    let (feeder, store) = feeder(&world, testing::limits()).await;
    // Four deliveries have room.
    let rate = (TENANT, Rate::nearest(1.0));
    let flows = Flows { tenants: [rate].into_iter().collect(), ..Flows::default() };
    feeder.dispatcher.take_flows(&tokio::sync::watch::Sender::new(flows).subscribe());
    let (now, stop) = (UnixMillis(NOW.0 + 1_000), CancellationToken::new());
    let mut time = clock::monotonic();
    let mut sent: Vec<HookId> = Vec::new();
    for _ in 0..6 {
        feeder.look(now, &stop).await.unwrap();
        let taken = feeder.dispatcher.in_memory();
        assert!((1..=4).contains(&taken), "{taken} are in memory");
        for _ in 0..taken {
            time += Duration::from_secs(1);
            let mut queue = feeder.dispatcher.queue();
            let Next::Start(started) = queue.start(time) else { panic!("nothing starts") };
            queue.request_ended(started.key, Observation::Answered, time);
            queue.recorded(started.key);
            sent.push(started.work.hook);
        }
    }
    let of = |hook: &HookId| sent.iter().filter(|it| *it == hook).count();
    assert!(hooks.iter().all(|hook| of(hook) >= 3), "{:?}", hooks.iter().map(of).collect::<Vec<_>>());
    let first: HashSet<_> = sent[..8].iter().collect();
    assert_eq!(first.len(), 6, "each has had its turn: {sent:?}");
    assert!(store.claims.lock().unwrap().len() <= 12);
}
