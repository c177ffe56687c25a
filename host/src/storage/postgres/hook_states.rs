//! The health of hooks, the pause of the whole engine, and what hooks have not got.

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::engine_state;
use super::stores::PostgresStores;
use crate::domain::{DeliveryId, EventKey, HookHealth, HookId, TenantId, UnixMillis};
use crate::storage::columns::{HealthRow, damaged, health_from_row, health_to_row, readable};
use crate::storage::hook_states::{MAX_VISITED, cut, visited};
use crate::storage::{HookStateStore, Missed, MissedQuery, StorageError, WantedEvent};

/// Of `engine_state`: since when everything is paused.
const PAUSED: &str = "paused_since";

#[async_trait]
impl HookStateStore for PostgresStores {
    async fn unwell_hooks(&self) -> Result<Vec<HookHealth>, StorageError> {
        let sql = "SELECT hook_id, tenant_id, health, open_until FROM hook_health ORDER BY hook_id";
        let rows: Vec<HealthRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().filter_map(|row| readable(health_from_row(row))).collect())
    }

    async fn save_health(&self, unwell: Vec<HookHealth>, well: Vec<HookId>) -> Result<(), StorageError> {
        let rows = unwell.iter().map(health_to_row).collect::<Result<Vec<_>, _>>()?;
        let mut transaction = self.pool().begin().await?;
        save(&mut transaction, rows, &well).await?;
        Ok(transaction.commit().await?)
    }

    async fn take_probe(
        &self,
        hook: HookId,
        expected: UnixMillis,
        until: UnixMillis,
    ) -> Result<bool, StorageError> {
        let sql = "UPDATE hook_health SET open_until = $1 WHERE hook_id = $2 AND open_until = $3";
        let query = sqlx::query(sql).bind(until.0).bind(hook.0).bind(expected.0);
        Ok(query.execute(self.pool()).await?.rows_affected() > 0)
    }

    async fn paused_since(&self) -> Result<Option<UnixMillis>, StorageError> {
        let value = engine_state::get(self.pool(), PAUSED).await?;
        let parse = |value: Vec<u8>| {
            let number = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
            number.map(UnixMillis).ok_or_else(|| damaged("pause of the engine", "not a number"))
        };
        value.map(parse).transpose()
    }

    async fn set_paused(&self, since: Option<UnixMillis>) -> Result<(), StorageError> {
        if let Some(since) = since {
            return engine_state::set(self.pool(), PAUSED, since.0.to_string().as_bytes()).await;
        }
        sqlx::query("DELETE FROM engine_state WHERE name = $1").bind(PAUSED).execute(self.pool()).await?;
        Ok(())
    }

    async fn unfinished(&self, hook: HookId, most: u32) -> Result<u32, StorageError> {
        let sql = "SELECT count(*) FROM (SELECT FROM unfinished_deliveries WHERE hook_id = $1 LIMIT $2) u";
        let query = sqlx::query_scalar(sql).bind(hook.0).bind(i64::from(most));
        let count: i64 = query.fetch_one(self.pool()).await?;
        Ok(u32::try_from(count).unwrap_or(most))
    }

    async fn missed(&self, query: &MissedQuery, wanted: &WantedEvent<'_>) -> Result<Missed, StorageError> {
        let _permit = self.permit_read(query.tenant).await?;
        let sql = "SELECT key, tenant_id, event_type, project FROM events WHERE key > $1 AND key < $2 \
            ORDER BY key LIMIT $3";
        let rows = sqlx::query_as(sql).bind(query.after.0).bind(query.before.0).bind(i64::from(MAX_VISITED));
        let (keys, searched_to) = visited(rows.fetch_all(self.pool()).await?, query.tenant, wanted);
        let sql = "SELECT key FROM events WHERE key = ANY ($1) AND $2 <> ALL (coalesce(hook_ids, '{}')) \
            ORDER BY key LIMIT $3";
        let missed = sqlx::query_scalar(sql).bind(keys).bind(query.hook.0).bind(i64::from(query.limit) + 1);
        Ok(cut(missed.fetch_all(self.pool()).await?, searched_to, query.limit))
    }

    async fn replay(
        &self,
        tenant: TenantId,
        hook: HookId,
        new: Vec<(EventKey, DeliveryId)>,
        now: UnixMillis,
    ) -> Result<Vec<DeliveryId>, StorageError> {
        let (keys, ids): (Vec<i64>, Vec<i64>) = new.into_iter().map(|(event, id)| (event.0, id.0)).unzip();
        // The event's row names the new delivery, too: so the next search does not find the event. The lock on the hook keeps
        // it from being deleted meanwhile.
        let sql = "WITH hook AS MATERIALIZED (SELECT id FROM hooks WHERE id = $3 AND tenant_id = $4 FOR SHARE), \
            named AS (UPDATE events e SET delivery_ids = coalesce(e.delivery_ids, '{}') || n.id, \
                hook_ids = coalesce(e.hook_ids, '{}') || $3 \
                FROM unnest($1::bigint[], $2::bigint[]) n (key, id) \
                WHERE e.key = n.key AND e.tenant_id = $4 AND EXISTS (SELECT FROM hook) \
                    AND $3 <> ALL (coalesce(e.hook_ids, '{}')) \
                RETURNING n.id, e.key, e.tenant_id, e.event_type), \
            made AS (INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, \
                attempts, failures, due_at) \
                SELECT tenant_id, id, $3, key, event_type, 2, 0, 0, 0, $5 FROM named RETURNING id) \
            SELECT id FROM made ORDER BY id";
        let query = sqlx::query_scalar(sql).bind(keys).bind(ids).bind(hook.0).bind(tenant.0).bind(now.0);
        let made: Vec<i64> = query.fetch_all(self.pool()).await?;
        Ok(made.into_iter().map(DeliveryId).collect())
    }
}

async fn save(
    connection: &mut PgConnection,
    rows: Vec<HealthRow>,
    well: &[HookId],
) -> Result<(), StorageError> {
    for (hook, tenant, health, open_until) in rows {
        let sql = "INSERT INTO hook_health (hook_id, tenant_id, health, open_until) \
            SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT FROM hooks WHERE id = $1) \
            ON CONFLICT (hook_id) DO UPDATE SET health = excluded.health, open_until = excluded.open_until";
        let query = sqlx::query(sql).bind(hook).bind(tenant).bind(health).bind(open_until);
        query.execute(&mut *connection).await?;
    }
    let well: Vec<i64> = well.iter().map(|hook| hook.0).collect();
    sqlx::query("DELETE FROM hook_health WHERE hook_id = ANY ($1)").bind(well).execute(connection).await?;
    Ok(())
}
