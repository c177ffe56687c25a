//! Deletes events with all that belongs to them, as a part of the writer's transactions.
//!
//! An event is read before, outside the transaction. In it, the event is deleted only if its row names the same deliveries
//! still, all of them have rows, and none can be sent any more.

use std::collections::HashSet;

use sqlx::sqlite::SqliteConnection;

use super::messages::Message;
use super::purge::{Purge, PurgedEvent};
use super::rowless::SharedRowless;
use super::rows::{from_json, to_json};
use super::script::{is_among, json_ids, json_keys};
use super::stores::SqliteStores;
use crate::domain::{DeliveryId, EventKey, TenantId};
use crate::storage::{Deleted, Purged, StorageError};

/// How many deliveries one transaction deletes, at most, of events with many.
const MAX_DELIVERIES: usize = 100;
/// About how many rows one transaction deletes: less than a millisecond of work.
const MAX_ROWS: usize = 160;

/// A delivery in an event's row: its id less the event's key, and its hook.
type Named = (i64, i64);

impl SqliteStores {
    /// Deletes events; see [`crate::storage::RetentionStore::delete_events`].
    pub(super) async fn purge_events(&self, keys: &[EventKey]) -> Result<Purged, StorageError> {
        let sql =
            "SELECT key, tenant_id, deliveries FROM events WHERE key IN (SELECT value FROM json_each(?))";
        let query = sqlx::query_as(sql).bind(json_ids(keys.iter().map(|key| key.0)));
        let rows: Vec<(i64, i64, Option<String>)> = query.fetch_all(&self.readers).await?;
        let mut events = Vec::new();
        for (key, tenant, named) in rows {
            let all = named.as_deref().map(|text| from_json::<Vec<Named>>("event", text)).transpose();
            let all = all.map_err(|error| error.in_row("events", EventKey(key), key))?;
            events.push((EventKey(key), TenantId(tenant), named, all.unwrap_or_default()));
        }
        let (mut done, mut next) = (Purged::default(), Purge::default());
        for (key, tenant, named, all) in events {
            if all.len() > MAX_DELIVERIES {
                self.purge_large((key, tenant), named, all, &mut done).await?;
                continue;
            }
            let deliveries = all.iter().map(|(offset, _)| DeliveryId(key.0 + offset)).collect();
            next.0.push(PurgedEvent { key, tenant, named, deliveries, left: None });
            if next.rows() >= MAX_ROWS {
                self.submit_purge(std::mem::take(&mut next), &mut done).await?;
            }
        }
        self.submit_purge(next, &mut done).await?;
        Ok(done)
    }

    /// An event with many deliveries goes in steps: its row names what is left.
    async fn purge_large(
        &self,
        (key, tenant): (EventKey, TenantId),
        mut named: Option<String>,
        mut all: Vec<Named>,
        done: &mut Purged,
    ) -> Result<(), StorageError> {
        let ids =
            |some: &[Named]| some.iter().map(|(offset, _)| DeliveryId(key.0 + offset)).collect::<Vec<_>>();
        let mut connection = self.readers.acquire().await?;
        let keys = json_keys(all.iter().map(|(offset, _)| (tenant.0, key.0 + offset)));
        if !unfinished(&mut connection, keys).await?.is_empty() {
            done.kept.push(key);
            return Ok(());
        }
        drop(connection);
        while !done.kept.contains(&key) {
            let rest = all.split_off(all.len().min(MAX_DELIVERIES));
            let left = if rest.is_empty() { None } else { Some(to_json(&rest)?) };
            let event = PurgedEvent { key, tenant, named, deliveries: ids(&all), left: left.clone() };
            self.submit_purge(Purge(vec![event]), done).await?;
            if left.is_none() {
                break;
            }
            (named, all) = (left, rest);
        }
        Ok(())
    }

    async fn submit_purge(&self, purge: Purge, done: &mut Purged) -> Result<(), StorageError> {
        if purge.0.is_empty() {
            return Ok(());
        }
        let Purged { deleted, kept } = self.submit(Message::Purge, purge).await?;
        done.deleted.add(deleted);
        done.kept.extend(kept);
        Ok(())
    }
}

/// The events of those among the deliveries with these [`json_keys`] that are not final.
async fn unfinished(connection: &mut SqliteConnection, keys: String) -> Result<Vec<i64>, StorageError> {
    let sql = "SELECT DISTINCT d.event_key FROM json_each(?) w CROSS JOIN deliveries d \
        ON d.tenant_id = w.value ->> 0 AND d.id = w.value ->> 1 WHERE d.state < 3";
    Ok(sqlx::query_scalar(sql).bind(keys).fetch_all(connection).await?)
}

