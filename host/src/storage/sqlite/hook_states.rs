//! The health of hooks, the pause of the whole engine, and what hooks have not got.

use std::collections::BTreeSet;

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::rows::{HealthRow, health_from_row, health_to_row, readable, state_code, to_json, trigger_code};
use super::stores::SqliteStores;
use super::{audit, engine_state, id_buckets, ordering};
use crate::domain::{
    AuditEntry, DeliveryId, DeliveryState, EventKey, HookHealth, HookId, OrderingScope, TenantId, Trigger,
    UnixMillis,
};
use crate::storage::hook_states::{MAX_VISITED, PAUSED, cut, paused_from_value, paused_to_value, visited};
use crate::storage::{
    HealthChanges, HookStateStore, Missed, MissedQuery, ProbeClaim, StorageError, WantedEvent,
};

#[async_trait]
impl HookStateStore for SqliteStores {
    async fn unwell_hooks(&self) -> Result<Vec<HookHealth>, StorageError> {
        let sql = "SELECT hook_id, tenant_id, health, open_until FROM hook_health ORDER BY hook_id";
        let rows: Vec<HealthRow> = sqlx::query_as(sql).fetch_all(&self.feeding).await?;
        Ok(rows.into_iter().filter_map(|row| readable(health_from_row(row))).collect())
    }

    async fn save_health(&self, unwell: Vec<HookHealth>, well: Vec<HookId>) -> Result<(), StorageError> {
        let rows = unwell.iter().map(health_to_row).collect::<Result<Vec<_>, _>>()?;
        let mut writer = self.writer().await;
        let saved = save(writer.begin().await?, rows, &well).await;
        writer.finish(saved).await
    }

    async fn health_since(&self, _: Option<UnixMillis>) -> Result<HealthChanges, StorageError> {
        Ok(HealthChanges { unwell: self.unwell_hooks().await?, well: None, read_at: UnixMillis(0) })
    }

    async fn take_probes(&self, claims: &[ProbeClaim]) -> Result<Vec<HookId>, StorageError> {
        let mut writer = self.writer().await;
        let taken = take_probes(writer.begin().await?, claims).await;
        writer.finish(taken).await
    }

    async fn paused_since(&self) -> Result<Option<UnixMillis>, StorageError> {
        paused_from_value(engine_state::get(&mut *self.feeding.acquire().await?, PAUSED).await?)
    }

    async fn set_paused(&self, since: Option<UnixMillis>, entry: &AuditEntry) -> Result<(), StorageError> {
        let mut writer = self.writer().await;
        let set = set_paused(writer.begin().await?, since, entry).await;
        writer.finish(set).await
    }

    async fn unfinished(&self, hook: HookId, most: u32) -> Result<u32, StorageError> {
        let sql = "SELECT count(*) FROM (SELECT 1 FROM deliveries INDEXED BY deliveries_unfinished \
            WHERE hook_id = ? AND state < 3 LIMIT ?)";
        let count: i64 = sqlx::query_scalar(sql).bind(hook.0).bind(most).fetch_one(&self.readers).await?;
        Ok(u32::try_from(count).unwrap_or(most))
    }

    async fn missed(&self, query: &MissedQuery, wanted: &WantedEvent<'_>) -> Result<Missed, StorageError> {
        let _permit = self.permit_read(query.tenant).await?;
        // Data is not read: it comes after these columns.
        let sql = "SELECT key, tenant_id, event_type, project FROM events WHERE key > ? AND key < ? \
            ORDER BY key LIMIT ?";
        let rows = sqlx::query_as(sql).bind(query.after.0).bind(query.before.0).bind(MAX_VISITED);
        let (keys, searched_to) =
            visited(rows.fetch_all(&self.readers).await?, MAX_VISITED, query.tenant, wanted);
        let sql = "SELECT e.key FROM json_each(?) w CROSS JOIN events e ON e.key = w.value WHERE NOT EXISTS \
            (SELECT 1 FROM json_each(e.deliveries) d WHERE (d.value ->> 1) = ?) \
            AND NOT EXISTS (SELECT 1 FROM erased_events x WHERE x.event_key = e.key) ORDER BY e.key LIMIT ?";
        let missed = sqlx::query_scalar(sql).bind(to_json(&keys)?).bind(query.hook.0).bind(query.limit + 1);
        Ok(cut(missed.fetch_all(&self.readers).await?, searched_to, query.limit))
    }

