use std::sync::Mutex;

use async_trait::async_trait;

use super::*;
use crate::clock::SystemClock;
use crate::delivery::DispatcherLimits;
use crate::domain::ids::IdGenerator;
use crate::domain::{Attempt, AttemptId, Delivery, DeliveryId, EventKey, Hook, NodeNumber};
use crate::storage::conformance::{NOW, OTHER_TENANT, TENANT, World};
use crate::storage::sqlite::{self, SqliteOptions};
use crate::storage::{Backlog, Cancelled, Changed, DeliveryQuery, Listed, Record, RetryPolicy};

#[test]
fn hooks_take_turns_by_tenant_and_what_has_been_due_longest_goes_first() {
    let due = [(10, 1, 5), (11, 1, 3), (12, 1, 4), (20, 2, 9), (30, 3, 1), (21, 2, 8)];
    let due = due.map(|(hook, tenant, at)| ((HookId(hook), TenantId(tenant)), UnixMillis(at)));
    let hooks: Vec<_> = in_turns(due.to_vec()).into_iter().map(|(hook, _)| hook.0).collect();
    assert_eq!(hooks, [30, 11, 21, 12, 20, 10]);
}

/// Counts what is claimed.
struct Counting {
    inner: Arc<dyn DeliveryStore>,
    claims: Mutex<Vec<Vec<HookClaim>>>,
    looks: Mutex<usize>,
}

#[async_trait]
impl DeliveryStore for Counting {
    async fn recover(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.inner.recover(node, now).await
    }
    async fn bring_forward(&self, now: UnixMillis, by: std::time::Duration) -> Result<(), StorageError> {
        self.inner.bring_forward(now, by).await
    }
    async fn check(&self) -> Result<(), StorageError> {
        self.inner.check().await
    }
    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        *self.looks.lock().unwrap() += 1;
        self.inner.backlog().await
    }
    async fn claim(
        &self,
        hooks: Vec<HookClaim>,
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Vec<Result<Claims, StorageError>> {
        self.claims.lock().unwrap().push(hooks.clone());
        self.inner.claim(hooks, now, lease, max_bytes).await
    }
    async fn record(&self, records: Vec<Record>, retries: RetryPolicy) -> Result<(), StorageError> {
        self.inner.record(records, retries).await
    }
    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, StorageError> {
        self.inner.delivery(tenant, id).await
    }
    async fn list(&self, tenant: TenantId, query: &DeliveryQuery) -> Result<Listed, StorageError> {
        self.inner.list(tenant, query).await
    }
    async fn of_event(&self, tenant: TenantId, event: EventKey) -> Result<Vec<Delivery>, StorageError> {
        self.inner.of_event(tenant, event).await
    }
    async fn with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError> {
        self.inner.with_attempts(tenant, id, before, limit).await
    }
    async fn retry(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Option<Changed>, StorageError> {
        self.inner.retry(tenant, id, now).await
    }
    async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Cancelled>, StorageError> {
        self.inner.cancel(tenant, id).await
    }
    async fn numbered(&self, tenant: TenantId, number: i64) -> Result<Vec<DeliveryId>, StorageError> {
        self.inner.numbered(tenant, number).await
    }
}

/// Stores a hook of `tenant` with so many deliveries that are due.
async fn hook_with_due(world: &World, tenant: TenantId, deliveries: usize) -> HookId {
    let hook = Hook { tenant, ..world.hook() };
    world.storage.hooks.insert(&hook).await.unwrap();
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
    let store = Arc::new(Counting {
        inner: Arc::clone(&world.storage.deliveries),
        claims: Mutex::default(),
        looks: Mutex::default(),
    });
    let ids = Arc::new(IdGenerator::new(0, 0));
    let dispatcher = Dispatcher::new(DispatcherLimits {
        in_flight: 512,
        in_flight_per_tenant: 256,
        in_flight_per_hook: 64,
        unfinished: 1_536,
        queued: 40_000,
        queued_per_hook: 1_000,
        queued_bytes: 64 << 20,
        lease: Duration::from_secs(900),
    });
    let feeder = Feeder {
        dispatcher,
        directory: Directory::load(storage.stores(), ids, Arc::new(SystemClock)).await.unwrap(),
        deliveries: Arc::clone(&store) as Arc<dyn DeliveryStore>,
    };
    let now = UnixMillis(NOW.0 + 1_000);
    let mut looks = 0;
    while feeder.look(now, &CancellationToken::new()).await.unwrap() == Some(now) {
        looks += 1;
        assert!(looks < 20, "it does not come to an end");
    }
    let claims = store.claims.lock().unwrap();
    let of_other: Vec<_> = claims.iter().map(|hooks| hooks.iter().any(|it| it.hook == other)).collect();
    assert!(of_other[0], "the other tenant waits for one with many hooks: {of_other:?}");
    let claimed: usize = claims.iter().map(Vec::len).sum();
    assert!(claims.iter().all(|hooks| hooks.len() <= HOOKS_IN_A_CLAIM));
    // The other one's three deliveries take two claims, each of two.
    assert!((HOOKS + 1..=HOOKS + 3).contains(&claimed), "{claimed} hooks were claimed");
    assert!(claims.len() <= 8 && *store.looks.lock().unwrap() <= 5, "{} claims", claims.len());
}
