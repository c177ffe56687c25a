//! Deliveries and attempts.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{try_join, try_join_all};
use sqlx_postgres::PgExecutor;

use super::rows::delivery_columns;
use super::stores::PostgresStores;
use super::{changes, claims, clock_steps, interval, listing, nodes, recording};
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, EventKey, HookId, LastAttempt, Lease, NodeNumber, TenantId,
    UnixMillis,
};
use crate::storage::columns::{
    AttemptColumns, DeliveryRow, JsonMaker, LastAttemptColumns, RecordRow, attempt_from_columns,
    delivery_from_row, last_attempts_from_columns,
};
use crate::storage::{
    Backlog, Cancelled, Changed, Claims, DeliveryQuery, DeliveryStore, HookClaim, Listed, Record,
    RetryPolicy, StorageError,
};

/// The latest attempts of one delivery before an id: the later ones, and the one that has the delivery's. Another node's clock
/// may be behind: 18 hours are enough for it.
const ATTEMPTS: &str = "SELECT id, delivery_id, number::bigint, started_at, duration_ns, outcome, status::bigint, detail, \
    body, steps, request FROM attempts WHERE delivery_id = $1 AND delivery_id <> id AND id > $1 - (1::bigint << 48) AND id < $2 \
    UNION ALL \
    SELECT id, delivery_id, number::bigint, started_at, duration_ns, outcome, status::bigint, detail, \
    body, steps, request FROM attempts WHERE id = $1 AND delivery_id = $1 AND id < $2 ORDER BY 1 DESC LIMIT $3";

/// The last attempts of deliveries: what [`ATTEMPTS`] has first. The headers of responses are not read. Each is looked up by
/// its key, whatever the planner knows of the tables.
const LAST_ATTEMPTS: &str = "SELECT a.id, d.id, a.number, a.outcome, a.status, a.detail \
    FROM unnest($1::bigint[]) w (id) \
    CROSS JOIN LATERAL (SELECT id FROM deliveries WHERE tenant_id = $2 AND id = w.id LIMIT 1) d \
    CROSS JOIN LATERAL ( \
        SELECT id, number::bigint, outcome, status::bigint, CASE WHEN outcome <> 'response' THEN detail END AS detail \
        FROM attempts WHERE delivery_id = d.id AND delivery_id <> id AND id > d.id - (1::bigint << 48) \
        UNION ALL \
        SELECT id, number::bigint, outcome, status::bigint, CASE WHEN outcome <> 'response' THEN detail END \
        FROM attempts WHERE id = d.id AND delivery_id = d.id ORDER BY 1 DESC LIMIT 1) a";

#[async_trait]
impl DeliveryStore for PostgresStores {
    async fn recover(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        nodes::recover(&self.session, node, now).await
    }

    async fn end_unused_leases(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.pool().bounded(nodes::end_unused_leases(&self.session, node, now)).await
    }

    async fn bring_forward(&self, now: UnixMillis, by: Duration) -> Result<(), StorageError> {
        clock_steps::bring_forward(self.pool(), now, by).await
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        claims::backlog(&self.session).await
    }

    async fn due_between(
        &self,
        from: UnixMillis,
        until: UnixMillis,
        known: &[HookId],
    ) -> Result<Option<Vec<Backlog>>, StorageError> {
        claims::due_between(&self.session, (from, until), known).await
    }

    async fn claim(
        &self,
        hooks: Vec<HookClaim>,
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Vec<Result<Claims, StorageError>> {
        let count = hooks.len();
        match self.pool().bounded(self.claim_together(&hooks, now, lease, max_bytes)).await {
            Ok(claims) => claims,
            Err(error) => {
                // It may be committed, and the answer lost; or what it leased could not be loaded.
                self.session.lost_leases.add_claim(lease);
                error.for_each(count).into_iter().map(Err).collect()
            }
        }
    }

    async fn record(&self, records: Vec<Record>, retries: RetryPolicy) -> Result<(), StorageError> {
        let mut json = JsonMaker::default();
        let rows = records.into_iter().map(|it| RecordRow::new(it, &mut json, &self.session.vault));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        if rows.iter().all(|row| row.leaves.is_none()) {
            return self.record_all(&rows, retries).await;
        }
        // Those by which deliveries leave their groups wait for others and for the disk: in transactions of their own.
        let (leaving, rows): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.leaves.is_some());
        let (leaving, rows) = (self.record_all(&leaving, retries), self.record_all(&rows, retries));
        try_join(leaving, rows).await.map(drop)
    }

    fn record_interval(&self) -> Duration {
        interval::between_transactions(&self.session.membership)
    }

    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, StorageError> {
        one(self.pool(), tenant, id).await
    }

