//! Events of an earlier engine that have the names of new ones: see [`super::known_names`].

use sqlx::sqlite::SqliteConnection;

use super::rows::damaged;
use crate::domain::{EventKey, TenantId};
use crate::storage::dedup::{self, Known, Mark, NameKind, Seen};
use crate::storage::{Acceptance, StorageError};

type Row = (i64, Option<String>, Option<String>, Option<Vec<u8>>, i64, i64);

/// Adds the events of an earlier engine that have the ids and keys in `calls` to `seen`.
pub async fn add(
    connection: &mut SqliteConnection,
    calls: &[&[Acceptance]],
    seen: &mut Seen,
) -> Result<(), StorageError> {
    let all = || calls.iter().copied().flatten();
    let tenant = |one: &Acceptance| one.event.tenant.0;
    let ids: Vec<_> = all().filter_map(|one| Some((tenant(one), dedup::external_id(one)?))).collect();
    let keys: Vec<_> = all().filter_map(|one| Some((tenant(one), one.idempotency_key.as_deref()?))).collect();
    if !ids.is_empty() {
        let sql = "SELECT e.tenant_id, e.external_id, e.idempotency_key, e.content, e.key, e.delivery_count \
            FROM json_each(?) w CROSS JOIN events e INDEXED BY events_by_external_id \
            WHERE e.tenant_id = w.value ->> 0 AND e.external_id = w.value ->> 1 AND e.external_id IS NOT NULL";
        read(seen, connection, sql, &ids).await?;
    }
    if !keys.is_empty() {
        let sql = "SELECT e.tenant_id, e.external_id, e.idempotency_key, e.content, e.key, e.delivery_count \
            FROM json_each(?) w CROSS JOIN events e INDEXED BY events_by_idempotency_key \
            WHERE e.tenant_id = w.value ->> 0 AND e.idempotency_key = w.value ->> 1 AND e.idempotency_key IS NOT NULL";
        read(seen, connection, sql, &keys).await?;
    }
    Ok(())
}

async fn read(
    seen: &mut Seen,
    connection: &mut SqliteConnection,
    sql: &'static str,
    wanted: &[(i64, &str)],
) -> Result<(), StorageError> {
    let wanted = serde_json::to_string(wanted).map_err(|error| damaged("event id", error))?;
    let rows: Vec<Row> = sqlx::query_as(sql).bind(wanted).fetch_all(connection).await?;
    for (tenant, external_id, idempotency_key, content, key, deliveries) in rows {
        let content = content.and_then(|bytes| bytes.try_into().ok());
        let in_row = |error: StorageError| error.in_row("events", EventKey(key), key);
        let content = content.ok_or_else(|| in_row(damaged("event", "its content has no digest")))?;
        let deliveries = u32::try_from(deliveries).map_err(|error| in_row(damaged("event", error)))?;
        let known = |kind| Known {
            key: EventKey(key),
            mark: Mark::of_stored(kind, &content, external_id.as_deref()),
            deliveries,
        };
        let tenant = TenantId(tenant);
        if let Some(id) = &external_id {
            seen.add_older(tenant, NameKind::Id, id.clone(), known(NameKind::Id));
        }
        if let Some(key) = idempotency_key {
            seen.add_older(tenant, NameKind::IdempotencyKey, key, known(NameKind::IdempotencyKey));
        }
    }
    Ok(())
}
