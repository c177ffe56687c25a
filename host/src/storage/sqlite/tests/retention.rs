//! What deletions leave.

use super::*;
use crate::storage::sqlite::messages::Message;
use crate::storage::sqlite::purge::{Purge, PurgedEvent};
use crate::storage::sqlite::tenant_deletions::REST;

async fn number(storage: &SqliteDatabase, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(&storage.stores.readers).await.unwrap()
}

/// A delivery of it was made after it was read.
#[tokio::test]
async fn an_event_that_has_changed_since_it_was_read_is_kept() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let hook = world.stored_hook().await;
    let delivery = world.delivery_in(hook, DeliveryState::Succeeded).await;
    let key = world.delivery(delivery).await.event;
    let read = PurgedEvent { key, tenant: TENANT, named: None, deliveries: Vec::new(), left: None };
    let purged = storage.stores.submit(Message::Purge, Purge(vec![read])).await.unwrap();
    assert_eq!((purged.deleted.events, purged.kept), (0, vec![key]));
    assert_eq!(world.delivery(delivery).await.state, DeliveryState::Succeeded);
}

#[tokio::test]
async fn what_was_to_be_sent_of_an_erased_event_is_removed() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let hook = world.stored_hook().await;
    let delivery = world.delivery_in(hook, DeliveryState::Waiting).await;
    let requests = "SELECT count(*) FROM rendered_requests";
    assert_eq!(number(&storage, requests).await, 1);
    let event = EventId::of_key(world.delivery(delivery).await.event);
    world.storage.retention.erase(TENANT, &event, NOW).await.unwrap();
    assert_eq!(number(&storage, requests).await, 0);
}

#[tokio::test]
async fn space_of_deleted_events_is_given_back() {
    let (stores, (storage, _dir)) = open_new().await;
    let world = World::new(stores);
    let mut events = Vec::new();
    for _ in 0..40 {
        let mut acceptance = world.event();
        Arc::make_mut(&mut acceptance.event).data = format!("\"{}\"", "7".repeat(1 << 20)).into();
        events.push(acceptance.event.key);
        world.store(acceptance).await;
    }
    let pages = "SELECT page_count FROM pragma_page_count";
    let full = number(&storage, pages).await;
    assert_eq!(world.storage.retention.delete_events(&events).await.unwrap().deleted.events, 40);
    let mut steps = 0;
    while world.storage.retention.tidy(NOW).await.unwrap() {
        steps += 1;
        assert!(steps < 1_000);
    }
    let left = number(&storage, pages).await;
    assert!(left < full / 2, "{left} of {full} pages");
}

/// A table that is forgotten would keep rows of deleted tenants for ever.
#[tokio::test]
async fn a_deletion_knows_all_tables_with_tenants() {
    // Deliveries and events go first, with what belongs to them. The last three are kept.
    let others = [
        "deliveries",
        "kept_bodies",
        "delivery_notes",
        "erased_events",
        "events",
        "audit_log",
        "directory_changes",
        "tenant_deletions",
    ];
    let (_, (storage, _dir)) = open_new().await;
    let sql = "SELECT t.name FROM sqlite_schema t WHERE t.type = 'table' AND EXISTS \
        (SELECT 1 FROM pragma_table_info(t.name) c WHERE c.name IN ('tenant_id', 'owner'))";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&storage.stores.readers).await.unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    for table in
        tables.iter().filter(|table| !others.contains(&table.as_str()) && *table != "plugin_versions")
    {
        let statement = format!("DELETE FROM {table} WHERE ");
        assert!(REST.iter().any(|sql| sql.contains(&statement)), "{table}");
    }
}
