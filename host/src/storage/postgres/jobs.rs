//! Jobs.

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::audit;
use super::delivery_notes;
use super::stores::PostgresStores;
use crate::domain::{
    AuditEntry, DeliveryFilter, DeliveryId, DeliveryState, EventKey, HookId, Job, JobId, JobState, JobWork,
    Lease, RetrySchedule, TenantId, UnixMillis,
};
use crate::storage::columns::{
    JobRow, count_column, ids_to_text, job_columns, job_from_row, job_state_code, job_work_to_text, readable,
    sealed_settings, state_code, state_from_code,
};
use crate::storage::hook_states::visited;
use crate::storage::jobs::{MAX_FREE, ReplayableRow, chosen, cut_to_read};
use crate::storage::{
    JobStep, JobStore, MAX_DELIVERIES, MAX_ENDED_JOBS, MAX_REMOVED_JOBS, NewReplay, ReplayQuery, Replayable,
    StepChanges, StepEnd, StorageError, WantedEvent, WantedJob,
};

/// Jobs that are running and on which no living node works, as far as node $1 knows, which works on the jobs $2.
macro_rules! free {
    () => {
        "state < 2 AND state = 0 AND (lease_id IS NULL OR lease_node = $1 AND id <> ALL ($2) OR NOT EXISTS \
        (SELECT FROM nodes n WHERE n.number = lease_node AND n.epoch = lease_epoch AND NOT n.ended))"
    };
}

#[async_trait]
impl JobStore for PostgresStores {
    async fn insert_job(&self, job: &Job, most: u32, entry: &AuditEntry) -> Result<bool, StorageError> {
        let (work, sealed) = (job_work_to_text(&job.work)?, sealed_settings(job, &self.session.vault)?);
        self.repeat_on_conflict(|| async {
            let mut transaction = self.pool().begin().await?;
            // Two jobs of a tenant that begin at the same time must see each other.
            let lock = sqlx::query("SELECT FROM tenants WHERE id = $1 FOR UPDATE").bind(job.tenant.0);
            lock.execute(&mut *transaction).await?;
            let ended = "DELETE FROM jobs WHERE sealed IS NULL AND id IN \
                (SELECT id FROM jobs WHERE tenant_id = $1 AND state >= 2 ORDER BY id DESC OFFSET $2)";
            let ended = sqlx::query(ended).bind(job.tenant.0).bind(i64::from(MAX_ENDED_JOBS));
            ended.execute(&mut *transaction).await?;
            let sql = "INSERT INTO jobs (id, tenant_id, hook_id, work, rate, started_by, state, examined_to, examined, made, \
                next_due_at, outstanding, sealed) SELECT $1, $2, $3, $4, $5, $6, $7, $8, 0, 0, $9, '[]', $11 \
                WHERE (SELECT count(*) FROM jobs WHERE tenant_id = $2 AND state < 2) < $10";
            let query = sqlx::query(sql).bind(job.id.0).bind(job.tenant.0);
            let query = query.bind(job.work.hook().map(|it| it.0)).bind(&work);
            let query = query.bind(i64::from(job.rate.in_1000_seconds()));
            let query = query.bind(job.started_by.map(|key| key.0)).bind(job_state_code(job.state));
            let query = query.bind(job.progress.examined_to).bind(job.progress.next_due_at.0);
            let inserted = query.bind(i64::from(most)).bind(&sealed).execute(&mut *transaction).await?;
            let is_new = inserted.rows_affected() > 0;
            if is_new {
                audit::add(&mut transaction, entry).await?;
            }
            transaction.commit().await?;
            Ok(is_new)
        })
        .await
    }

    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<Job>, StorageError> {
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = $1 AND tenant_id = $2");
        let _permit = self.permit_read(tenant).await?;
        let query = sqlx::query_as(sql).bind(id.0).bind(tenant.0);
        let row: Option<JobRow> = query.fetch_optional(self.pool()).await?;
        row.map(job_from_row).transpose()
    }