/// Deletes what can be deleted, within the writer's transaction.
pub async fn purge(
    connection: &mut SqliteConnection,
    purge: &Purge,
    rowless: &SharedRowless,
) -> Result<Purged, StorageError> {
    let deliveries_of = |events: &[&PurgedEvent]| -> Vec<(TenantId, DeliveryId)> {
        events.iter().flat_map(|it| it.deliveries.iter().map(|id| (it.tenant, *id))).collect()
    };
    // What has no row yet is in memory, and only the writer changes that.
    let in_memory = {
        let rowless = rowless.lock();
        purge.0.iter().filter(|it| rowless.has_event(it.key)).map(|it| it.key.0).collect::<HashSet<_>>()
    };
    let events: Vec<&PurgedEvent> = purge.0.iter().collect();
    let unfinished = unfinished(connection, delivery_keys(&deliveries_of(&events)))
        .await?
        .into_iter()
        .collect::<HashSet<_>>();
    let wanted: Vec<_> = events.iter().map(|it| (it.key.0, it.named.as_deref())).collect();
    let sql = "SELECT e.key FROM json_each(?) w CROSS JOIN events e ON e.key = w.value ->> 0 \
        WHERE e.deliveries IS w.value ->> 1";
    let same: Vec<i64> = sqlx::query_scalar(sql).bind(to_json(&wanted)?).fetch_all(&mut *connection).await?;
    let same: HashSet<i64> = same.into_iter().collect();
    let is_final = |it: &&PurgedEvent| {
        let key = &it.key.0;
        same.contains(key) && !unfinished.contains(key) && !in_memory.contains(key)
    };
    let (events, kept): (Vec<_>, Vec<_>) = events.into_iter().partition(is_final);
    let kept = kept.iter().map(|it| it.key).collect();
    let mut deleted = delete_deliveries(connection, &deliveries_of(&events)).await?;
    let (parts, whole): (Vec<_>, Vec<_>) = events.into_iter().partition(|it| it.left.is_some());
    for event in parts {
        let sql = "UPDATE events SET deliveries = ? WHERE key = ?";
        sqlx::query(sql).bind(event.left.as_deref()).bind(event.key.0).execute(&mut *connection).await?;
    }
    let keys = json_ids(whole.iter().map(|it| it.key.0));
    let sql = "DELETE FROM erased_events WHERE event_key IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(&keys).execute(&mut *connection).await?;
    let sql = "DELETE FROM events WHERE key IN (SELECT value FROM json_each(?))";
    deleted.events = sqlx::query(sql).bind(keys).execute(connection).await?.rows_affected();
    Ok(Purged { deleted, kept })
}

/// Deletes deliveries with all that belongs to them.
pub async fn delete_deliveries(
    connection: &mut SqliteConnection,
    deliveries: &[(TenantId, DeliveryId)],
) -> Result<Deleted, StorageError> {
    let ids = json_ids(deliveries.iter().map(|(_, id)| id.0));
    let mut deleted = delete_attempts(connection, &ids).await?;
    for sql in [
        "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))",
        "DELETE FROM delivery_notes WHERE delivery_id IN (SELECT value FROM json_each(?))",
    ] {
        sqlx::query(sql).bind(&ids).execute(&mut *connection).await?;
    }
    let query = sqlx::query(concat!("DELETE FROM deliveries WHERE ", is_among!()));
    deleted.deliveries = query.bind(delivery_keys(deliveries)).execute(connection).await?.rows_affected();
    Ok(deleted)
}

fn delivery_keys(deliveries: &[(TenantId, DeliveryId)]) -> String {
    json_keys(deliveries.iter().map(|(tenant, id)| (tenant.0, id.0)))
}

/// Deletes the attempts of these deliveries, and the bodies that they sent.
pub async fn delete_attempts(
    connection: &mut SqliteConnection,
    deliveries: &str,
) -> Result<Deleted, StorageError> {
    // The first attempt mostly has its delivery's id.
    let sql = "DELETE FROM attempts WHERE id IN (SELECT value FROM json_each(?1) UNION ALL \
        SELECT a.id FROM json_each(?1) w CROSS JOIN attempts a INDEXED BY attempts_with_own_id \
        ON a.delivery_id = w.value AND a.delivery_id <> a.id) RETURNING id";
    let attempts: Vec<i64> = sqlx::query_scalar(sql).bind(deliveries).fetch_all(&mut *connection).await?;
    let bodies = delete_kept_bodies(connection, &attempts).await?;
    Ok(Deleted { attempts: attempts.len() as u64, bodies, ..Deleted::default() })
}

/// Deletes the bodies that these attempts sent.
pub async fn delete_kept_bodies(
    connection: &mut SqliteConnection,
    attempts: &[i64],
) -> Result<u64, StorageError> {
    let sql = "DELETE FROM kept_bodies WHERE attempt_id IN (SELECT value FROM json_each(?))";
    let query = sqlx::query(sql).bind(json_ids(attempts.iter().copied()));
    Ok(query.execute(connection).await?.rows_affected())
}
