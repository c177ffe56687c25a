//! Deletes what is kept only for some time. See [`super::days`] for whole days.

use async_trait::async_trait;

use super::days;
use super::names_walk;
use super::rows::is_text;
use super::stores::PostgresStores;
use crate::domain::{DeliveryId, EventId, EventKey, NodeNumber, TenantId, UnixMillis};
use crate::storage::columns::{JobRow, job_columns, job_from_row, readable};
use crate::storage::retention::{held_by, stored_event};
use crate::storage::{
    Deleted, EventStore as _, Purged, RetentionStore, StorageError, StoredEvent, Trim, Trimmed,
};

/// In `engine_state`: the node that deletes, and until when no other does.
const LEASE: &str = "retention";
/// How many events one look for late attempts finds.
const MAX_LATE: i64 = 1_000;

/// A count of rows.
fn count(rows: i64) -> u64 {
    u64::try_from(rows).unwrap_or(0)
}

/// Whether the delivery `d` has an attempt for which the condition holds.
macro_rules! has {
    ($condition:literal) => {
        concat!(
            "EXISTS (SELECT FROM attempts a WHERE a.id = d.id AND (",
            $condition,
            ")) OR EXISTS (SELECT FROM attempts a WHERE a.delivery_id = d.id AND a.delivery_id <> a.id \
            AND a.id > d.id - (1::bigint << 48) AND (",
            $condition,
            "))"
        )
    };
}

macro_rules! visited {
    () => {
        " FROM (SELECT id FROM deliveries WHERE tenant_id = $1 AND id > $2 AND id <= $3 ORDER BY id LIMIT $4) d \
        ORDER BY d.id"
    };
}

#[async_trait]
impl RetentionStore for PostgresStores {
    async fn takes_lease(&self, node: NodeNumber) -> Result<bool, StorageError> {
        // By the database's clock. A node that died is followed by another one a minute later.
        let sql = "INSERT INTO engine_state (name, value) VALUES ($1, convert_to($2 || ' ' || \
                floor(extract(epoch FROM clock_timestamp()) + 60)::bigint, 'UTF8')) \
            ON CONFLICT (name) DO UPDATE SET value = excluded.value \
            WHERE split_part(convert_from(engine_state.value, 'UTF8'), ' ', 1) = $2 \
                OR split_part(convert_from(engine_state.value, 'UTF8'), ' ', 2)::bigint < extract(epoch FROM clock_timestamp()) \
            RETURNING true";
        let query = sqlx::query_scalar(sql).bind(LEASE).bind(node.0.to_string());
        let taken: Option<bool> = query.fetch_optional(self.pool()).await?;
        Ok(taken.is_some())
    }

    async fn events_between(
        &self,
        after: EventKey,
        until: EventKey,
        most: u32,
    ) -> Result<Vec<StoredEvent>, StorageError> {
        // Data that is stored apart is not read: its size is in the row.
        let sql = "SELECT key, tenant_id, octet_length(data)::bigint FROM events WHERE key > $1 AND key <= $2 \
            ORDER BY key LIMIT $3";
        let query = sqlx::query_as(sql).bind(after.0).bind(until.0).bind(i64::from(most));
        Ok(query.fetch_all(self.pool()).await?.into_iter().map(stored_event).collect())
    }

    async fn delete_events(&self, events: &[EventKey]) -> Result<Purged, StorageError> {
        let keys: Vec<i64> = events.iter().map(|key| key.0).collect();
        if keys.is_empty() {
            return Ok(Purged::default());
        }
        self.repeat_on_conflict(|| async {
            let sql = "SELECT events, deliveries, attempts, bodies, kept FROM purge_events($1)";
            let query = sqlx::query_as(sql).bind(&keys);
            let (events, deliveries, attempts, bodies, kept): (i64, i64, i64, i64, Vec<i64>) =
                query.fetch_one(self.pool()).await?;
            let deleted = Deleted {
                events: count(events),
                deliveries: count(deliveries),
                attempts: count(attempts),
                bodies: count(bodies),
            };
            Ok(Purged { deleted, kept: kept.into_iter().map(EventKey).collect() })
        })
        .await
    }

    fn deletes_days(&self) -> bool {
        true
    }

    async fn delete_days(&self, until: EventKey) -> Result<(Deleted, EventKey), StorageError> {
        days::delete(self, until).await
    }

    async fn held_by_replays(&self) -> Result<Vec<(TenantId, EventKey, EventKey)>, StorageError> {
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE state < 2 LIMIT 10000");
        let rows: Vec<JobRow> = sqlx::query_as(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().filter_map(|row| readable(job_from_row(row))).filter_map(held_by).collect())
    }

