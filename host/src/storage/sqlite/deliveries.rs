//! Deliveries and attempts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use sqlx::SqliteExecutor;
use sqlx::sqlite::SqliteConnection;

use super::claims::{self, Claim};
use super::clock_steps::{self, Progress};
use super::messages::Message;
use super::ordering;
use super::recording;
use super::rowless::Selection;
use super::rows::{
    AttemptColumns, DeliveryRow, JsonMaker, LastAttemptColumns, RecordRow, attempt_columns,
    attempt_from_columns, delivery_columns, delivery_from_row, last_attempts_from_columns, no_lease,
};
use super::script::json_ids;
use super::stores::SqliteStores;
use super::{listing, noting, writer};
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, DeliveryState, EventKey, HookId, LastAttempt, Lease,
    NodeNumber, TenantId, UnixMillis,
};
use crate::storage::{
    Backlog, Cancelled, Changed, Claims, DeliveryQuery, DeliveryStore, HookClaim, Listed, Record,
    RetryPolicy, StorageError,
};

/// The latest attempts of one delivery before an id: those with ids of their own, and the one with the delivery's id.
pub(super) const ATTEMPTS: &str = concat!(
    "SELECT ",
    attempt_columns!(),
    " FROM attempts INDEXED BY attempts_with_own_id WHERE delivery_id = ?1 AND delivery_id <> id AND id < ?2 \
    UNION ALL SELECT ",
    attempt_columns!(),
    " FROM attempts WHERE id = ?1 AND delivery_id = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
);

/// The last attempts of deliveries: what [`ATTEMPTS`] has first. The headers of responses are not read.
pub(super) const LAST_ATTEMPTS: &str = "SELECT a.id, a.delivery_id, a.number, a.outcome, a.status, \
    iif(a.outcome = 'response', NULL, a.detail) \
    FROM json_each(?1) w CROSS JOIN deliveries d ON d.tenant_id = ?2 AND d.id = w.value \
    CROSS JOIN attempts a ON a.id = ifnull((SELECT max(l.id) FROM attempts l INDEXED BY attempts_with_own_id \
    WHERE l.delivery_id = d.id AND l.delivery_id <> l.id), d.id) \
    WHERE a.delivery_id = d.id";

#[async_trait]
impl DeliveryStore for SqliteStores {
    async fn recover(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.materialize(Selection::All).await?;
        for hook in claims::orphaned_hooks(&self.feeding).await? {
            claims::cancel_all(&self.writer, hook).await?;
        }
        loop {
            let mut writer = self.writer().await;
            let progress = clock_steps::resume_some(writer.begin().await?).await;
            if writer.finish(progress).await? == Progress::Done {
                break;
            }
        }
        let mut writer = self.writer().await;
        let connection = writer.begin().await?;
        let recovered = async {
            noting::note_lost_leases(connection, node).await?;
            claims::recover(connection, node, now).await
        };
        let recovered = recovered.await;
        writer.finish(recovered).await
    }

    async fn end_unused_leases(&self, node: NodeNumber, now: UnixMillis) -> Result<u64, StorageError> {
        self.materialize(Selection::All).await?;
        let mut writer = self.writer().await;
        let ended = claims::recover(writer.begin().await?, node, now).await;
        writer.finish(ended).await
    }

    async fn bring_forward(&self, now: UnixMillis, by: Duration) -> Result<(), StorageError> {
        // In small transactions, so that others write in between.
        loop {
            let mut writer = self.writer().await;
            let progress = clock_steps::bring_some_forward(writer.begin().await?, now, by).await;
            if writer.finish(progress).await? == Progress::Done {
                return Ok(());
            }
        }
    }

    async fn backlog(&self) -> Result<Vec<Backlog>, StorageError> {
        let mut backlog = claims::backlog(&self.feeding).await?;
        self.rowless.add_backlog(&mut backlog);
        Ok(backlog)
    }

    async fn due_between(
        &self,
        _from: UnixMillis,
        _until: UnixMillis,
        _known: &[HookId],
    ) -> Result<Option<Vec<Backlog>>, StorageError> {
        Ok(None)
    }

    async fn claim(
        &self,
        hooks: Vec<HookClaim>,
        now: UnixMillis,
        lease: Lease,
        max_bytes: u64,
    ) -> Vec<Result<Claims, StorageError>> {
        let count = hooks.len();
        let claim = Claim { hooks, now, lease, max_bytes };
        match self.claim_together(&claim).await {
            Ok(claims) => claims,
            // A damaged row of one hook must not delay the others.
            Err(error) if count > 1 && error.is_damaged() => {
                let mut claims = Vec::with_capacity(count);
                for hook in &claim.hooks {
                    let alone = Claim { hooks: vec![*hook], ..claim };
                    claims.push(self.claim_together(&alone).await.and_then(only));
                }
                claims
            }
            Err(error) => error.for_each(count).into_iter().map(Err).collect(),
        }
    }