    async fn list_jobs(
        &self,
        tenant: TenantId,
        before: Option<JobId>,
        limit: u32,
    ) -> Result<Vec<Job>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = concat!(
            "SELECT ",
            job_columns!(),
            " FROM jobs WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
        );
        let query = sqlx::query_as(sql).bind(tenant.0).bind(before.map_or(i64::MAX, |id| id.0));
        let rows: Vec<JobRow> = query.bind(i64::from(limit)).fetch_all(self.pool()).await?;
        rows.into_iter().map(job_from_row).collect()
    }

    async fn change_job(
        &self,
        tenant: TenantId,
        id: JobId,
        to: JobState,
        now: UnixMillis,
        entry: &AuditEntry,
    ) -> Result<Option<Job>, StorageError> {
        let from: Vec<i64> = to.reached_from().iter().map(|state| job_state_code(*state)).collect();
        let sql = "UPDATE jobs SET state = $1, lease_id = NULL, \
            finished_at = CASE WHEN $1 < 2 THEN NULL ELSE coalesce(finished_at, $2) END \
            WHERE id = $3 AND tenant_id = $4 AND state = ANY ($5)";
        self.repeat_on_conflict(|| async {
            let mut transaction = self.pool().begin().await?;
            let query = sqlx::query(sql).bind(job_state_code(to)).bind(now.0).bind(id.0).bind(tenant.0);
            if query.bind(&from).execute(&mut *transaction).await?.rows_affected() > 0 {
                audit::add(&mut transaction, entry).await?;
            }
            Ok(transaction.commit().await?)
        })
        .await?;
        self.job(tenant, id).await
    }

    async fn take_jobs(
        &self,
        lease: Lease,
        held: &[JobId],
        wanted: &WantedJob<'_>,
    ) -> Result<Vec<Job>, StorageError> {
        let (node, epoch) = (self.session.number(), self.session.epoch());
        let held: Vec<i64> = held.iter().map(|id| id.0).collect();
        let sql = concat!(
            "SELECT id, hook_id, lease_id IS NOT NULL AND lease_node = $1 FROM jobs WHERE ",
            free!(),
            " ORDER BY id LIMIT $3"
        );
        let query = sqlx::query_as(sql).bind(node).bind(&held).bind(MAX_FREE);
        let found: Vec<(i64, Option<i64>, Option<bool>)> = query.fetch_all(self.pool()).await?;
        let (found, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, hook, _)| wanted(hook.map(HookId)));
        let is_mine = |other: &(i64, Option<i64>, Option<bool>)| other.2 == Some(true);
        let lost: Vec<i64> = others.into_iter().filter(is_mine).map(|(id, ..)| id).collect();
        if !lost.is_empty() {
            let sql =
                "UPDATE jobs SET lease_id = NULL WHERE lease_node = $1 AND id = ANY ($2) AND id <> ALL ($3)";
            sqlx::query(sql).bind(node).bind(lost).bind(&held).execute(self.pool()).await?;
        }
        let found: Vec<i64> = found.into_iter().map(|(id, ..)| id).collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // Two nodes lock rows in one order. What the other one took is not free any more.
        let sql = concat!(
            "WITH free AS MATERIALIZED (SELECT id AS free_id FROM jobs WHERE id = ANY ($5) AND ",
            free!(),
            " ORDER BY id FOR UPDATE SKIP LOCKED) \
            UPDATE jobs SET lease_node = $1, lease_epoch = $3, lease_id = $4 FROM free WHERE id = free_id RETURNING ",
            job_columns!()
        );
        let query = sqlx::query_as(sql).bind(node).bind(held).bind(epoch).bind(lease.id.0).bind(found);
        let taken: Vec<JobRow> = query.fetch_all(self.pool()).await?;
        Ok(taken.into_iter().filter_map(|row| readable(job_from_row(row))).collect())
    }

    async fn release_job(&self, id: JobId, lease: Lease) -> Result<(), StorageError> {
        let query = sqlx::query("UPDATE jobs SET lease_id = NULL WHERE id = $1 AND lease_id = $2");
        query.bind(id.0).bind(lease.id.0).execute(self.pool()).await?;
        Ok(())
    }

    async fn replayable(
        &self,
        query: &ReplayQuery<'_>,
        wanted: &WantedEvent<'_>,
    ) -> Result<Replayable, StorageError> {
        let _permit = self.permit_read(query.tenant).await?;
        let replay = query.replay;
        let sql = "SELECT key, tenant_id, event_type, project FROM events WHERE key > $1 AND key < $2 \
            ORDER BY key LIMIT $3";
        let rows = sqlx::query_as(sql).bind(query.after.0).bind(EventKey::first_at(replay.until).0);
        let rows = rows.bind(i64::from(query.max_visited)).fetch_all(self.pool()).await?;
        let (mut keys, last) = visited(rows, query.max_visited, query.tenant, wanted);
        let last = cut_to_read(query, &mut keys, last);
        // Scalar subqueries, so that each delivery is looked up by its key, whatever the planner knows of the tables.
        let sql = "SELECT key, former, coalesce( \
                (SELECT u.state FROM unfinished_deliveries u WHERE u.tenant_id = $2 AND u.id = former), \
                (SELECT f.state FROM finished_deliveries f WHERE f.tenant_id = $2 AND f.id = former))::bigint, size FROM \
            (SELECT e.key, octet_length(e.data)::bigint AS size, (SELECT max(d.id) \
                FROM unnest(e.delivery_ids, e.hook_ids) d (id, hook_id) WHERE d.hook_id = $3) AS former \
            FROM events e WHERE e.key = ANY ($1) AND can_be_sent(e.key)) named ORDER BY key";
        let rows = sqlx::query_as(sql).bind(keys).bind(query.tenant.0).bind(replay.hook.0);
        let rows: Vec<ReplayableRow> = rows.fetch_all(self.pool()).await?;
        chosen(query, rows, last)
    }

    async fn commit_step(&self, step: &JobStep) -> Result<StepEnd, StorageError> {
        self.session.check_alive()?;
        self.repeat_on_conflict(|| async {
            let mut transaction = self.pool().begin_change().await?;
            let sql = "SELECT check_epoch($1, $2)";
            let check = sqlx::query(sql).bind(self.session.number()).bind(self.session.epoch());
            check.execute(&mut *transaction).await.map_err(|error| self.session.failed(error))?;
            let end = commit(&mut transaction, step).await?;
            transaction.commit().await?;
            Ok(end)
        })
        .await
    }

    async fn states_of(
        &self,
        tenant: TenantId,
        ids: &[DeliveryId],
    ) -> Result<Vec<(DeliveryId, HookId, DeliveryState)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // Each is looked up by its key, whatever the planner knows of the tables.
        let sql = "SELECT found.id, found.hook_id, found.state::bigint FROM unnest($1::bigint[]) w (id) CROSS JOIN LATERAL \
            (SELECT u.id, u.hook_id, u.state FROM unfinished_deliveries u \
                WHERE u.tenant_id = $2 AND u.id = w.id AND u.ordering_waits IS NOT TRUE \
            UNION ALL \
            SELECT f.id, f.hook_id, f.state FROM finished_deliveries f WHERE f.tenant_id = $2 AND f.id = w.id) found";
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let rows: Vec<(i64, i64, i64)> =
            sqlx::query_as(sql).bind(ids).bind(tenant.0).fetch_all(self.pool()).await?;
        let row = |(id, hook, state)| Ok((DeliveryId(id), HookId(hook), state_from_code(state)?));
        rows.into_iter().map(row).collect()
    }

    async fn remove_jobs(&self, before: UnixMillis) -> Result<u64, StorageError> {
        // What a replay with its own pipeline made needs it until it is final.
        let sql = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs j WHERE state >= 2 AND finished_at < $1 \
            AND (sealed IS NULL OR NOT EXISTS (SELECT FROM delivery_notes n JOIN unfinished_deliveries u \
                ON u.tenant_id = n.tenant_id AND u.id = n.delivery_id \
                WHERE n.job_id IS NOT NULL AND n.job_id = j.id)) LIMIT $2)";
        let query = sqlx::query(sql).bind(before.0).bind(i64::from(MAX_REMOVED_JOBS));
        Ok(query.execute(self.pool()).await?.rows_affected())
    }

    async fn pipeline_bytes(&self, tenant: TenantId) -> Result<u64, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT coalesce(sum(octet_length(sealed)), 0)::bigint FROM jobs WHERE tenant_id = $1";
        let bytes: i64 = sqlx::query_scalar(sql).bind(tenant.0).fetch_one(self.pool()).await?;
        Ok(bytes.unsigned_abs())
    }
}