    async fn deliveries_between(
        &self,
        (tenant, what): (TenantId, Trim),
        after: DeliveryId,
        until: DeliveryId,
        most: u32,
    ) -> Result<Vec<(DeliveryId, bool)>, StorageError> {
        let sql = match what {
            Trim::Attempts => concat!("SELECT d.id, ", has!("true"), visited!()),
            Trim::Bodies => concat!(
                "SELECT d.id, ",
                has!("a.body IS NOT NULL OR EXISTS (SELECT FROM kept_bodies k WHERE k.attempt_id = a.id)"),
                visited!()
            ),
        };
        let query = sqlx::query_as(sql).bind(tenant.0).bind(after.0).bind(until.0).bind(i64::from(most));
        let rows: Vec<(i64, bool)> = query.fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(id, has)| (DeliveryId(id), has)).collect())
    }

    async fn trim_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
        what: Trim,
        until: UnixMillis,
    ) -> Result<Trimmed, StorageError> {
        let ids: Vec<i64> = deliveries.iter().map(|id| id.0).collect();
        let until = EventKey::first_at(until).0;
        let sql = "SELECT attempts, bodies, kept FROM trim_attempts($1, $2, $3, $4)";
        let query = sqlx::query_as(sql).bind(tenant.0).bind(ids).bind(what == Trim::Bodies).bind(until);
        let (attempts, bodies, kept): (i64, i64, Vec<i64>) = query.fetch_one(self.pool()).await?;
        let deleted = Deleted { attempts: count(attempts), bodies: count(bodies), ..Deleted::default() };
        Ok(Trimmed { deleted, kept: kept.into_iter().map(DeliveryId).collect() })
    }

    /// A unique index knows the names: they stay known as long as they are there.
    async fn forget_names(&self, _: UnixMillis, before: UnixMillis, _: u32) -> Result<u64, StorageError> {
        names_walk::forget_some(self.pool(), &self.names_walk, EventKey::first_at(before)).await
    }

    /// Autovacuum does that.
    async fn tidy(&self, _: UnixMillis) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn erase(
        &self,
        tenant: TenantId,
        event: &EventId,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, StorageError> {
        if !is_text(event.as_str()) {
            return Ok(None);
        }
        let Some(event) = self.event(tenant, event).await? else { return Ok(None) };
        self.erase_stored(tenant, event.key, now).await
    }

    async fn erased_at(&self, tenant: TenantId, event: EventKey) -> Result<Option<UnixMillis>, StorageError> {
        let sql = "SELECT erased_at FROM erased_events WHERE event_key = $1 AND tenant_id = $2";
        let query = sqlx::query_scalar(sql).bind(event.0).bind(tenant.0);
        Ok(query.fetch_optional(self.pool()).await?.map(UnixMillis))
    }

    async fn erased_since(
        &self,
        since: UnixMillis,
        most: u32,
    ) -> Result<Vec<(EventKey, UnixMillis)>, StorageError> {
        let sql = "SELECT event_key, erased_at FROM erased_events WHERE erased_at >= $1 ORDER BY erased_at LIMIT $2";
        let query = sqlx::query_as(sql).bind(since.0).bind(i64::from(most));
        let rows: Vec<(i64, i64)> = query.fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(key, at)| (EventKey(key), UnixMillis(at))).collect())
    }

    async fn erase_late(&self, since: UnixMillis) -> Result<(), StorageError> {
        let sql = "SELECT x.event_key, x.tenant_id FROM erased_events x WHERE x.erased_at >= $1 AND EXISTS \
            (SELECT FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id) WHERE e.key = x.event_key AND ( \
                EXISTS (SELECT FROM attempts a WHERE a.id = d.id) \
                OR EXISTS (SELECT FROM attempts a WHERE a.delivery_id = d.id AND a.delivery_id <> a.id \
                    AND a.id > d.id - (1::bigint << 48)) \
                OR EXISTS (SELECT FROM unfinished_deliveries u WHERE u.tenant_id = x.tenant_id AND u.id = d.id))) \
            LIMIT $2";
        let query = sqlx::query_as(sql).bind(since.0).bind(MAX_LATE);
        let late: Vec<(i64, i64)> = query.fetch_all(self.pool()).await?;
        for (event, tenant) in late {
            self.erase_stored(TenantId(tenant), EventKey(event), since).await?;
        }
        Ok(())
    }
}

impl PostgresStores {
    async fn erase_stored(
        &self,
        tenant: TenantId,
        event: EventKey,
        now: UnixMillis,
    ) -> Result<Option<UnixMillis>, StorageError> {
        // What only the event names gets its row, which is then cancelled.
        let sql =
            "SELECT delivery_ids FROM events WHERE key = $1 AND tenant_id = $2 AND lease_until IS NOT NULL";
        let query = sqlx::query_scalar(sql).bind(event.0).bind(tenant.0);
        let named: Option<Option<Vec<i64>>> = query.fetch_optional(self.pool()).await?;
        if let Some(ids) = named.flatten() {
            self.session.materialize(&ids.into_iter().map(DeliveryId).collect::<Vec<_>>()).await?;
        }
        self.repeat_on_conflict(|| async {
            let query = sqlx::query_scalar("SELECT erase_event($1, $2, $3, $4)").bind(self.session.number());
            let at: Option<i64> =
                query.bind(tenant.0).bind(event.0).bind(now.0).fetch_one(self.pool()).await?;
            Ok(at.map(UnixMillis))
        })
        .await
    }
}
