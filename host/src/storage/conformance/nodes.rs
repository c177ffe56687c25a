//! Several nodes on one database.

use std::collections::HashSet;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::{join, join_all};

use super::ordering::{event_in_order, record_of};
use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::{
    ApiKey, DeliveryId, DeliveryState, Digest, DomainToken, Hook, HookId, KeyId, Login, PluginVersion,
    Project, Role, Scopes, SecretText, Tenant, TenantId, TenantOptions, Trigger, UnixMillis,
};
use crate::storage::{Changes, ConfigChange, ConfigItem, Revision};

/// Each delivery is leased by one node, under the lease of its claim.
pub async fn claims_of_several_nodes_are_disjoint(nodes: &[World]) {
    let hook = HookId(1);
    let stored = join_all(
        (0..100).map(|number| nodes[number % nodes.len()].delivery_in(hook, DeliveryState::Pending)),
    );
    let stored: HashSet<_> = stored.await.into_iter().collect();
    let claim = async |number: usize| {
        let node = &nodes[number % nodes.len()];
        let claimed = node.claim(hook, UnixMillis(NOW.0 + 1_000), 7).await;
        assert!(claimed.iter().all(|one| one.delivery.lease.unwrap().owner == node.node));
        claimed
    };
    let claimed = join_all((0..20).map(claim)).await.into_iter().flatten();
    let claimed: Vec<_> = claimed.map(|one| one.delivery).collect();
    assert_eq!(claimed.len(), 100);
    assert_eq!(claimed.iter().map(|one| one.id).collect::<HashSet<_>>(), stored);
    for delivery in &claimed {
        assert_eq!(nodes[0].delivery(delivery.id).await, *delivery, "all nodes see the same lease");
    }
}

/// Also with deliveries that only memory knows, and that have been claimed.
pub async fn recovery_spares_the_leases_of_other_nodes(nodes: &[World]) {
    let hook = nodes[0].stored_hook().await;
    let mut leased = Vec::new();
    for node in nodes {
        let stored = node.delivery_in(hook, DeliveryState::Delivering).await;
        node.delivery_in(hook, DeliveryState::Pending).await;
        let claimed = node.claim(hook, UnixMillis(NOW.0 + 1_000), 1).await.remove(0).delivery.id;
        leased.push([stored, claimed]);
    }
    let recovered = nodes[1].storage.deliveries.recover(nodes[1].node, NOW).await.unwrap();
    assert_eq!(recovered, 2);
    for (node, ids) in nodes.iter().zip(leased) {
        for id in ids {
            let delivery = node.delivery(id).await;
            if node.node == nodes[1].node {
                assert_eq!((delivery.state, delivery.due_at), (DeliveryState::Pending, Some(NOW)));
                assert_eq!(delivery.lease, None);
            } else {
                assert_eq!(delivery.state, DeliveryState::Delivering);
                assert_eq!(delivery.lease.unwrap().owner, node.node);
            }
        }
    }
}

/// A test is sent once, and it is not known whether it was. Leased or not; tests of other nodes go on.
pub async fn recovery_cancels_the_tests_of_its_node(nodes: &[World]) {
    let hook = nodes[0].stored_hook().await;
    let mut tests = Vec::new();
    for node in nodes {
        for lease_until in [None, Some(LEASE_END)] {
            let mut acceptance = node.event_for(hook, lease_until);
            acceptance.deliveries[0].trigger = Trigger::Test;
            tests.push((node, acceptance.deliveries[0].id));
            node.store(acceptance).await;
        }
    }
    nodes[1].storage.deliveries.recover(nodes[1].node, NOW).await.unwrap();
    for (node, id) in tests {
        let state = node.delivery(id).await.state;
        assert_eq!(
            state == DeliveryState::Cancelled,
            node.node == nodes[1].node,
            "{state} of {:?}",
            node.node
        );
    }
}

/// The slower of two nodes is told; its change is not stored.
pub async fn a_stale_compare_and_set_is_refused(nodes: &[World]) {
    let (one, other) = (&nodes[0].storage.hooks, &nodes[1].storage.hooks);
    let hook = nodes[0].hook();
    one.insert(&hook, Revision::ANY, &entry()).await.unwrap();
    let changed = |text: &str, later: i64| Hook {
        description: text.to_owned(),
        updated_at: UnixMillis(hook.updated_at.0 + later),
        ..hook.clone()
    };
    let (first, second) = (changed("first", 1), changed("second", 2));
    assert!(one.update(&first, hook.updated_at, Revision::ANY, &entry()).await.unwrap().is_done());
    let refused = other.update(&second, hook.updated_at, Revision::ANY, &entry()).await.unwrap();
    assert_eq!(refused, ConfigChange::Conflict);
    assert_eq!(other.load().await.unwrap(), std::slice::from_ref(&first));
    assert!(other.update(&second, first.updated_at, Revision::ANY, &entry()).await.unwrap().is_done());
    assert_eq!(one.load().await.unwrap(), [second]);
}