    async fn record(&self, records: Vec<Record>, retries: RetryPolicy) -> Result<(), StorageError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut json = JsonMaker::default();
        let rows = records.into_iter().map(|record| RecordRow::new(record, &mut json, &self.vault));
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        // In parts, so that no transaction is large: others wait for it.
        let parts: Vec<_> =
            recording::parts(rows, writer::MAX_GROUP_BYTES).into_iter().map(Arc::new).collect();
        let written = parts.iter().map(|part| retries.run(|| self.submit(Message::Record, Arc::clone(part))));
        try_join_all(written).await.map(drop)
    }

    async fn delivery(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Delivery>, StorageError> {
        if let Some(delivery) = self.rowless.delivery(tenant, id) {
            return Ok(Some(delivery));
        }
        one(&self.feeding, tenant, id).await
    }

    async fn list(&self, tenant: TenantId, query: &DeliveryQuery) -> Result<Listed, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // What has no row is leased.
        if query.state.is_none_or(|state| state == DeliveryState::Delivering) {
            self.materialize_for_list(Selection::OfTenant(tenant)).await;
        }
        listing::list(&self.readers, tenant, query, listing::MAX_VISITED).await
    }

    async fn of_event(&self, tenant: TenantId, event: EventKey) -> Result<Vec<Delivery>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        self.materialize_for_list(Selection::OfEvent(event)).await;
        let sql = concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM deliveries WHERE (tenant_id, id) IN (SELECT e.tenant_id, e.key + (d.value ->> 0) \
             FROM events e CROSS JOIN json_each(e.deliveries) d WHERE e.key = ? AND e.tenant_id = ?) ORDER BY id"
        );
        let query = sqlx::query_as(sql).bind(event.0).bind(tenant.0);
        let rows: Vec<DeliveryRow> = query.fetch_all(&self.readers).await?;
        rows.into_iter().map(delivery_from_row).collect()
    }

    async fn with_attempts(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        before: Option<AttemptId>,
        limit: u32,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, StorageError> {
        // A delivery without a row has had no attempt.
        if let Some(delivery) = self.rowless.delivery(tenant, id) {
            return Ok(Some((delivery, Vec::new())));
        }
        let _permit = self.permit_read(tenant).await?;
        let mut snapshot = self.readers.begin().await?;
        let Some(delivery) = one(&mut *snapshot, tenant, id).await? else { return Ok(None) };
        let query =
            sqlx::query_as(ATTEMPTS).bind(id.0).bind(before.map_or(i64::MAX, |before| before.0)).bind(limit);
        let rows: Vec<AttemptColumns> = query.fetch_all(&mut *snapshot).await?;
        snapshot.commit().await?;
        let attempts = rows.into_iter().map(attempt_from_columns).collect::<Result<_, _>>()?;
        Ok(Some((delivery, attempts)))
    }

    async fn last_attempts(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, LastAttempt>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let ids = json_ids(deliveries.iter().map(|id| id.0));
        let query = sqlx::query_as(LAST_ATTEMPTS).bind(ids).bind(tenant.0);
        let rows: Vec<LastAttemptColumns> = query.fetch_all(&self.readers).await?;
        Ok(last_attempts_from_columns(rows))
    }

    async fn retry(
        &self,
        tenant: TenantId,
        id: DeliveryId,
        now: UnixMillis,
    ) -> Result<Option<Changed>, StorageError> {
        self.materialize(Selection::One(id)).await?;
        let mut writer = self.writer().await;
        let changed = retry(writer.begin().await?, tenant, id, now).await;
        writer.finish(changed).await
    }

    async fn cancel(&self, tenant: TenantId, id: DeliveryId) -> Result<Option<Cancelled>, StorageError> {
        self.materialize(Selection::One(id)).await?;
        let mut writer = self.writer().await;
        let changed = cancel(writer.begin().await?, tenant, id).await;
        writer.finish(changed).await
    }

    async fn check(&self) -> Result<(), StorageError> {
        // The cheapest query there is: one key, which no delivery has.
        one(&self.feeding, TenantId(0), DeliveryId(0)).await?;
        if self.health.wants_probe() {
            self.health.look();
            let sql = "INSERT INTO engine_state (name, value) VALUES ('probe', x'') \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            let tried = self.changes_one(sqlx::query(sql)).await;
            self.health.check()?;
            tried?;
        }
        self.health.check()
    }

    async fn numbered(&self, tenant: TenantId, number: i64) -> Result<Vec<DeliveryId>, StorageError> {
        let Some(range) = DeliveryId::range_of_short(number) else { return Ok(Vec::new()) };
        let (first, last) = range.clone().into_inner();
        let _permit = self.permit_read(tenant).await?;
        let mut ids = self.rowless.ids(tenant, range);
        let sql = "SELECT id FROM deliveries WHERE tenant_id = ? AND id BETWEEN ? AND ?";
        let query = sqlx::query_scalar(sql).bind(tenant.0).bind(first.0).bind(last.0);
        let rows: Vec<i64> = query.fetch_all(&self.readers).await?;
        ids.extend(rows.into_iter().map(DeliveryId));
        ids.retain(|id| id.short() == number);
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }
}

