use futures_util::FutureExt as _;

use std::sync::Arc;

use super::cache::MAX_CHANGES;
use super::*;
use crate::clock::SystemClock;
use crate::domain::ids::IdGenerator;
use crate::domain::{Actor, ActorKind, Hook, Scopes, Step, TenantId};
use crate::storage::conformance::World;
use crate::storage::sqlite::{self, SqliteOptions};

const ONE: TenantId = TenantId(1);
const OTHER: TenantId = TenantId(2);

#[tokio::test]
async fn changes_of_a_tenant_wait_in_a_bounded_queue_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let ids = Arc::new(IdGenerator::new(0, 0));
    let directory = Directory::load(storage.stores(), ids, SystemClock::shared()).await.unwrap();
    let held = directory.permit_change(TenantId(3)).await.unwrap();
    let mut many: Vec<_> = (0..MAX_CHANGES).map(|_| directory.permit_change(ONE).boxed()).collect();
    assert!(many.iter_mut().all(|change| change.now_or_never().is_none()));
    let mut other = directory.permit_change(OTHER).boxed();
    assert!((&mut other).now_or_never().is_none());
    let refused = directory.permit_change(ONE).now_or_never().expect("it is refused at once");
    assert!(matches!(refused, Err(DirectoryError::TooManyChanges)));
    drop(held);
    let first = many.remove(0).now_or_never().expect("it came first").unwrap();
    assert!((&mut other).now_or_never().is_none());
    drop(first);
    assert!(many.iter_mut().all(|change| change.now_or_never().is_none()), "one came before another tenant");
    assert!(other.now_or_never().is_some());
}

/// As two nodes on one database.
#[tokio::test]
async fn a_directory_follows_what_another_one_changes() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let load =
        |node| Directory::load(storage.stores(), Arc::new(IdGenerator::new(node, 0)), SystemClock::shared());
    let (one, other) = (load(0).await.unwrap(), load(1).await.unwrap());
    let world = World::new(storage.stores());
    let tenant = one.by(&Actor::ENGINE).create_tenant("a".to_owned(), None).await.unwrap().id;
    let (key, _) =
        one.by(&Actor::ENGINE).create_key(tenant, "key".to_owned(), Scopes::all(), None).await.unwrap();
    one.by(&Actor::ENGINE).create_project(tenant, 7, None).await.unwrap();
    let hook = one.by(&Actor::ENGINE).create_hook(Hook { tenant, ..world.hook() }).await.unwrap();
    assert!(other.authenticate(&key.hash).is_err());
    other.follow().await.unwrap();
    assert!(other.authenticate(&key.hash).is_ok() && other.has_project(tenant, 7));
    assert_eq!(other.hook(hook.id), Some(Arc::clone(&hook)));

    // The other one deletes the project while a hook is made for it.
    assert!(other.by(&Actor::ENGINE).delete_project(tenant, 7).await.unwrap());
    let of_project = Hook { tenant, project: Some(7), ..world.hook() };
    let refused = one.by(&Actor::ENGINE).create_hook(of_project.clone()).await;
    assert!(matches!(refused, Err(DirectoryError::InUse(_))), "{refused:?}");
    let refused = one.by(&Actor::ENGINE).create_hook(of_project).await;
    assert!(matches!(refused, Err(DirectoryError::NoProject(7))), "by now it has followed: {refused:?}");

    // Both change one hook.
    let disable = |hook: &Hook| Ok::<_, DirectoryError>(Hook { enabled: false, ..hook.clone() });
    one.by(&Actor::ENGINE).change_hook(tenant, hook.id, disable).await.unwrap().unwrap();
    let describe =
        |hook: &Hook| Ok::<_, DirectoryError>(Hook { description: "b".to_owned(), ..hook.clone() });
    let refused = other.by(&Actor::ENGINE).change_hook(tenant, hook.id, describe).await;
    assert!(matches!(refused, Err(DirectoryError::InUse(_))), "{refused:?}");
    let changed = other.by(&Actor::ENGINE).change_hook(tenant, hook.id, describe).await.unwrap().unwrap();
    assert!(!changed.enabled, "the other change is not lost");

    // What one knows is as it should be, and is not so any more.
    let actor = Actor { kind: ActorKind::Key, ..Actor::ENGINE };
    let refused = one.by(&actor).change_hook(tenant, hook.id, disable).await;
    assert!(matches!(refused, Err(DirectoryError::InUse(_))), "{refused:?}");
    let same = one.by(&actor).change_hook(tenant, hook.id, disable).await.unwrap().unwrap();
    assert_eq!(same, changed, "by now it has followed, and nothing is stored");

    assert!(other.by(&Actor::ENGINE).delete_key(tenant, key.id).await.unwrap());
    one.follow().await.unwrap();
    assert!(one.authenticate(&key.hash).is_err(), "a deleted key is refused by all");
    assert_eq!(one.hook(hook.id), Some(changed));
}

/// Else a change that takes long would make the node refuse all requests.
#[tokio::test]
async fn a_directory_is_compared_while_a_change_is_under_way() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let load =
        |node| Directory::load(storage.stores(), Arc::new(IdGenerator::new(node, 0)), SystemClock::shared());
    let (one, other) = (load(0).await.unwrap(), load(1).await.unwrap());
    one.by(&Actor::ENGINE).create_tenant("a".to_owned(), None).await.unwrap();
    let under_way = one.mutation.lock().await;
    assert!(!one.follow().await.unwrap().any);
    other.follow().await.unwrap();
    other.by(&Actor::ENGINE).create_tenant("b".to_owned(), None).await.unwrap();
    let waits = tokio::spawn({
        let one = Arc::clone(&one);
        async move { one.follow().await }
    });
    drop(under_way);
    assert!(waits.await.unwrap().unwrap().any, "what others changed is taken over after it");
}

/// So that the first delivery on another node does not wait for the compiler.
#[tokio::test]
async fn following_tells_which_plugins_the_changed_hooks_need() {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let load =
        |node| Directory::load(storage.stores(), Arc::new(IdGenerator::new(node, 0)), SystemClock::shared());
    let (one, other) = (load(0).await.unwrap(), load(1).await.unwrap());
    let world = World::new(storage.stores());
    let tenant = one.by(&Actor::ENGINE).create_tenant("a".to_owned(), None).await.unwrap().id;
    let mut hook = Hook { tenant, ..world.hook() };
    hook.pipeline.0 = vec![Step { plugin: "field-map".parse().unwrap(), settings: "{}".into() }];
    let digest = one.plugin(tenant, &hook.pipeline.0[0].plugin).unwrap().digest;
    one.by(&Actor::ENGINE).create_hook(hook.clone()).await.unwrap();
    one.by(&Actor::ENGINE).create_hook(Hook { tenant, ..world.hook() }).await.unwrap();
    assert_eq!(other.follow().await.unwrap().needed, [(tenant, digest)]);
    assert_eq!(other.follow().await.unwrap().needed, []);
    one.by(&Actor::ENGINE).create_hook(Hook { enabled: false, id: world.hook().id, ..hook }).await.unwrap();
    assert_eq!(other.follow().await.unwrap().needed, [], "a disabled hook runs nothing");
}