/// Whichever nodes accept, claim and record at the same time. Nothing waits for its turn for ever.
pub async fn order_holds_between_nodes(nodes: &[World]) {
    const KEYS: usize = 6;
    const EACH: usize = 30;
    let hook = nodes[0].stored_hook().await;
    let accepted: Vec<Mutex<Vec<DeliveryId>>> = (0..KEYS).map(|_| Mutex::default()).collect();
    let arrived: Vec<Mutex<Vec<DeliveryId>>> = (0..KEYS).map(|_| Mutex::default()).collect();
    let publish = async |key: usize| {
        for number in 0..EACH {
            let node = &nodes[(key + number) % nodes.len()];
            // Of half of the keys, each event is accepted while the one before is being recorded.
            while key.is_multiple_of(2) && arrived[key].lock().unwrap().len() < number {
                tokio::task::yield_now().await;
            }
            let acceptance = event_in_order(node, hook, &key.to_string());
            accepted[key].lock().unwrap().push(acceptance.deliveries[0].id);
            node.store(acceptance).await;
        }
    };
    let count = || arrived.iter().map(|of_key| of_key.lock().unwrap().len()).sum::<usize>();
    let deliver = async |node: &World| {
        while count() < KEYS * EACH {
            let now = UnixMillis(NOW.0 + 1_000);
            for claimed in node.claim(hook, now, 4).await {
                let key: usize = claimed.ordering_key.as_ref().unwrap().as_str().parse().unwrap();
                arrived[key].lock().unwrap().push(claimed.delivery.id);
                node.record(record_of(node, &claimed, DeliveryState::Succeeded, now)).await;
            }
            tokio::task::yield_now().await;
        }
    };
    let all = join(join_all((0..KEYS).map(publish)), join_all(nodes.iter().map(deliver)));
    let done = tokio::time::timeout(Duration::from_secs(120), all).await;
    assert!(done.is_ok(), "{} of {} have arrived", count(), KEYS * EACH);
    for (accepted, arrived) in accepted.iter().zip(&arrived) {
        assert_eq!(*arrived.lock().unwrap(), *accepted.lock().unwrap());
    }
}

fn plugin(tenant: TenantId, name: &str, version: u32) -> (PluginVersion, &'static [u8]) {
    let wasm = b"wasm";
    let version = PluginVersion {
        tenant: Some(tenant),
        name: name.parse().unwrap(),
        version,
        digest: Digest::of(wasm),
        roles: vec![Role::Filter],
        imports: Vec::new(),
        size_bytes: 4,
        created_at: NOW,
    };
    (version, wasm)
}

fn project(number: i64) -> Project {
    Project { tenant: TENANT, number, name: None, created_at: NOW }
}

fn login(tenant: TenantId, secret: &str) -> Login {
    Login { name: "one".to_owned(), tenant, secret: SecretText::new(secret), created_at: NOW }
}

/// Whatever rule spans rows: that no hook uses what is deleted, a limit, that logins differ.
pub async fn a_change_on_a_stale_basis_is_refused(nodes: &[World]) {
    let (one, other) = (&nodes[0].storage, &nodes[1].storage);
    let (version, wasm) = plugin(TENANT, "used", 1);
    one.plugins.insert(&version, wasm, Revision::ANY, &entry()).await.unwrap();
    one.tenants.insert_project(&project(1), Revision::ANY, &entry()).await.unwrap();
    let basis = other.directory.revision().await.unwrap();
    // Another tenant's change is no obstacle, and one of the same tenant is.
    let of_other = Hook { tenant: OTHER_TENANT, ..nodes[0].hook() };
    one.hooks.insert(&of_other, basis, &entry()).await.unwrap();
    let hook = nodes[0].hook();
    assert!(one.hooks.insert(&hook, basis, &entry()).await.unwrap().is_done());
    let token = DomainToken {
        id: "1".to_owned(),
        tenant: TENANT,
        role: String::new(),
        enabled: true,
        expires_at: NOW,
        created_at: NOW,
    };
    let (second, _) = plugin(TENANT, "used", 2);
    let refused = [
        other.plugins.delete(TENANT, &version.name, basis, &entry()).await,
        other.plugins.delete_version(TENANT, &version.name, 1, basis, &entry()).await,
        other.plugins.insert(&second, wasm, basis, &entry()).await,
        other.tenants.delete_project(TENANT, 1, basis, &entry()).await,
        other.tenants.insert_project(&project(2), basis, &entry()).await,
        other.hooks.insert(&nodes[1].hook(), basis, &entry()).await,
        other.hooks.update(&hook, hook.updated_at, basis, &entry()).await,
        other.access.insert_token(&token, basis, &entry()).await,
    ];
    for (number, change) in refused.into_iter().enumerate() {
        assert_eq!(change.unwrap(), ConfigChange::Conflict, "{number}");
    }
    let basis = other.directory.revision().await.unwrap();
    one.access.insert_login(&login(OTHER_TENANT, "same"), basis, &entry()).await.unwrap();
    let twin = other.access.insert_login(&login(TENANT, "same"), basis, &entry()).await.unwrap();
    assert_eq!(twin, ConfigChange::Conflict, "a password would be for either");
    assert!(other.access.insert_login(&login(TENANT, "another"), basis, &entry()).await.unwrap().is_done());
    let basis = other.directory.revision().await.unwrap();
    assert!(other.tenants.delete_project(TENANT, 1, basis, &entry()).await.unwrap().is_done());
    assert_eq!(
        other.tenants.delete_project(TENANT, 1, Revision::ANY, &entry()).await.unwrap(),
        ConfigChange::Missing
    );
}

