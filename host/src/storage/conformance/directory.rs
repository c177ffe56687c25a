//! Tenants, hooks and plugins.

use std::time::Duration;

use super::{NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::receiver_options::{Handshake, ReceiverOptions};
use crate::domain::testing::receiver_options;
use crate::domain::{
    ApiKey, Authorization, BatchFormat, BatchOptions, Digest, DomainToken, Flow, Hook, HookId, HookOptions,
    KeyId, Login, Origin, Pipeline, PluginVersion, Project, Rate, RetrySchedule, Role, Scope, Scopes,
    SecretText, Signing, SigningSecret, Step, Subscription, Surface, Tenant, TenantId, TenantOptions,
    UnixMillis,
};
use crate::storage::{Changes, ConfigChange, ConfigItem, Revision, StorageError, UsedKeys};

fn tenant(id: i64, name: &str, client_id: Option<i64>) -> Tenant {
    let options = TenantOptions::default();
    Tenant { id: TenantId(id), name: name.to_owned(), client_id, options, created_at: NOW }
}

fn project(tenant: TenantId, number: i64, name: Option<&str>) -> Project {
    Project { tenant, number, name: name.map(str::to_owned), created_at: NOW }
}

fn key(id: i64, hash: u8, scopes: Scopes) -> ApiKey {
    let name = "for \"people\"".to_owned();
    ApiKey {
        id: KeyId(id),
        tenant: TENANT,
        name,
        scopes,
        hash: [hash; 32],
        prefix: Some("hwk_1a2b".to_owned()),
        expires_at: (id == 2).then_some(UnixMillis(NOW.0 + 1)),
        created_at: NOW,
    }
}

fn taken<T: std::fmt::Debug>(result: Result<T, StorageError>) -> String {
    match result.unwrap_err() {
        StorageError::Taken { what } => what,
        other => panic!("{other:?}"),
    }
}

/// And removed again, by their own tenant only.
pub async fn tenants_projects_and_keys_are_read_back(world: &World) {
    let store = &world.storage.tenants;
    let tenants =
        [tenant(41, "shop.example", Some(7)), tenant(42, "\u{fc}", None), tenant(43, "third", None)];
    let projects =
        [project(TENANT, 1, None), project(TENANT, 2, Some("two")), project(OTHER_TENANT, 1, None)];
    let some: Scopes = [Scope::EventsWrite, Scope::ProjectsRead].into_iter().collect();
    let keys = [key(1, 1, Scopes::all()), key(2, 2, some), key(3, 3, Scopes::default())];
    for tenant in &tenants {
        store.insert_tenant(tenant, &entry()).await.unwrap();
    }
    for project in &projects {
        store.insert_project(project, Revision::ANY, &entry()).await.unwrap();
    }
    for key in &keys {
        store.insert_key(key, Revision::ANY, &entry()).await.unwrap();
    }
    let mut tenants = tenants;
    tenants[1].options.paused_since = Some(NOW);
    tenants[1].options.max_per_second = Some(Rate::nearest(0.3));
    assert!(store.update_tenant(&tenants[1], Revision::ANY, &entry()).await.unwrap().is_done());
    assert_eq!(
        store.update_tenant(&tenant(99, "x", None), Revision::ANY, &entry()).await.unwrap(),
        ConfigChange::Missing
    );
    assert_eq!(store.load().await.unwrap(), (tenants.to_vec(), projects.to_vec(), keys.to_vec()));
    for (tenant, done) in [(OTHER_TENANT, false), (TENANT, true), (TENANT, false)] {
        assert_eq!(store.delete_project(tenant, 2, Revision::ANY, &entry()).await.unwrap().is_done(), done);
        assert_eq!(store.delete_key(tenant, KeyId(2), &entry()).await.unwrap().is_done(), done);
    }
    let (_, left_projects, left_keys) = store.load().await.unwrap();
    assert_eq!((left_projects.len(), left_keys.len()), (2, 2));
}

/// By their own tenant only; a key that does not exist is not replaced.
pub async fn keys_are_changed_and_replaced(world: &World) {
    let store = &world.storage.tenants;
    let mut one = key(1, 1, Scopes::all());
    store.insert_key(&one, Revision::ANY, &entry()).await.unwrap();
    (one.name, one.expires_at) = ("changed".to_owned(), Some(NOW));
    let update = async |key: &ApiKey, basis| store.update_key(key, basis, &entry()).await.unwrap();
    assert_eq!(update(&one, Revision(0)).await, ConfigChange::Conflict);
    assert!(update(&one, Revision::ANY).await.is_done());
    assert_eq!(
        update(&ApiKey { tenant: OTHER_TENANT, ..one.clone() }, Revision::ANY).await,
        ConfigChange::Missing
    );
    let before = world.storage.directory.revision().await.unwrap();
    let new = key(3, 3, Scopes::default());
    one.expires_at = Some(UnixMillis(NOW.0 + 7));
    let rotate = async |old: &ApiKey, new: &ApiKey, basis| store.rotate_key(old, new, basis, &entry()).await;
    assert_eq!(rotate(&key(9, 9, Scopes::all()), &new, before).await.unwrap(), ConfigChange::Missing);
    assert_eq!(rotate(&one, &new, Revision(0)).await.unwrap(), ConfigChange::Conflict);
    assert!(rotate(&one, &one, before).await.is_err(), "both or none");
    assert!(rotate(&one, &new, before).await.unwrap().is_done());
    assert_eq!(store.load().await.unwrap().2, [one.clone(), new.clone()]);
    // Others learn of both.
    let changes = world.storage.directory.changes_since(before).await.unwrap();
    let Changes::Since { changed, .. } = changes else { panic!("{changes:?}") };
    for key in [one, new] {
        assert!(changed.contains(&ConfigItem::Key(TENANT, key.id, Some(key.clone()))), "{changed:?}");
    }
    for (now, used) in [(NOW.0, vec![1]), (NOW.0 + 9, vec![1, 3])] {
        let keys = used.into_iter().map(KeyId).collect();
        let used = UsedKeys { keys, operator_keys: Vec::new() };
        world.storage.keys.note_uses(&used, UnixMillis(now)).await.unwrap();
    }
    let mut uses = world.storage.keys.key_uses(TENANT).await.unwrap();
    uses.sort_unstable();
    let last = UnixMillis(NOW.0 + 9);
    assert_eq!(uses, [(KeyId(1), last), (KeyId(3), last)]);
    assert_eq!(world.storage.keys.key_uses(OTHER_TENANT).await.unwrap(), []);
}

/// Says what is taken; what is refused leaves nothing behind, and stops nothing.
pub async fn a_taken_name_is_refused(world: &World) {
    let store = &world.storage.tenants;
    store.insert_tenant(&tenant(1, "demo", Some(7)), &entry()).await.unwrap();
    assert_eq!(taken(store.insert_tenant(&tenant(2, "demo", Some(8)), &entry()).await), "the name \"demo\"");
    assert_eq!(taken(store.insert_tenant(&tenant(2, "other", Some(7)), &entry()).await), "the client id 7");
    store.insert_tenant(&tenant(2, "other", Some(8)), &entry()).await.unwrap();
    store.insert_project(&project(TENANT, 5, None), Revision::ANY, &entry()).await.unwrap();
    assert_eq!(
        taken(store.insert_project(&project(TENANT, 5, Some("x")), Revision::ANY, &entry()).await),
        "the project number 5"
    );
    store.insert_key(&key(1, 1, Scopes::all()), Revision::ANY, &entry()).await.unwrap();
    assert_eq!(taken(store.insert_key(&key(2, 1, Scopes::all()), Revision::ANY, &entry()).await), "the key");
    let hook = world.hook();
    world.storage.hooks.insert(&hook, Revision::ANY, &entry()).await.unwrap();
    assert_eq!(
        taken(world.storage.hooks.insert(&hook, Revision::ANY, &entry()).await),
        format!("the id {}", hook.id)
    );
    world.store(world.event()).await;
}

/// And changed and removed, by their own tenant only. What is taken is refused.
pub async fn logins_and_tokens_are_read_back(world: &World) {
    let store = &world.storage.access;
    let login = |name: &str, tenant| {
        let secret = SecretText::new(format!("secret of {name} \u{fc}"));
        Login { name: name.to_owned(), tenant, secret, created_at: NOW }
    };
    let token = |id: &str, tenant| {
        let (role, expires_at) = ("admin \u{fc}".to_owned(), UnixMillis(NOW.0 + 1));
        DomainToken { id: id.to_owned(), tenant, role, enabled: true, expires_at, created_at: NOW }
    };
    let logins = [login("a", TENANT), login("b", OTHER_TENANT)];
    let mut tokens = [token("1", TENANT), token("2", OTHER_TENANT)];
    for (login, token) in logins.iter().zip(&tokens) {
        store.insert_login(login, Revision::ANY, &entry()).await.unwrap();
        store.insert_token(token, Revision::ANY, &entry()).await.unwrap();
    }
    assert_eq!(
        taken(store.insert_login(&login("a", TENANT), Revision::ANY, &entry()).await),
        "the login \"a\""
    );
    // Another tenant may have one of the same name.
    store.insert_login(&login("a", OTHER_TENANT), Revision::ANY, &entry()).await.unwrap();
    assert!(store.delete_login(OTHER_TENANT, "a", &entry()).await.unwrap().is_done());
    assert_eq!(
        taken(store.insert_token(&token("1", OTHER_TENANT), Revision::ANY, &entry()).await),
        "the token 1"
    );
    assert!(!store.enable_token(OTHER_TENANT, "1", false, &entry()).await.unwrap().is_done());
    assert!(store.enable_token(TENANT, "1", false, &entry()).await.unwrap().is_done());
    tokens[0].enabled = false;
    assert_eq!(store.load().await.unwrap(), (logins.to_vec(), tokens.to_vec()));
    for (tenant, done) in [(OTHER_TENANT, false), (TENANT, true), (TENANT, false)] {
        assert_eq!(store.delete_login(tenant, "a", &entry()).await.unwrap().is_done(), done);
        assert_eq!(store.delete_token(tenant, "1", &entry()).await.unwrap().is_done(), done);
    }
    assert_eq!(store.load().await.unwrap(), (logins[1..].to_vec(), tokens[1..].to_vec()));
}

fn elaborate(hook: Hook) -> Hook {
    let mut old = SigningSecret::from_bytes(vec![1; 24]).unwrap();
    old.expires_at = Some(UnixMillis(NOW.0 + 5));
    let step =
        |plugin: &str, settings: &str| Step { plugin: plugin.parse().unwrap(), settings: settings.into() };
    let patterns = ["session.*", "CUSTOM->engine::x", "*"];
    let max_wait = std::time::Duration::from_millis(1_500);
    let batch = BatchOptions { max_events: 50, max_wait, format: BatchFormat::CloudEvents };
    let flow = Flow { max_in_flight: Some(7), max_per_second: Some(Rate::nearest(0.3)), batch: Some(batch) };
    Hook {
        url: Hook::parse_url("http://[::1]:8080/%2F?q=\u{fc}").unwrap(),
        subscription: Subscription::new(patterns.map(|text| text.parse().unwrap()).to_vec()).unwrap(),
        origin: Origin { surface: Surface::Webitel, members: r#"{"map":{"b":"a"}}"#.into() },
        project: Some(1_249_918),
        authorization: Some(Authorization { value: SecretText::new("Basic \u{fc}"), enabled: false }),
        preflight: Pipeline(vec![step("first", "{\"url\":\"x\"}")]),
        enabled: false,
        description: "f\u{fc}r\n'people'".to_owned(),
        headers: vec![("x-a".into(), "1".into()), ("X-A".into(), "2".into())],
        masked_headers: vec!["x-b".into(), "x-c".into()],
        options: HookOptions {
            paused: true,
            paused_since: Some(NOW),
            receiver: Some(Box::new(receiver_options())),
            flow: flow.into_option(),
            ..HookOptions::default()
        },
        pipeline: Pipeline(vec![
            step("latest", "{}"),
            step("name@3", "{\"a\": [1.0,  2]}"),
            step(&Digest::of(b"x").to_string(), "{\"script\":\"\\n\"}"),
        ]),
        timeout: Duration::from_millis(1_234),
        retry: RetrySchedule::new(vec![Duration::from_secs(1), Duration::from_millis(1)]).unwrap(),
        signing: Signing::None,
        secrets: vec![SigningSecret::from_bytes(vec![2; 64]).unwrap(), old],
        updated_at: UnixMillis(NOW.0 + 1),
        ..hook
    }
}

/// Every field, with an empty schedule and no secret, too.
pub async fn hooks_are_read_back_and_replaced(world: &World) {
    let store = &world.storage.hooks;
    let mut expected = [world.hook(), elaborate(world.hook()), world.hook()];
    expected[2].retry = RetrySchedule::new(Vec::new()).unwrap();
    expected[2].secrets = Vec::new();
    expected[2].signing = Signing::Both;
    expected[2].options.receiver = Some(Box::new(ReceiverOptions {
        handshake: Some(Handshake::pending(None, NOW)),
        ..ReceiverOptions::default()
    }));
    for hook in &expected {
        store.insert(hook, Revision::ANY, &entry()).await.unwrap();
    }
    assert_eq!(store.load().await.unwrap(), expected);
    let before = [expected[0].updated_at, expected[1].updated_at];
    expected[0] = elaborate(expected[0].clone());
    expected[1] = Hook { id: expected[1].id, ..world.hook() };
    for (hook, before) in expected[..2].iter().zip(before) {
        assert!(store.update(hook, before, Revision::ANY, &entry()).await.unwrap().is_done());
    }
    assert_eq!(store.load().await.unwrap(), expected);
}

/// Another tenant neither changes nor deletes it.
pub async fn a_hook_belongs_to_its_tenant(world: &World) {
    let store = &world.storage.hooks;
    let hook = world.hook();
    store.insert(&hook, Revision::ANY, &entry()).await.unwrap();
    let stranger = Hook { tenant: OTHER_TENANT, secrets: Vec::new(), ..hook.clone() };
    for stranger in [stranger, Hook { id: HookId(1), ..hook.clone() }] {
        let change = store.update(&stranger, hook.updated_at, Revision::ANY, &entry()).await.unwrap();
        assert_eq!(change, ConfigChange::Missing);
    }
    assert!(store.delete(OTHER_TENANT, hook.id, &entry()).await.unwrap().is_none());
    assert_eq!(store.load().await.unwrap(), std::slice::from_ref(&hook));
    store.delete(TENANT, hook.id, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    assert_eq!(store.load().await.unwrap(), []);
}

fn version(tenant: Option<TenantId>, name: &str, version: u32, wasm: &[u8]) -> PluginVersion {
    PluginVersion {
        tenant,
        name: name.parse().unwrap(),
        version,
        digest: Digest::of(wasm),
        roles: vec![Role::Filter, Role::Transformer],
        imports: vec!["hookwright:plugin/log@1.0.0".to_owned()],
        size_bytes: wasm.len() as u64,
        created_at: NOW,
    }
}

/// For all tenants together.
pub async fn wasm_is_stored_once_and_removed_with_the_last_version(world: &World) {
    let store = &world.storage.plugins;
    let (big, small) = (vec![7; 3_000_000], vec![8; 10]);
    let versions = [
        (version(None, "standard", 1, &small), &small),
        (version(Some(TENANT), "a", 1, &big), &big),
        (version(Some(TENANT), "a", 2, &small), &small),
        (version(Some(TENANT), "b", 1, &big), &big),
        (version(Some(OTHER_TENANT), "a", 1, &big), &big),
    ];
    for (version, wasm) in &versions {
        store.insert(version, wasm, Revision::ANY, &entry()).await.unwrap();
    }
    assert_eq!(store.load().await.unwrap(), versions.clone().map(|(version, _)| version));
    let again = store.insert(&versions[2].0, &small, Revision::ANY, &entry()).await;
    assert_eq!(taken(again), "version 2 of the plugin \"a\"");
    let has = async |wasm: &[u8]| store.wasm(&Digest::of(wasm)).await.unwrap().as_deref() == Some(wasm);
    assert_eq!(store.wasm(&Digest::of(b"unknown")).await.unwrap(), None);
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    let rows = [(TENANT, &a, true), (TENANT, &a, false), (OTHER_TENANT, &b, false), (OTHER_TENANT, &a, true)];
    for (tenant, name, done) in rows {
        assert_eq!(store.delete(tenant, name, Revision::ANY, &entry()).await.unwrap().is_done(), done);
        assert!(has(&big).await && has(&small).await);
    }
    assert!(store.delete(TENANT, &b, Revision::ANY, &entry()).await.unwrap().is_done());
    assert_eq!(store.wasm(&Digest::of(&big)).await.unwrap(), None);
    assert!(has(&small).await, "the standard plugin has it");
    assert_eq!(store.load().await.unwrap(), [versions[0].0.clone()]);
}
