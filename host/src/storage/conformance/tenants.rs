//! Deletion and usage of tenants.

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::hook_stats::{AttemptEnd, AttemptStats, HookHour, Hour};
use crate::domain::kept_body::KeptBody;
use crate::domain::{
    ApiKey, Day, DayUsage, DeliveryFilter, DeliveryState, Digest, EventId, Hook, HookId, Job, JobId,
    JobProgress, JobRate, JobState, JobWork, KeyId, NodeNumber, PluginVersion, Project, RemovedRows,
    RequestBody, Scopes, Tenant, TenantDeletion, TenantId, TenantOptions, UnixMillis,
};
use crate::storage::{
    Acceptance, ConfigChange, ConfigItem, DeletionStep, DeliveryQuery, EventQuery, OverdueBytes, Record,
    Revision,
};

fn tenant(id: TenantId, name: &str) -> Tenant {
    Tenant {
        id,
        name: name.to_owned(),
        client_id: Some(id.0),
        options: TenantOptions::default(),
        created_at: NOW,
    }
}

/// Deliveries in all states, with attempts, bodies and statistics; a project, a key and a plugin. Returns the events.
async fn fill(world: &World, of: TenantId, hash: u8) -> Vec<EventId> {
    let storage = &world.storage;
    let hook = Hook { tenant: of, ..world.hook() };
    storage.hooks.insert(&hook, Revision::ANY, &entry()).await.unwrap();
    let mut events = Vec::new();
    for state in DeliveryState::ALL {
        let mut acceptance = world.event_for(hook.id, (state != DeliveryState::Pending).then_some(LEASE_END));
        let mut event = (*acceptance.event).clone();
        event.tenant = of;
        // The second one has an id of its sender.
        if events.len() == 1 {
            event.id = EventId::from_path("own-id");
        }
        acceptance = Acceptance { event: event.into(), ..acceptance };
        let delivery = acceptance.deliveries[0].id;
        events.push(acceptance.event.id.clone());
        world.store(acceptance).await;
        if !matches!(state, DeliveryState::Pending | DeliveryState::Delivering | DeliveryState::Cancelled) {
            let body = KeptBody::of(&RequestBody::Text("kept".into()), LEASE_END);
            let kept_body = Some(Box::new(body));
            world.record(Record { tenant: of, kept_body, ..world.record_of(delivery, state) }).await;
        }
        if state == DeliveryState::Cancelled {
            storage.deliveries.cancel(of, delivery).await.unwrap();
        }
    }
    let mut stats = AttemptStats::default();
    stats.add(AttemptEnd::Dropped, None);
    let hour = HookHour { tenant: of, hook: hook.id, hour: Hour(500_000), stats };
    storage.hook_stats.add_stats(NodeNumber(0), &[hour]).await.unwrap();
    storage.tenant_usage.add_usage(NodeNumber(0), &[usage(of, 1)]).await.unwrap();
    let project = Project { tenant: of, number: 7, name: None, created_at: NOW };
    storage.tenants.insert_project(&project, Revision::ANY, &entry()).await.unwrap();
    let scopes = Scopes::all();
    let (id, name) = (KeyId(of.0), "k".to_owned());
    let key = ApiKey {
        id,
        tenant: of,
        name,
        scopes,
        hash: [hash; 32],
        prefix: None,
        expires_at: None,
        created_at: NOW,
    };
    storage.tenants.insert_key(&key, Revision::ANY, &entry()).await.unwrap();
    // Both tenants have the same bytes.
    let version = PluginVersion {
        tenant: Some(of),
        name: "mine".parse().unwrap(),
        version: 1,
        digest: Digest([9; 32]),
        roles: Vec::new(),
        imports: Vec::new(),
        size_bytes: 3,
        created_at: NOW,
    };
    storage.plugins.insert(&version, b"abc", Revision::ANY, &entry()).await.unwrap();
    events
}

fn usage(tenant: TenantId, day: i64) -> DayUsage {
    DayUsage { tenant, day: Day(day), events: 2, bytes: 300 }
}

/// A running job of the tenant that the test deletes.
fn job(world: &World) -> Job {
    let filter = DeliveryFilter::default();
    Job {
        id: JobId(world.id()),
        tenant: TENANT,
        work: JobWork::Cancel(filter),
        rate: JobRate::DEFAULT,
        started_by: None,
        state: JobState::Running,
        reason: None,
        progress: JobProgress::default(),
        finished_at: None,
    }
}