/// The answer for the only hook of a claim.
fn only(mut claims: Vec<Result<Claims, StorageError>>) -> Result<Claims, StorageError> {
    claims.pop().unwrap_or_else(|| Ok(Claims::default()))
}

impl SqliteStores {
    /// Leases in one transaction, and reads what was leased.
    async fn claim_together(&self, claim: &Claim) -> Result<Vec<Result<Claims, StorageError>>, StorageError> {
        let leased = self.submit(Message::Claim, claim.clone()).await?;
        let keys = claims::keys_of(leased.iter().flat_map(claims::Leased::deliveries));
        // After the commit, so that the writer does not wait for the events' data. Damaged rows would be claimed again at once,
        // for ever: their leases are left to end by themselves.
        let loaded = claims::load_each(&self.feeding, leased, &self.vault).await;
        if loaded.is_err()
            && let Err(error) = self.release(keys, claim).await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "cannot release leases; they end by themselves"
            );
        }
        loaded
    }

    async fn release(&self, keys: String, claim: &Claim) -> Result<(), StorageError> {
        let mut writer = self.writer().await;
        let done = claims::release(writer.begin().await?, keys, claim.lease.id, claim.now).await;
        writer.finish(done).await
    }
}

/// The row of a delivery, by its id and its tenant.
async fn one(
    executor: impl SqliteExecutor<'_>,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Delivery>, StorageError> {
    let sql = concat!("SELECT ", delivery_columns!(), " FROM deliveries WHERE id = ? AND tenant_id = ?");
    let query = sqlx::query_as(sql).bind(id.0).bind(tenant.0);
    let row: Option<DeliveryRow> = query.fetch_optional(executor).await?;
    row.map(delivery_from_row).transpose()
}

/// A delivery, and whether its hook exists.
async fn read(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<(Delivery, bool)>, StorageError> {
    let Some(delivery) = one(&mut *connection, tenant, id).await? else { return Ok(None) };
    let sql = "SELECT EXISTS (SELECT 1 FROM hooks WHERE id = ? AND tenant_id = ?)";
    let hook = sqlx::query_scalar(sql).bind(delivery.hook.0).bind(tenant.0);
    let has_hook: bool = hook.fetch_one(connection).await?;
    Ok(Some((delivery, has_hook)))
}

async fn remove_rendered(connection: &mut SqliteConnection, id: DeliveryId) -> Result<(), StorageError> {
    sqlx::query("DELETE FROM rendered_requests WHERE delivery_id = ?").bind(id.0).execute(connection).await?;
    Ok(())
}

async fn retry(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DeliveryId,
    now: UnixMillis,
) -> Result<Option<Changed>, StorageError> {
    let Some((delivery, has_hook)) = read(&mut *connection, tenant, id).await? else { return Ok(None) };
    let sql = "SELECT EXISTS (SELECT 1 FROM erased_events WHERE event_key = ?)";
    if sqlx::query_scalar(sql).bind(delivery.event.0).fetch_one(&mut *connection).await? {
        return Ok(Some(Changed::Erased(delivery.event)));
    }
    if delivery.state == DeliveryState::Delivering || !has_hook {
        return Ok(Some(Changed::Refused(delivery.state)));
    }
    // What was final had left its order.
    let sql = "UPDATE deliveries SET state = 0, failures = 0, \
        due_at = iif(state < 3 AND ordering_waits, due_at, ?), \
        ordering_seq = iif(state < 3, ordering_seq, NULL), ordering_waits = iif(state < 3, ordering_waits, NULL) WHERE id = ? AND tenant_id = ?";
    sqlx::query(sql).bind(now.0).bind(id.0).bind(tenant.0).execute(&mut *connection).await?;
    remove_rendered(connection, id).await?;
    Ok(Some(Changed::retried(delivery, now)))
}

async fn cancel(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    id: DeliveryId,
) -> Result<Option<Cancelled>, StorageError> {
    let Some((delivery, _)) = read(&mut *connection, tenant, id).await? else { return Ok(None) };
    if delivery.state.is_final() {
        return Ok(Some(Cancelled::Refused(delivery.state)));
    }
    let group = ordering::group_of(&mut *connection, tenant, id).await?;
    let sql = concat!(
        "UPDATE deliveries SET state = 6, due_at = NULL, ",
        no_lease!(),
        " WHERE id = ? AND tenant_id = ?"
    );
    sqlx::query(sql).bind(id.0).bind(tenant.0).execute(&mut *connection).await?;
    remove_rendered(&mut *connection, id).await?;
    ordering::advance_now(connection, &group.into_iter().collect()).await?;
    Ok(Some(Cancelled::done(delivery)))
}