async fn commit(connection: &mut PgConnection, step: &JobStep) -> Result<StepEnd, StorageError> {
    let Job { id, tenant, work, progress, .. } = &step.job;
    let sql =
        "SELECT id FROM jobs WHERE id = $1 AND state = 0 AND lease_id = $2 AND examined_to = $3 FOR UPDATE";
    let query = sqlx::query_scalar(sql).bind(id.0).bind(step.lease.id.0).bind(progress.examined_to);
    let running: Option<i64> = query.fetch_optional(&mut *connection).await?;
    if running.is_none() {
        return Ok(StepEnd::NotRunning);
    }
    if step.fails() {
        let sql = "SELECT EXISTS (SELECT FROM hooks WHERE id = $1 AND tenant_id = $2)";
        let query = sqlx::query_scalar(sql).bind(work.hook().map(|hook| hook.0)).bind(tenant.0);
        let has_hook: bool = query.fetch_one(&mut *connection).await?;
        if has_hook {
            return Ok(StepEnd::NotRunning);
        }
    }
    let made = match (work, &step.changes) {
        (JobWork::Replay(of), StepChanges::Replay(new)) => {
            let made = replay(&mut *connection, (*tenant, of.hook), new).await?;
            delivery_notes::note_job(&mut *connection, (*tenant, *id), &made).await?;
            made
        }
        (JobWork::Retry(filter), StepChanges::Retry(due)) => {
            retry(&mut *connection, *tenant, filter, due).await?
        }
        (JobWork::Cancel(filter), StepChanges::Cancel(ids)) => {
            cancel(&mut *connection, *tenant, filter, ids).await?
        }
        _ => Vec::new(),
    };
    let after = step.after(made);
    let sql = "UPDATE jobs SET state = $1, reason = $2, examined_to = $3, examined = $4, made = $5, next_due_at = $6, \
        outstanding = $7, finished_at = $8 WHERE id = $9";
    let query = sqlx::query(sql).bind(job_state_code(after.state)).bind(&after.reason);
    let query = query.bind(after.progress.examined_to).bind(count_column(after.progress.examined));
    let query = query.bind(count_column(after.progress.made)).bind(after.progress.next_due_at.0);
    let query = query.bind(ids_to_text(&after.progress.outstanding)?);
    query.bind(after.finished_at.map(|time| time.0)).bind(id.0).execute(connection).await?;
    Ok(StepEnd::Done(Box::new(after)))
}