/// How many deliveries and events a tenant has, hooks, plugins, projects and keys.
async fn left(world: &World, of: TenantId) -> [usize; 6] {
    let storage = &world.storage;
    let all = DeliveryQuery { limit: 100, ..DeliveryQuery::default() };
    let deliveries = storage.deliveries.list(of, &all).await.unwrap().deliveries.len();
    let query = EventQuery { limit: 100, ..EventQuery::default() };
    let events = storage.events.search(of, &query).await.unwrap().events.len();
    let hooks = storage.hooks.load().await.unwrap().iter().filter(|hook| hook.tenant == of).count();
    let versions = storage.plugins.load().await.unwrap();
    let plugins = versions.iter().filter(|version| version.tenant == Some(of)).count();
    let (_, projects, keys) = storage.tenants.load().await.unwrap();
    let projects = projects.iter().filter(|project| project.tenant == of).count();
    [deliveries, events, hooks, plugins, projects, keys.iter().filter(|key| key.tenant == of).count()]
}

/// In steps that may be repeated; its name is free at once; and nothing of it is stored later.
pub async fn a_deleted_tenant_leaves_nothing_and_others_stay(world: &World) {
    let (storage, store) = (&world.storage, &world.storage.tenant_deletions);
    for one in [tenant(TENANT, "shop.example"), tenant(OTHER_TENANT, "other")] {
        storage.tenants.insert_tenant(&one, &entry()).await.unwrap();
    }
    let events = fill(world, TENANT, 1).await;
    fill(world, OTHER_TENANT, 2).await;
    let full = left(world, OTHER_TENANT).await;
    assert_eq!(left(world, TENANT).await, full);
    assert_eq!(store.deletion(TENANT).await.unwrap(), None);

    let deletion = TenantDeletion::begun(TENANT, "shop.example".to_owned(), NOW);
    let mut being_deleted = tenant(TENANT, "ten_1");
    being_deleted.client_id = None;
    being_deleted.options.deleting_since = Some(NOW);
    let before = storage.directory.revision().await.unwrap();
    let job = job(world);
    assert!(storage.jobs.insert_job(&job, 10, &entry()).await.unwrap());
    assert!(store.begin(&being_deleted, &deletion, &entry()).await.unwrap().is_done());
    assert_eq!(storage.jobs.job(TENANT, job.id).await.unwrap().unwrap().state, JobState::Cancelled);
    assert_eq!(store.deletion(TENANT).await.unwrap(), Some(deletion.clone()));
    let missing = TenantDeletion::begun(TenantId(99), "x".to_owned(), NOW);
    assert_eq!(
        store.begin(&tenant(TenantId(99), "x"), &missing, &entry()).await.unwrap(),
        ConfigChange::Missing
    );
    let same_name = Tenant { client_id: Some(TENANT.0), ..tenant(TenantId(3), "shop.example") };
    assert!(storage.tenants.insert_tenant(&same_name, &entry()).await.unwrap().is_done());
    let changes = storage.directory.changes_since(before).await.unwrap();
    assert!(format!("{changes:?}").contains("deleting_since"), "{changes:?}");
    // The leases of its deliveries have ended.
    assert!(store.is_at_rest(TENANT, UnixMillis(LEASE_END.0 + 1)).await.unwrap());

    let (mut now, mut steps) = (deletion.clone(), 0);
    while let DeletionStep::Removed(after) = store.remove_some(&now).await.unwrap() {
        if steps % 3 == 0 {
            // As another process repeats it, which knows only what is stored.
            let stored = store.deletion(TENANT).await.unwrap().unwrap();
            now = stored.clone();
            assert!(stored.removed.deliveries >= now.removed.deliveries);
        } else {
            now = after;
        }
        steps += 1;
        assert!(steps < 1_000);
    }
    assert_eq!(left(world, TENANT).await, [0; 6]);
    assert_eq!(storage.jobs.job(TENANT, job.id).await.unwrap(), None);
    assert_eq!(left(world, OTHER_TENANT).await, full);
    let stored = store.deletion(TENANT).await.unwrap().unwrap();
    let removed = RemovedRows { events: 7, deliveries: 7, attempts: 4 };
    assert_eq!(stored.removed, removed);
    assert!(storage.events.event(TENANT, &events[1]).await.unwrap().is_none());
    assert!(storage.plugins.wasm(&Digest([9; 32])).await.unwrap().is_some(), "the other tenant has it, too");
    assert_eq!(storage.hook_stats.stats(TENANT, None, Hour(499_999), Hour(500_001)).await.unwrap(), []);
    assert_eq!(storage.tenant_usage.usage(&[TENANT]).await.unwrap(), []);

    let before = storage.directory.revision().await.unwrap();
    let later = UnixMillis(NOW.0 + 5);
    assert!(store.end(&stored, later, &entry()).await.unwrap().is_done());
    assert_eq!(store.end(&stored, later, &entry()).await.unwrap(), ConfigChange::Missing);
    let changes = storage.directory.changes_since(before).await.unwrap();
    assert!(format!("{changes:?}").contains(&format!("{:?}", ConfigItem::Tenant(TENANT, None))));
    let ended = store.deletion(TENANT).await.unwrap().unwrap();
    assert_eq!((ended.finished_at, ended.removed), (Some(later), removed));
    let (tenants, ..) = storage.tenants.load().await.unwrap();
    assert_eq!(tenants.iter().map(|tenant| tenant.id.0).collect::<Vec<_>>(), [3, OTHER_TENANT.0]);

    what_nodes_had_counted_is_refused(world).await;
}

