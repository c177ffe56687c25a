//! The audit log: each change is committed with its entry, a refused one leaves none.

use super::{NOW, OTHER_TENANT, TENANT, World};
use crate::domain::audit::{MemberChange, MemberValue};
use crate::domain::{
    Actor, ActorKind, AuditEntry, AuditFilter, AuditId, AuditObject, Hook, Job, JobId, JobProgress, JobRate,
    JobState, JobWork, KeyId, OperatorKey, OperatorKeyId, OperatorRole, Project, Surface, UnixMillis,
};
use crate::storage::{AuditQuery, Revision, StorageError, UsedKeys};

/// An entry with every part, made at `seconds` after [`NOW`].
fn entry(seconds: i64) -> AuditEntry {
    let change = |member: &str, values| MemberChange { member: member.to_owned(), values };
    AuditEntry {
        id: AuditId::first_at(UnixMillis(NOW.0 + 1_000 * seconds)),
        tenant: Some(TENANT),
        actor: Actor {
            kind: ActorKind::Key,
            id: Some("key_1".to_owned()),
            name: Some("f\u{fc}r \"alle\"".to_owned()),
            surface: Some(Surface::Webitel),
            address: Some("2001:db8::".parse().unwrap()),
            request_id: Some("r-1".to_owned()),
        },
        action: "hook.of-a-newer-build".to_owned(),
        object: AuditObject::new("hook", "hook_1").named("n"),
        changes: vec![
            change("hidden", None),
            change("a", Some((MemberValue::Absent, MemberValue::Flag(true)))),
            change("b", Some((MemberValue::Integer(i64::MAX), MemberValue::Number(0.25)))),
            change(
                "c",
                Some((MemberValue::Text("\u{fc}\n".to_owned()), MemberValue::List(vec!["x".to_owned()]))),
            ),
        ],
    }
}

async fn listed(world: &World, filter: AuditFilter) -> Vec<AuditEntry> {
    let query = AuditQuery { filter, before: None, limit: 100 };
    world.storage.audit.list(&query).await.unwrap().entries
}

/// Newest first, page by page, by tenant and time; and removed when they are old.
pub async fn entries_are_read_back_and_removed(world: &World) {
    let store = &world.storage.audit;
    let mut all = [entry(1), entry(2), entry(3), entry(4)];
    all[1].tenant = None;
    all[1].actor = Actor::ENGINE;
    all[2].tenant = Some(OTHER_TENANT);
    for entry in &all {
        store.append(entry).await.unwrap();
    }
    let [first, second, third, fourth] = all;
    let none = AuditFilter::default();
    let every = [&fourth, &third, &second, &first].map(Clone::clone);
    assert_eq!(listed(world, none.clone()).await, every);
    let of_tenant = AuditFilter { tenant: Some(TENANT), ..none.clone() };
    assert_eq!(listed(world, of_tenant.clone()).await, [fourth.clone(), first.clone()]);
    let timed = AuditFilter { since: Some(second.at()), until: Some(fourth.at()), ..none.clone() };
    assert_eq!(listed(world, timed).await, [third.clone(), second.clone()]);
    let by_engine = AuditFilter { actor: Some("engine".to_owned()), ..none.clone() };
    assert_eq!(listed(world, by_engine).await, std::slice::from_ref(&second));
    let query = AuditQuery { filter: of_tenant, before: Some(fourth.id), limit: 1 };
    assert_eq!(store.list(&query).await.unwrap().entries, std::slice::from_ref(&first));
    assert_eq!(store.remove_entries(third.at(), 1).await.unwrap(), 1);
    assert_eq!(store.remove_entries(third.at(), 5).await.unwrap(), 1);
    assert_eq!(store.remove_entries(third.at(), 5).await.unwrap(), 0);
    assert_eq!(listed(world, none).await, [fourth, third]);
}

/// With entries that another one has already, the changes fail: so it is the same transaction.
pub async fn a_change_is_committed_with_its_entry(world: &World) {
    let storage = &world.storage;
    let ids =
        async || listed(world, AuditFilter::default()).await.iter().map(|it| it.id.0).collect::<Vec<_>>();
    let numbered = |id: i64| AuditEntry { id: AuditId(id), ..entry(0) };
    let project = |number| Project { tenant: TENANT, number, name: None, created_at: NOW };
    storage.tenants.insert_project(&project(1), Revision::ANY, &numbered(1)).await.unwrap();
    assert_eq!(ids().await, [1]);
    // Taken, missing, stale, and by another tenant.
    let taken = storage.tenants.insert_project(&project(1), Revision::ANY, &numbered(2)).await;
    assert!(matches!(taken, Err(StorageError::Taken { .. })), "{taken:?}");
    let tenants = &storage.tenants;
    assert!(!tenants.delete_key(TENANT, KeyId(9), &numbered(2)).await.unwrap().is_done());
    assert!(!tenants.delete_project(TENANT, 1, Revision(-1), &numbered(2)).await.unwrap().is_done());
    let hook = world.hook();
    storage.hooks.insert(&hook, Revision::ANY, &numbered(2)).await.unwrap();
    let stale = UnixMillis(hook.updated_at.0 - 1);
    assert!(!storage.hooks.update(&hook, stale, Revision::ANY, &numbered(3)).await.unwrap().is_done());
    assert!(storage.hooks.delete(OTHER_TENANT, hook.id, &numbered(3)).await.unwrap().is_none());
    assert!(!storage.access.delete_login(TENANT, "none", &numbered(3)).await.unwrap().is_done());
    assert_eq!(ids().await, [2, 1]);
    // Without its entry, nothing is changed.
    let changed =
        Hook { enabled: !hook.enabled, updated_at: UnixMillis(hook.updated_at.0 + 1), ..hook.clone() };
    assert!(storage.hooks.update(&changed, hook.updated_at, Revision::ANY, &numbered(2)).await.is_err());
    assert!(storage.hooks.delete(TENANT, hook.id, &numbered(2)).await.is_err());
    assert!(tenants.delete_project(TENANT, 1, Revision::ANY, &numbered(2)).await.is_err());
    assert!(storage.hook_states.set_paused(Some(NOW), &numbered(2)).await.is_err());
    assert_eq!(storage.hooks.load().await.unwrap(), [hook]);
    assert_eq!(tenants.load().await.unwrap().1.len(), 1);
    assert_eq!(storage.hook_states.paused_since().await.unwrap(), None);
    jobs_are_committed_with_their_entries(world).await;
}

