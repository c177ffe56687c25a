//! The health of hooks, the pause of the whole engine, and what hooks have not got.

use async_trait::async_trait;
use sqlx::AssertSqlSafe;
use sqlx_postgres::PgConnection;

use super::audit;
use super::engine_state;
use super::stores::PostgresStores;
use crate::domain::{
    AuditEntry, DeliveryId, EventKey, HookHealth, HookId, OrderingScope, TenantId, UnixMillis,
};
use crate::storage::columns::{HealthRow, health_from_row, health_to_row, readable};
use crate::storage::hook_states::{MAX_VISITED, PAUSED, cut, paused_from_value, paused_to_value, visited};
use crate::storage::{
    HealthChanges, HookStateStore, Missed, MissedQuery, ProbeClaim, StorageError, WantedEvent,
};

/// How many rows one statement writes.
const WRITTEN_AT_ONCE: usize = 500;
/// Changes are read again for so long, in milliseconds: a change is committed later than it is made.
const COMMITTED_LATE: i64 = 15_000;

/// Of one statement, in milliseconds by the database's clock.
const NOW: &str = "floor(extract(epoch FROM statement_timestamp()) * 1000)::bigint";

#[async_trait]
impl HookStateStore for PostgresStores {
    async fn unwell_hooks(&self) -> Result<Vec<HookHealth>, StorageError> {
        let sql = "SELECT hook_id, tenant_id, health, open_until FROM hook_health WHERE NOT is_well ORDER BY hook_id";
        let rows: Vec<HealthRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().filter_map(|row| readable(health_from_row(row))).collect())
    }

    async fn save_health(&self, unwell: Vec<HookHealth>, well: Vec<HookId>) -> Result<(), StorageError> {
        let mut rows = unwell.iter().map(health_to_row).collect::<Result<Vec<_>, _>>()?;
        // Nodes lock rows in one order.
        rows.sort_unstable_by_key(|(hook, ..)| *hook);
        self.in_transaction(async |connection: &mut PgConnection| {
            for rows in rows.chunks(WRITTEN_AT_ONCE) {
                save(connection, rows).await?;
            }
            if !well.is_empty() {
                note_well(connection, &well).await?;
            }
            Ok(())
        })
        .await
    }

    async fn health_since(&self, since: Option<UnixMillis>) -> Result<HealthChanges, StorageError> {
        let sql = AssertSqlSafe(format!("SELECT {NOW}"));
        let read_at = UnixMillis(sqlx::query_scalar(sql).fetch_one(self.pool()).await?);
        let Some(since) = since else {
            return Ok(HealthChanges { unwell: self.unwell_hooks().await?, well: None, read_at });
        };
        let sql =
            "SELECT hook_id, tenant_id, health, open_until, is_well FROM hook_health WHERE changed_at > $1";
        let query = sqlx::query_as(sql).bind(since.0 - COMMITTED_LATE);
        let rows: Vec<(i64, i64, String, Option<i64>, bool)> = query.fetch_all(self.pool()).await?;
        let (mut unwell, mut well) = (Vec::new(), Vec::new());
        for (hook, tenant, health, open_until, is_well) in rows {
            if is_well {
                well.push(HookId(hook));
            } else {
                unwell.extend(readable(health_from_row((hook, tenant, health, open_until))));
            }
        }
        Ok(HealthChanges { unwell, well: Some(well), read_at })
    }

    async fn take_probes(&self, claims: &[ProbeClaim]) -> Result<Vec<HookId>, StorageError> {
        let hooks: Vec<i64> = claims.iter().map(|claim| claim.hook.0).collect();
        let expected: Vec<i64> = claims.iter().map(|claim| claim.expected.0).collect();
        let until: Vec<i64> = claims.iter().map(|claim| claim.until.0).collect();
        let sql = AssertSqlSafe(format!(
            "WITH first AS MATERIALIZED (SELECT h.hook_id, c.until FROM hook_health h \
                JOIN unnest($1::bigint[], $2::bigint[], $3::bigint[]) c (hook_id, expected, until) USING (hook_id) \
                WHERE h.open_until = c.expected ORDER BY h.hook_id FOR UPDATE OF h) \
            UPDATE hook_health h SET open_until = f.until, changed_at = {NOW} FROM first f \
            WHERE h.hook_id = f.hook_id RETURNING h.hook_id"
        ));
        let query = sqlx::query_scalar(sql).bind(hooks).bind(expected).bind(until);
        let taken: Vec<i64> = query.fetch_all(self.pool()).await?;
        Ok(taken.into_iter().map(HookId).collect())
    }

    async fn paused_since(&self) -> Result<Option<UnixMillis>, StorageError> {
        paused_from_value(engine_state::get(self.pool(), PAUSED).await?)
    }

    async fn set_paused(&self, since: Option<UnixMillis>, entry: &AuditEntry) -> Result<(), StorageError> {
        self.in_transaction(async |connection: &mut PgConnection| {
            match since {
                Some(since) => {
                    engine_state::set(&mut *connection, PAUSED, &paused_to_value(since)).await?;
                }
                None => {
                    let removing = sqlx::query("DELETE FROM engine_state WHERE name = $1").bind(PAUSED);
                    removing.execute(&mut *connection).await?;
                }
            }
            audit::add(connection, entry).await
        })
        .await
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
        let (keys, searched_to) =
            visited(rows.fetch_all(self.pool()).await?, MAX_VISITED, query.tenant, wanted);
        let sql = "SELECT key FROM events WHERE key = ANY ($1) AND $2 <> ALL (coalesce(hook_ids, '{}')) \
            AND can_be_sent(key) ORDER BY key LIMIT $3";
        let missed = sqlx::query_scalar(sql).bind(keys).bind(query.hook.0).bind(i64::from(query.limit) + 1);
        Ok(cut(missed.fetch_all(self.pool()).await?, searched_to, query.limit))
    }

    async fn replay(
        &self,
        tenant: TenantId,
        (hook, ordering): (HookId, Option<OrderingScope>),
        new: Vec<(EventKey, DeliveryId)>,
        now: UnixMillis,
    ) -> Result<Vec<DeliveryId>, StorageError> {
        let replaying = async {
            let mut transaction = self.pool().begin().await?;
            if ordering.is_some() {
                let sql = "SELECT lock_groups_to_add(ARRAY[$1::bigint])";
                sqlx::query(sql).bind(hook.0).execute(&mut *transaction).await?;
            }
            let made = replay(&mut transaction, (tenant, hook, ordering), new, now).await?;
            if ordering.is_some() {
                let sql = "SELECT join_groups(array_fill($1::bigint, ARRAY[cardinality($2::bigint[])]), $2)";
                sqlx::query(sql).bind(tenant.0).bind(&made).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok::<_, StorageError>(made.into_iter().map(DeliveryId).collect())
        };
        self.pool().bounded(replaying).await
    }
}

