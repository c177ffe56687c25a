//! What is PostgreSQL's own about deleting.

use std::sync::Arc;

use super::*;
use crate::domain::{EventId, EventKey, UnixMillis};
use crate::storage::postgres::tenant_deletions::REST;
use crate::storage::{Acceptance, Accepted};

#[tokio::test]
async fn one_of_several_nodes_deletes_until_it_is_silent() {
    let database = create!();
    let (one, two) = (database.open("one").await, database.open("two").await);
    let takes = async |opened: &PostgresDatabase| {
        let node = opened.node().await.unwrap();
        opened.stores().retention.takes_lease(node).await.unwrap()
    };
    assert_eq!([takes(&one).await, takes(&two).await, takes(&one).await], [true, false, true]);
    let sql = "UPDATE engine_state SET value = convert_to(split_part(convert_from(value, 'UTF8'), ' ', 1) || ' 1', 'UTF8') \
        WHERE name = 'retention'";
    run(&database, sql).await;
    assert_eq!([takes(&two).await, takes(&one).await], [true, false]);
}

/// An event with the id `name` at a time.
fn named(world: &World, name: &str, at: UnixMillis) -> Acceptance {
    let mut acceptance = world.event();
    let event = Arc::make_mut(&mut acceptance.event);
    (event.key, event.id) = (EventKey::first_at(at), EventId::from_sender(name).unwrap());
    acceptance.content = [1; 32];
    acceptance
}

#[tokio::test]
async fn only_names_of_old_events_are_forgotten() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let at = |seconds: i64| UnixMillis(NOW.0 + seconds * 1_000);
    for (name, seconds) in [("early", 10), ("late", 20)] {
        world.store(named(&world, name, at(seconds))).await;
    }
    assert_eq!(world.storage.retention.forget_names(NOW, at(15), 100).await.unwrap(), 1);
    for (name, seconds, is_known) in [("early", 30, false), ("late", 40, true)] {
        let accepted = world.storage.events.accept(vec![named(&world, name, at(seconds))]).await.unwrap();
        assert_eq!(matches!(accepted[..], [Accepted::Duplicate { .. }]), is_known, "{name}: {accepted:?}");
    }
}

#[tokio::test]
async fn a_tenant_is_not_at_rest_while_another_node_may_send() {
    let database = create!();
    let opened = database.open("one").await;
    let world = world(&opened).await;
    let hook = world.stored_hook().await;
    let is_at_rest =
        async |at: i64| world.storage.tenant_deletions.is_at_rest(TENANT, UnixMillis(at)).await.unwrap();
    assert!(is_at_rest(NOW.0).await);
    // Only its event names it.
    world.store(world.event_for(hook, Some(LEASE_END))).await;
    assert!(!is_at_rest(NOW.0).await);
    assert!(is_at_rest(LEASE_END.0 + 1).await);
    let claimed = world.delivery_in(hook, DeliveryState::Pending).await;
    assert_eq!(world.claim(hook, NOW, 1).await[0].delivery.id, claimed);
    assert_eq!([is_at_rest(NOW.0).await, is_at_rest(LEASE_END.0 + 1).await], [false, true]);
}

/// A table that is forgotten would keep rows of deleted tenants for ever.
#[tokio::test]
async fn a_deletion_knows_all_tables_with_tenants() {
    // Deliveries and events go first, with what belongs to them. The last three are kept.
    let others = [
        "unfinished_deliveries",
        "finished_deliveries",
        "delivery_notes",
        "kept_bodies",
        "erased_events",
        "events",
        "audit_log",
        "directory_changes",
        "tenant_deletions",
    ];
    let database = create!();
    let opened = database.open("one").await;
    let sql = "SELECT DISTINCT c.relname::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid \
        WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace \
        AND a.attname IN ('tenant_id', 'owner')";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(opened.stores.pool()).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in tables.iter().filter(|table| !others.contains(&table.as_str())) {
        let statement = format!("DELETE FROM {table} WHERE ");
        assert!(REST.iter().any(|sql| sql.contains(&statement)), "{table}");
    }
}