/// The events' rows name the new deliveries, too. The lock on the hook keeps it from being deleted meanwhile.
async fn replay(
    connection: &mut PgConnection,
    (tenant, hook): (TenantId, HookId),
    new: &[NewReplay],
) -> Result<Vec<DeliveryId>, StorageError> {
    let sql = "WITH hook AS MATERIALIZED (SELECT id FROM hooks WHERE id = $5 AND tenant_id = $6 FOR SHARE), \
        named AS (UPDATE events e SET delivery_ids = coalesce(e.delivery_ids, '{}') || n.id, \
            hook_ids = coalesce(e.hook_ids, '{}') || $5 \
            FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) n (event, former, id, due_at) \
            WHERE e.key = n.event AND e.tenant_id = $6 AND EXISTS (SELECT FROM hook) \
                AND coalesce(cardinality(e.delivery_ids), 0) < $7 AND can_be_sent(e.key) \
                AND (SELECT max(d.id) FROM unnest(e.delivery_ids, e.hook_ids) d (id, hook_id) WHERE d.hook_id = $5) \
                    IS NOT DISTINCT FROM n.former \
            RETURNING n.id, n.due_at, e.key, e.tenant_id, e.event_type), \
        made AS (INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, \
            attempts, failures, due_at) \
            SELECT tenant_id, id, $5, key, event_type, 2, 0, 0, 0, due_at FROM named RETURNING id) \
        SELECT id FROM made ORDER BY id";
    let query = sqlx::query_scalar(sql).bind(new.iter().map(|it| it.of.event.0).collect::<Vec<_>>());
    let query = query.bind(new.iter().map(|it| it.of.former.map(|id| id.0)).collect::<Vec<_>>());
    let query = query.bind(new.iter().map(|it| it.id.0).collect::<Vec<_>>());
    let query = query.bind(new.iter().map(|it| it.due_at.0).collect::<Vec<_>>());
    let query = query.bind(hook.0).bind(tenant.0).bind(i64::from(MAX_DELIVERIES));
    Ok(deliveries(query.fetch_all(connection).await?))
}