    async fn list(&self, tenant: TenantId, query: &DeliveryQuery) -> Result<Listed, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        listing::list(&self.session, tenant, query, listing::MAX_VISITED).await
    }

    async fn of_event(&self, tenant: TenantId, event: EventKey) -> Result<Vec<Delivery>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries_of($1, $2) ORDER BY id");
        let rows: Vec<DeliveryRow> =
            sqlx::query_as(sql).bind(tenant.0).bind(event.0).fetch_all(self.pool()).await?;
        rows.into_iter().map(delivery_from_row).collect()
    }

    async fn with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        self.pool().bounded(self.read_with_attempts(tenant, id, before, limit)).await
    }

    async fn last_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, LastAttempt>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let ids: Vec<i64> = deliveries.iter().map(|id| id.0).collect();
        let query = sqlx::query_as(LAST_ATTEMPTS).bind(ids).bind(tenant.0);
        let rows: Vec<LastAttemptColumns> = query.fetch_all(self.pool()).await?;
        Ok(last_attempts_from_columns(rows))
    }

    async fn retry(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Option<Changed>, StorageError> {
        self.materialize_one(tenant, id).await?;
        self.repeat_on_conflict(|| async move {
            let mut transaction = self.pool().begin().await?;
            let changed = changes::retry(&mut transaction, tenant, id, now).await?;
            transaction.commit().await?;
            Ok(changed)
        })
        .await
    }

    async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Cancelled>, StorageError> {
        self.materialize_one(tenant, id).await?;
        let cancelling = self.repeat_on_conflict(|| async move {
            let mut transaction = self.pool().begin().await?;
            let cancelled = changes::cancel(&mut transaction, self.session.node, tenant, id).await?;
            transaction.commit().await?;
            Ok(cancelled)
        });
        let cancelled = cancelling.await?;
        if let Some(Cancelled::Done { delivery, .. }) = &cancelled {
            self.session.claim_bounds.forget(delivery.hook);
        }
        Ok(cancelled)
    }

    async fn check(&self) -> Result<(), StorageError> {
        if self.session.over.is_cancelled() {
            return Err(StorageError::Closed);
        }
        let sql = "SELECT EXISTS (SELECT FROM nodes WHERE number = $1 AND epoch = $2), pg_is_in_recovery()";
        let query = sqlx::query_as(sql).bind(self.session.number()).bind(self.session.epoch());
        match query.fetch_one(self.pool()).await? {
            (true, false) => Ok(()),
            (_, true) => Err(StorageError::CannotWrite("it is a standby server".to_owned())),
            (false, _) => Err(StorageError::Closed),
        }
    }

    async fn numbered(&self, tenant: TenantId, number: i64) -> Result<Vec<DeliveryId>, StorageError> {
        let Some(range) = DeliveryId::range_of_short(number) else { return Ok(Vec::new()) };
        let (first, last) = range.into_inner();
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT id FROM deliveries WHERE tenant_id = $1 AND id BETWEEN $2 AND $3 \
            UNION \
            SELECT d.id FROM events e CROSS JOIN LATERAL unnest(e.delivery_ids) d (id) \
            WHERE e.key BETWEEN $2 - (1 << 30) AND $3 AND e.tenant_id = $1 AND d.id BETWEEN $2 AND $3 ORDER BY 1";
        let query = sqlx::query_scalar(sql).bind(tenant.0).bind(first.0).bind(last.0);
        let ids: Vec<i64> = query.fetch_all(self.pool()).await?;
        Ok(ids.into_iter().map(DeliveryId).filter(|id| id.short() == number).collect())
    }
}

impl PostgresStores {
    async fn record_all(&self, mut rows: &[RecordRow], retries: RetryPolicy) -> Result<(), StorageError> {
        while !rows.is_empty() {
            let (part, rest) = rows.split_at(recording::first_part(rows).max(1));
            let writes =
                recording::divide(part).map(|part| retries.run(|| recording::write(&self.session, part)));
            try_join_all(writes).await?;
            rows = rest;
        }
        Ok(())
    }

    /// A delivery and its attempts, as of one moment.
    async fn read_with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError> {
        let mut snapshot = self.pool().begin_snapshot().await?;
        let Some(delivery) = one(&mut *snapshot, tenant, id).await? else { return Ok(None) };
        let before = before.map_or(i64::MAX, |before| before.0);
        let query = sqlx::query_as(ATTEMPTS).bind(id.0).bind(before).bind(i64::from(limit));
        let rows: Vec<AttemptColumns> = query.fetch_all(&mut *snapshot).await?;
        snapshot.commit().await?;
        let attempts = rows.into_iter().map(attempt_from_columns).collect::<Result<_, _>>()?;
        Ok(Some((delivery, attempts)))
    }

    /// Leases in one transaction, and reads what was leased.
    async fn claim_together(
        &self,
        hooks: &[HookClaim],
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Result<Vec<Result<Claims, StorageError>>, StorageError> {
        let leased = claims::lease(&self.session, hooks, now, lease, max_bytes).await?;
        // After the commit, so that no lock is held for the events' data. Damaged rows would be claimed again at once, for ever:
        // their leases are left to end by themselves.
        claims::load_each(&self.session, leased).await
    }

    /// Gives a delivery of `tenant` its row, if only its event names it.
    async fn materialize_one(&self, tenant: TenantId, id: DeliveryId) -> Result<(), StorageError> {
        let sql = "SELECT EXISTS (SELECT FROM deliveries WHERE tenant_id = $1 AND id = $2)";
        let query = sqlx::query_scalar(sql).bind(tenant.0).bind(id.0);
        if query.fetch_one(self.pool()).await? {
            return Ok(());
        }
        self.session.materialize(&[id]).await
    }
}

/// One delivery, whether it has a row or only its event names it.
async fn one(
    executor: impl PgExecutor<'_>,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StorageError> {
    let sql = concat!("SELECT ", delivery_columns!(), " FROM delivery($1, $2)");
    let row: Option<DeliveryRow> =
        sqlx::query_as(sql).bind(tenant.0).bind(id.0).fetch_optional(executor).await?;
    row.map(delivery_from_row).transpose()
}