async fn what_nodes_had_counted_is_refused(world: &World) {
    let storage = &world.storage;
    storage.tenant_usage.add_usage(NodeNumber(0), &[usage(TENANT, 9), usage(OTHER_TENANT, 9)]).await.unwrap();
    assert_eq!(storage.tenant_usage.usage(&[TENANT]).await.unwrap(), []);
    assert_eq!(storage.tenant_usage.usage(&[OTHER_TENANT]).await.unwrap().len(), 2);
    let mut stats = AttemptStats::default();
    stats.add(AttemptEnd::Dropped, None);
    let hour = HookHour { tenant: TENANT, hook: HookId(1), hour: Hour(500_000), stats };
    storage.hook_stats.add_stats(NodeNumber(0), &[hour]).await.unwrap();
    assert_eq!(storage.hook_stats.stats(TENANT, None, Hour(499_999), Hour(500_001)).await.unwrap(), []);
}

/// Of all nodes and calls, by day.
pub async fn the_usage_of_tenants_adds_up(world: &World) {
    let store = &world.storage.tenant_usage;
    store.add_usage(NodeNumber(0), &[]).await.unwrap();
    store.add_usage(NodeNumber(0), &[usage(TENANT, 1), usage(TENANT, 2)]).await.unwrap();
    store.add_usage(NodeNumber(0), &[usage(TENANT, 2), usage(OTHER_TENANT, 2)]).await.unwrap();
    store.add_usage(NodeNumber(1), &[usage(TENANT, 2)]).await.unwrap();
    let thrice = DayUsage { events: 6, bytes: 900, ..usage(TENANT, 2) };
    assert_eq!(store.usage(&[TENANT]).await.unwrap(), [usage(TENANT, 1), thrice]);
    assert_eq!(store.usage(&[TENANT, OTHER_TENANT]).await.unwrap().len(), 3);
    assert_eq!(store.usage(&[]).await.unwrap(), []);
    store.remove_usage_before(TENANT, Day(2)).await.unwrap();
    assert_eq!(store.usage(&[TENANT, OTHER_TENANT]).await.unwrap(), [thrice, usage(OTHER_TENANT, 2)]);
}

/// All of it at once: who is not named any more has none.
pub async fn what_is_kept_too_long_is_stored_for_all_nodes(world: &World) {
    let store = &world.storage.tenant_usage;
    assert_eq!(store.overdue().await.unwrap(), OverdueBytes::new());
    for overdue in [vec![(TENANT, 300), (OTHER_TENANT, u64::MAX)], vec![(OTHER_TENANT, 7)], vec![]] {
        let overdue = OverdueBytes::from_iter(overdue);
        store.set_overdue(&overdue).await.unwrap();
        assert_eq!(store.overdue().await.unwrap(), overdue);
    }
}