async fn retry(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &DeliveryFilter,
    due: &[(DeliveryId, UnixMillis)],
) -> Result<Vec<DeliveryId>, StorageError> {
    let (first, last) = bounds(due.iter().map(|(id, _)| *id));
    // The range of ids leaves out partitions.
    let sql = "WITH n AS (SELECT * FROM unnest($1::bigint[], $2::bigint[]) n (retried, due)), \
        gone AS (DELETE FROM finished_deliveries f USING n WHERE f.tenant_id = $3 AND f.id = n.retried \
            AND f.id BETWEEN $6 AND $7 AND f.state = ANY ($4::bigint[]) AND f.made_by <> 1 AND f.attempts < $5 AND can_be_sent(f.event_key) \
            AND EXISTS (SELECT FROM hooks h WHERE h.id = f.hook_id AND h.tenant_id = $3 AND h.enabled) \
            RETURNING f.*, n.due), \
        again AS (INSERT INTO unfinished_deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, \
            attempts, failures, due_at) \
            SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 0, attempts, 0, due FROM gone RETURNING id), \
        sooner AS (UPDATE unfinished_deliveries u SET state = 0, failures = 0, \
            due_at = CASE WHEN u.ordering_waits THEN u.due_at ELSE n.due END FROM n \
            WHERE u.tenant_id = $3 AND u.id = n.retried AND u.state <> 1 AND u.state = ANY ($4::bigint[]) \
            AND u.made_by <> 1 AND u.attempts < $5 \
            AND EXISTS (SELECT FROM hooks h WHERE h.id = u.hook_id AND h.tenant_id = $3 AND h.enabled) RETURNING u.id) \
        SELECT id FROM again UNION ALL SELECT id FROM sooner ORDER BY id";
    let query = sqlx::query_scalar(sql).bind(due.iter().map(|(id, _)| id.0).collect::<Vec<_>>());
    let query = query.bind(due.iter().map(|(_, at)| at.0).collect::<Vec<_>>()).bind(tenant.0);
    let query = query.bind(state_codes(filter)).bind(i64::from(RetrySchedule::MAX_ATTEMPTS_FOR_MANUAL_RETRY));
    let ids = query.bind(first).bind(last).fetch_all(&mut *connection).await?;
    changed(connection, ids).await
}

async fn cancel(
    connection: &mut PgConnection,
    tenant: TenantId,
    filter: &DeliveryFilter,
    ids: &[DeliveryId],
) -> Result<Vec<DeliveryId>, StorageError> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    // Whatever leaves a group waits for this transaction. The locks come before those on rows.
    let sql = "SELECT lock_groups_to_remove(ARRAY(SELECT hook_id FROM unfinished_deliveries \
        WHERE tenant_id = $1 AND id = ANY ($2) AND ordering_seq IS NOT NULL))";
    sqlx::query(sql).bind(tenant.0).bind(&ids).execute(&mut *connection).await?;
    let sql = "WITH gone AS (DELETE FROM unfinished_deliveries WHERE tenant_id = $1 AND id = ANY ($2) AND state <> 1 \
            AND state = ANY ($3::bigint[]) RETURNING *), \
        done AS (INSERT INTO finished_deliveries \
            SELECT tenant_id, id, hook_id, event_key, event_type, made_by, 6, attempts, failures FROM gone) \
        SELECT id, hook_id, CASE WHEN ordering_seq IS NOT NULL THEN ordering_key END FROM gone";
    let query = sqlx::query_as(sql).bind(tenant.0).bind(ids).bind(state_codes(filter));
    let gone: Vec<(i64, i64, Option<String>)> = query.fetch_all(&mut *connection).await?;
    let groups = gone.iter().filter_map(|(_, hook, key)| Some((*hook, key.clone()?)));
    let (hooks, keys): (Vec<i64>, Vec<String>) = groups.unzip();
    if !hooks.is_empty() {
        let query = sqlx::query("SELECT advance_groups($1, $2, NULL)").bind(hooks).bind(keys);
        query.execute(&mut *connection).await?;
    }
    changed(connection, gone.into_iter().map(|(id, ..)| id).collect()).await
}

fn state_codes(filter: &DeliveryFilter) -> Vec<i64> {
    filter.states.iter().map(|state| state_code(*state)).collect()
}

/// The least and the greatest.
fn bounds(ids: impl Iterator<Item = DeliveryId>) -> (i64, i64) {
    ids.fold((i64::MAX, 0), |(first, last), id| (first.min(id.0), last.max(id.0)))
}

/// What earlier attempts of them rendered is not sent any more.
async fn changed(connection: &mut PgConnection, ids: Vec<i64>) -> Result<Vec<DeliveryId>, StorageError> {
    let sql = "DELETE FROM rendered_requests WHERE delivery_id = ANY ($1)";
    sqlx::query(sql).bind(&ids).execute(connection).await?;
    Ok(deliveries(ids))
}

fn deliveries(ids: Vec<i64>) -> Vec<DeliveryId> {
    ids.into_iter().map(DeliveryId).collect()
}