/// In one step from any revision, with what each thing is now.
pub async fn all_nodes_see_what_changed(nodes: &[World]) {
    let (one, other) = (&nodes[0].storage, &nodes[1].storage);
    let start = other.directory.revision().await.unwrap();
    let changes = async |since| match other.directory.changes_since(since).await.unwrap() {
        Changes::Since { revision, changed } => (revision, changed),
        Changes::TooMany => panic!("there are few"),
    };
    assert_eq!(changes(start).await, (start, Vec::new()));
    let tenant = Tenant {
        id: TENANT,
        name: "a".to_owned(),
        client_id: None,
        options: TenantOptions::default(),
        created_at: NOW,
    };
    let key = |id: i64| ApiKey {
        id: KeyId(id),
        tenant: TENANT,
        name: String::new(),
        scopes: Scopes::all(),
        hash: [u8::try_from(id).unwrap(); 32],
        prefix: None,
        expires_at: None,
        created_at: NOW,
    };
    one.tenants.insert_tenant(&tenant, &entry()).await.unwrap();
    one.tenants.insert_key(&key(1), Revision::ANY, &entry()).await.unwrap();
    one.tenants.insert_key(&key(2), Revision::ANY, &entry()).await.unwrap();
    let hook = nodes[0].hook();
    one.hooks.insert(&hook, Revision::ANY, &entry()).await.unwrap();
    let changed = Hook { updated_at: UnixMillis(hook.updated_at.0 + 1), ..hook.clone() };
    one.hooks.update(&changed, hook.updated_at, Revision::ANY, &entry()).await.unwrap();
    let (version, wasm) = plugin(TENANT, "p", 1);
    one.plugins.insert(&version, wasm, Revision::ANY, &entry()).await.unwrap();
    one.access.insert_login(&login(TENANT, "secret"), Revision::ANY, &entry()).await.unwrap();
    let (middle, seen) = changes(start).await;
    let expected = [
        ConfigItem::Tenant(TENANT, Some(tenant)),
        ConfigItem::Key(TENANT, KeyId(1), Some(key(1))),
        ConfigItem::Key(TENANT, KeyId(2), Some(key(2))),
        ConfigItem::Hook(TENANT, hook.id, Some(Box::new(changed))),
        ConfigItem::Plugin(TENANT, version.name.clone(), vec![version.clone()]),
        ConfigItem::Login(TENANT, "one".to_owned(), Some(login(TENANT, "secret"))),
    ];
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    assert!(expected.iter().all(|item| seen.contains(item)), "{seen:?}");
    // What was revoked is gone for all.
    assert!(one.tenants.delete_key(TENANT, KeyId(1), &entry()).await.unwrap().is_done());
    one.hooks.delete(TENANT, hook.id, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    assert!(one.plugins.delete(TENANT, &version.name, Revision::ANY, &entry()).await.unwrap().is_done());
    let (end, seen) = changes(middle).await;
    assert_eq!(end.0, middle.0 + 3);
    for gone in [
        ConfigItem::Key(TENANT, KeyId(1), None),
        ConfigItem::Hook(TENANT, hook.id, None),
        ConfigItem::Plugin(TENANT, version.name, Vec::new()),
    ] {
        assert!(seen.contains(&gone), "{seen:?}");
    }
    assert_eq!(changes(end).await, (end, Vec::new()));
    assert!(NOW < LEASE_END);
}