/// The ids of the deliveries that were made. Those that are in order have their keys.
async fn replay(
    connection: &mut PgConnection,
    (tenant, hook, ordering): (TenantId, HookId, Option<OrderingScope>),
    new: Vec<(EventKey, DeliveryId)>,
    now: UnixMillis,
) -> Result<Vec<i64>, StorageError> {
    let (keys, ids): (Vec<i64>, Vec<i64>) = new.into_iter().map(|(event, id)| (event.0, id.0)).unzip();
    // The event's row names the new delivery, too: so the next search does not find the event. The lock on the hook keeps
    // it from being deleted meanwhile.
    let sql = "WITH hook AS MATERIALIZED (SELECT id FROM hooks WHERE id = $3 AND tenant_id = $4 FOR SHARE), \
        named AS (UPDATE events e SET delivery_ids = coalesce(e.delivery_ids, '{}') || n.id, \
            hook_ids = coalesce(e.hook_ids, '{}') || $3 \
            FROM unnest($1::bigint[], $2::bigint[]) n (key, id) \
            WHERE e.key = n.key AND e.tenant_id = $4 AND EXISTS (SELECT FROM hook) \
                AND $3 <> ALL (coalesce(e.hook_ids, '{}')) AND can_be_sent(e.key) \
            RETURNING n.id, e.key, e.tenant_id, e.event_type, e.ordering_key), \
        made AS (INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, \
            attempts, failures, due_at, ordering_key) \
            SELECT tenant_id, id, $3, key, event_type, 2, 0, 0, 0, $5, \
                CASE $6 WHEN 'key' THEN ordering_key WHEN 'hook' THEN '' END FROM named RETURNING id) \
        SELECT id FROM made ORDER BY id";
    let query = sqlx::query_scalar(sql).bind(keys).bind(ids).bind(hook.0).bind(tenant.0).bind(now.0);
    Ok(query.bind(ordering.map(OrderingScope::as_str)).fetch_all(connection).await?)
}

async fn save(connection: &mut PgConnection, rows: &[HealthRow]) -> Result<(), StorageError> {
    let hooks: Vec<i64> = rows.iter().map(|(hook, ..)| *hook).collect();
    let tenants: Vec<i64> = rows.iter().map(|(_, tenant, ..)| *tenant).collect();
    let health: Vec<&str> = rows.iter().map(|(_, _, health, _)| health.as_str()).collect();
    let open_until: Vec<Option<i64>> = rows.iter().map(|(.., open_until)| *open_until).collect();
    let sql = AssertSqlSafe(format!(
        "INSERT INTO hook_health (hook_id, tenant_id, health, open_until, changed_at) \
        SELECT n.*, {NOW} FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[]) n (id, tenant, health, until) \
        WHERE EXISTS (SELECT FROM hooks h WHERE h.id = n.id) ORDER BY n.id \
        ON CONFLICT (hook_id) DO UPDATE SET health = excluded.health, open_until = excluded.open_until, \
            changed_at = excluded.changed_at, is_well = false"
    ));
    let query = sqlx::query(sql).bind(hooks).bind(tenants).bind(health).bind(open_until);
    query.execute(connection).await?;
    Ok(())
}

/// Their rows stay until all nodes have read that they are well.
async fn note_well(connection: &mut PgConnection, well: &[HookId]) -> Result<(), StorageError> {
    let well: Vec<i64> = well.iter().map(|hook| hook.0).collect();
    let sql = AssertSqlSafe(format!(
        "UPDATE hook_health SET is_well = true, open_until = NULL, changed_at = {NOW} WHERE hook_id = ANY ($1)"
    ));
    sqlx::query(sql).bind(well).execute(&mut *connection).await?;
    let sql = AssertSqlSafe(format!("DELETE FROM hook_health WHERE is_well AND changed_at < {NOW} - 600000"));
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}