async fn jobs_are_committed_with_their_entries(world: &World) {
    let jobs = &world.storage.jobs;
    let numbered = |id: i64| AuditEntry { id: AuditId(id), ..entry(0) };
    let job = |id| Job {
        id: JobId(id),
        tenant: TENANT,
        work: JobWork::Cancel(crate::domain::DeliveryFilter::default()),
        rate: JobRate::DEFAULT,
        started_by: None,
        state: JobState::Running,
        reason: None,
        progress: JobProgress::default(),
        finished_at: None,
    };
    assert!(jobs.insert_job(&job(1), 1, &numbered(10)).await.unwrap());
    assert!(!jobs.insert_job(&job(2), 1, &numbered(11)).await.unwrap(), "there are too many");
    assert!(jobs.insert_job(&job(2), 5, &numbered(10)).await.is_err());
    assert_eq!(jobs.job(TENANT, JobId(2)).await.unwrap(), None);
    jobs.change_job(TENANT, JobId(1), JobState::Paused, NOW, &numbered(11)).await.unwrap();
    // It is paused already, or of another tenant.
    jobs.change_job(TENANT, JobId(1), JobState::Paused, NOW, &numbered(12)).await.unwrap();
    jobs.change_job(OTHER_TENANT, JobId(1), JobState::Running, NOW, &numbered(12)).await.unwrap();
    assert!(jobs.change_job(TENANT, JobId(1), JobState::Cancelled, NOW, &numbered(11)).await.is_err());
    assert_eq!(jobs.job(TENANT, JobId(1)).await.unwrap().unwrap().state, JobState::Paused);
    let last = listed(world, AuditFilter::default()).await;
    assert_eq!(last.iter().map(|it| it.id.0).collect::<Vec<_>>(), [11, 10, 2, 1]);
}

/// And changed and removed. The latest use of a key counts.
pub async fn operators_keys_and_uses_are_read_back(world: &World) {
    let store = &world.storage.keys;
    let key = |id: i64, name: &str| OperatorKey {
        id: OperatorKeyId(id),
        name: name.to_owned(),
        role: OperatorRole::Read,
        hash: [u8::try_from(id).unwrap(); 32],
        prefix: "hwk_1a2b".to_owned(),
        expires_at: Some(UnixMillis(NOW.0 + id)),
        created_at: NOW,
    };
    let mut keys = [key(1, "one \u{fc}"), key(2, "two")];
    for key in &keys {
        store.insert_operator_key(key, &AuditEntry::of_test()).await.unwrap();
    }
    assert_eq!(store.load_operator_keys().await.unwrap(), keys);
    let taken = [
        store.insert_operator_key(&key(3, "two"), &AuditEntry::of_test()).await,
        store.update_operator_key(&key(1, "two"), Revision::ANY, &AuditEntry::of_test()).await,
    ];
    for taken in taken {
        assert!(
            matches!(&taken, Err(StorageError::Taken { what }) if what == "the name \"two\""),
            "{taken:?}"
        );
    }
    keys[0].name = "first".to_owned();
    keys[0].role = OperatorRole::Operator;
    keys[0].expires_at = None;
    let update =
        async |key, basis| store.update_operator_key(key, basis, &AuditEntry::of_test()).await.unwrap();
    assert!(!update(&keys[0], Revision(0)).await.is_done(), "others have changed keys since");
    assert!(update(&keys[0], Revision::ANY).await.is_done());
    assert!(!update(&key(9, "none"), Revision::ANY).await.is_done());
    assert_eq!(store.load_operator_keys().await.unwrap(), keys);

    let used = |keys: &[i64], operator_keys: &[i64]| UsedKeys {
        keys: keys.iter().map(|id| KeyId(*id)).collect(),
        operator_keys: operator_keys.iter().map(|id| OperatorKeyId(*id)).collect(),
    };
    store.note_uses(&used(&[], &[1, 7]), NOW).await.unwrap();
    assert_eq!(store.operator_key_uses().await.unwrap(), [(OperatorKeyId(1), NOW)]);
    assert_eq!(store.key_uses(TENANT).await.unwrap(), []);
    let delete = async |id| {
        let id = OperatorKeyId(id);
        store.delete_operator_key(id, Revision::ANY, &AuditEntry::of_test()).await.unwrap().is_done()
    };
    assert!(delete(1).await && !delete(1).await);
    assert_eq!(store.load_operator_keys().await.unwrap(), keys[1..]);
    assert_eq!(store.operator_key_uses().await.unwrap(), []);
}