    async fn replay(
        &self,
        tenant: TenantId,
        (hook, ordering): (HookId, Option<OrderingScope>),
        new: Vec<(EventKey, DeliveryId)>,
        now: UnixMillis,
    ) -> Result<Vec<DeliveryId>, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let next_seq = |id| self.rowless.lock().next_ordering_seq(id);
        let made = replay(writer.begin().await?, (tenant, hook), new, now, (ordering, &next_seq)).await;
        writer.finish(made).await
    }
}

async fn save(
    connection: &mut SqliteConnection,
    rows: Vec<HealthRow>,
    well: &[HookId],
) -> Result<(), StorageError> {
    for (hook, tenant, health, open_until) in rows {
        let sql = "INSERT INTO hook_health (hook_id, tenant_id, health, open_until) \
            SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM hooks WHERE id = ?1) \
            ON CONFLICT (hook_id) DO UPDATE SET health = excluded.health, open_until = excluded.open_until";
        let query = sqlx::query(sql).bind(hook).bind(tenant).bind(health).bind(open_until);
        query.execute(&mut *connection).await?;
    }
    for hook in well {
        let sql = "DELETE FROM hook_health WHERE hook_id = ?";
        sqlx::query(sql).bind(hook.0).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn take_probes(
    connection: &mut SqliteConnection,
    claims: &[ProbeClaim],
) -> Result<Vec<HookId>, StorageError> {
    let mut taken = Vec::new();
    for ProbeClaim { hook, expected, until } in claims {
        let sql = "UPDATE hook_health SET open_until = ? WHERE hook_id = ? AND open_until = ?";
        let query = sqlx::query(sql).bind(until.0).bind(hook.0).bind(expected.0);
        if query.execute(&mut *connection).await?.rows_affected() > 0 {
            taken.push(*hook);
        }
    }
    Ok(taken)
}

/// The event's row names the new delivery, too: so the next search does not find the event.
async fn replay(
    connection: &mut SqliteConnection,
    (tenant, hook): (TenantId, HookId),
    new: Vec<(EventKey, DeliveryId)>,
    now: UnixMillis,
    (ordering, next_seq): (Option<OrderingScope>, &(impl Fn(DeliveryId) -> i64 + Sync)),
) -> Result<Vec<DeliveryId>, StorageError> {
    let (mut made, mut groups) = (Vec::with_capacity(new.len()), BTreeSet::new());
    for (event, id) in new {
        let sql = "UPDATE events SET deliveries = json_insert(ifnull(deliveries, '[]'), '$[#]', json_array(?1 - key, ?2)) \
            WHERE key = ?3 AND tenant_id = ?4 AND EXISTS (SELECT 1 FROM hooks WHERE id = ?2 AND tenant_id = ?4) \
            AND NOT EXISTS (SELECT 1 FROM json_each(deliveries) d WHERE (d.value ->> 1) = ?2) \
            AND NOT EXISTS (SELECT 1 FROM erased_events x WHERE x.event_key = events.key)";
        let query = sqlx::query(sql).bind(id.0).bind(hook.0).bind(event.0).bind(tenant.0);
        if query.execute(&mut *connection).await?.rows_affected() == 0 {
            continue;
        }
        let sql = "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, \
            failures, due_at) SELECT tenant_id, ?, ?, key, event_type, ?, ?, 0, 0, ? FROM events WHERE key = ?";
        let query = sqlx::query(sql).bind(id.0).bind(hook.0).bind(trigger_code(Trigger::Replay));
        let query = query.bind(state_code(DeliveryState::Pending)).bind(now.0).bind(event.0);
        query.execute(&mut *connection).await?;
        if let Some(scope) = ordering {
            let key = ordering::join(connection, (tenant, id), scope, next_seq(id)).await?;
            groups.extend(key.map(|key| (hook.0, key)));
        }
        id_buckets::add(connection, hook, id).await?;
        made.push(id);
    }
    ordering::advance_now(connection, &groups).await?;
    Ok(made)
}

async fn set_paused(
    connection: &mut SqliteConnection,
    since: Option<UnixMillis>,
    entry: &AuditEntry,
) -> Result<(), StorageError> {
    match since {
        Some(since) => engine_state::set(&mut *connection, PAUSED, &paused_to_value(since)).await?,
        None => engine_state::remove(&mut *connection, PAUSED).await?,
    }
    audit::add(connection, entry).await
}
