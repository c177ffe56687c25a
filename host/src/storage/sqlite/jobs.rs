//! Jobs.

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;

use super::audit;
use super::noting;
use super::ordering;
use super::rows::{
    JobRow, count_column, ids_to_text, job_columns, job_from_row, job_state_code, job_work_to_text, no_lease,
    readable, sealed_settings, state_code, state_from_code, to_json,
};
use super::script::{is_among, json_keys};
use super::stores::SqliteStores;
use crate::domain::{
    AuditEntry, DeliveryFilter, DeliveryId, DeliveryState, EventKey, HookId, Job, JobId, JobState, JobWork,
    Lease, OrderingKey, RetrySchedule, TenantId, UnixMillis,
};
use crate::storage::hook_states::visited;
use crate::storage::jobs::{MAX_FREE, ReplayableRow, chosen, cut_to_read};
use crate::storage::{
    JobStep, JobStore, MAX_DELIVERIES, MAX_ENDED_JOBS, MAX_REMOVED_JOBS, NewReplay, ReplayQuery, Replayable,
    StepChanges, StepEnd, StorageError, WantedEvent, WantedJob,
};

#[async_trait]
impl JobStore for SqliteStores {
    async fn insert_job(&self, job: &Job, most: u32, entry: &AuditEntry) -> Result<bool, StorageError> {
        self.health.check_space()?;
        let sql = "INSERT INTO jobs (id, tenant_id, hook_id, work, rate, started_by, state, examined_to, examined, made, \
            next_due_at, outstanding, sealed) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9, '[]', ?11 \
            WHERE (SELECT count(*) FROM jobs WHERE tenant_id = ?2 AND state < 2) < ?10";
        let query = sqlx::query(sql).bind(job.id.0).bind(job.tenant.0).bind(job.work.hook().map(|it| it.0));
        let query = query.bind(job_work_to_text(&job.work)?).bind(job.rate.in_1000_seconds());
        let query = query.bind(job.started_by.map(|key| key.0)).bind(job_state_code(job.state));
        let query = query.bind(job.progress.examined_to).bind(job.progress.next_due_at.0).bind(most);
        let query = query.bind(sealed_settings(job, &self.vault)?);
        let mut writer = self.writer().await;
        let connection = writer.begin().await?;
        let inserted = async {
            let ended = "DELETE FROM jobs WHERE sealed IS NULL AND id IN \
                (SELECT id FROM jobs WHERE tenant_id = ? AND state >= 2 ORDER BY id DESC LIMIT -1 OFFSET ?)";
            let ended = sqlx::query(ended).bind(job.tenant.0).bind(MAX_ENDED_JOBS);
            ended.execute(&mut *connection).await?;
            let is_new = query.execute(&mut *connection).await?.rows_affected() > 0;
            if is_new {
                audit::add(connection, entry).await?;
            }
            Ok(is_new)
        };
        let inserted = inserted.await;
        writer.finish(inserted).await
    }

    async fn job(&self, tenant: TenantId, id: JobId) -> Result<Option<Job>, StorageError> {
        let sql = concat!("SELECT ", job_columns!(), " FROM jobs WHERE id = ? AND tenant_id = ?");
        let _permit = self.permit_read(tenant).await?;
        let query = sqlx::query_as(sql).bind(id.0).bind(tenant.0);
        let row: Option<JobRow> = query.fetch_optional(&self.readers).await?;
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
            " FROM jobs WHERE tenant_id = ? AND id < ? ORDER BY id DESC LIMIT ?"
        );
        let query = sqlx::query_as(sql).bind(tenant.0).bind(before.map_or(i64::MAX, |id| id.0)).bind(limit);
        let rows: Vec<JobRow> = query.fetch_all(&self.readers).await?;
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
        let sql = "UPDATE jobs SET state = ?1, lease_id = NULL, finished_at = iif(?1 < 2, NULL, ifnull(finished_at, ?2)) \
            WHERE id = ?3 AND tenant_id = ?4 AND state IN (SELECT value FROM json_each(?5))";
        let query = sqlx::query(sql).bind(job_state_code(to)).bind(now.0).bind(id.0).bind(tenant.0);
        let query = query.bind(to_json(&from)?);
        let mut writer = self.writer().await;
        let connection = writer.begin().await?;
        let changed = async {
            if query.execute(&mut *connection).await?.rows_affected() > 0 {
                audit::add(connection, entry).await?;
            }
            Ok(())
        };
        let changed = changed.await;
        writer.finish(changed).await?;
        drop(writer);
        self.job(tenant, id).await
    }

    async fn take_jobs(
        &self,
        lease: Lease,
        held: &[JobId],
        wanted: &WantedJob<'_>,
    ) -> Result<Vec<Job>, StorageError> {
        let held = to_json(&held.iter().map(|id| id.0).collect::<Vec<_>>())?;
        let free = "state < 2 AND state = 0 AND (lease_id IS NULL OR lease_node = ?1 \
            AND id NOT IN (SELECT value FROM json_each(?2)))";
        let sql = sqlx::AssertSqlSafe(format!(
            "SELECT id, hook_id, lease_id IS NOT NULL FROM jobs WHERE {free} ORDER BY id LIMIT ?3"
        ));
        let query = sqlx::query_as(sql).bind(lease.owner.0).bind(&held).bind(MAX_FREE);
        let found: Vec<(i64, Option<i64>, bool)> = query.fetch_all(&self.feeding).await?;
        let (found, others): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|(_, hook, _)| wanted(hook.map(HookId)));
        let lost: Vec<i64> = others.into_iter().filter(|(.., is_mine)| *is_mine).map(|(id, ..)| id).collect();
        if !lost.is_empty() {
            let sql = "UPDATE jobs SET lease_id = NULL WHERE lease_node = ? AND id IN (SELECT value FROM json_each(?)) \
                AND id NOT IN (SELECT value FROM json_each(?))";
            self.changes(sqlx::query(sql).bind(lease.owner.0).bind(to_json(&lost)?).bind(&held)).await?;
        }
        let found: Vec<i64> = found.into_iter().map(|(id, ..)| id).collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let sql = sqlx::AssertSqlSafe(format!(
            "UPDATE jobs SET lease_node = ?1, lease_id = ?3 WHERE {free} AND id IN (SELECT value FROM json_each(?4)) \
            RETURNING {}",
            job_columns!()
        ));
        let query =
            sqlx::query_as(sql).bind(lease.owner.0).bind(held).bind(lease.id.0).bind(to_json(&found)?);
        let mut writer = self.writer().await;
        let taken = query.fetch_all(writer.begin().await?).await.map_err(StorageError::from);
        let taken: Vec<JobRow> = writer.finish(taken).await?;
        Ok(taken.into_iter().filter_map(|row| readable(job_from_row(row))).collect())
    }

    async fn release_job(&self, id: JobId, lease: Lease) -> Result<(), StorageError> {
        let query = sqlx::query("UPDATE jobs SET lease_id = NULL WHERE id = ? AND lease_id = ?");
        self.changes(query.bind(id.0).bind(lease.id.0)).await.map(drop)
    }

    async fn replayable(
        &self,
        query: &ReplayQuery<'_>,
        wanted: &WantedEvent<'_>,
    ) -> Result<Replayable, StorageError> {
        let _permit = self.permit_read(query.tenant).await?;
        let replay = query.replay;
        // Data is not read: it comes after these columns.
        let sql = "SELECT key, tenant_id, event_type, project FROM events WHERE key > ? AND key < ? \
            ORDER BY key LIMIT ?";
        let rows = sqlx::query_as(sql).bind(query.after.0).bind(EventKey::first_at(replay.until).0);
        let rows = rows.bind(query.max_visited).fetch_all(&self.readers).await?;
        let (mut keys, last) = visited(rows, query.max_visited, query.tenant, wanted);
        let last = cut_to_read(query, &mut keys, last);
        let sql = "SELECT key, former, (SELECT state FROM deliveries WHERE tenant_id = ?2 AND id = former), size FROM \
            (SELECT e.key, octet_length(e.data) AS size, (SELECT max(e.key + (d.value ->> 0)) \
                FROM json_each(e.deliveries) d WHERE (d.value ->> 1) = ?3) AS former \
            FROM json_each(?1) w CROSS JOIN events e ON e.key = w.value \
            WHERE NOT EXISTS (SELECT 1 FROM erased_events x WHERE x.event_key = e.key)) ORDER BY key";
        let rows = sqlx::query_as(sql).bind(to_json(&keys)?).bind(query.tenant.0).bind(replay.hook.0);
        let rows: Vec<ReplayableRow> = rows.fetch_all(&self.readers).await?;
        chosen(query, rows, last)
    }

    async fn commit_step(&self, step: &JobStep) -> Result<StepEnd, StorageError> {
        self.health.check_space()?;
        let mut writer = self.writer().await;
        let done = commit(writer.begin().await?, step).await;
        writer.finish(done).await
    }

    async fn states_of(
        &self,
        tenant: TenantId,
        ids: &[DeliveryId],
    ) -> Result<Vec<(DeliveryId, HookId, DeliveryState)>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT d.id, d.hook_id, d.state FROM json_each(?) w \
            CROSS JOIN deliveries d ON d.tenant_id = ? AND d.id = w.value WHERE NOT ifnull(d.ordering_waits, 0)";
        let query = sqlx::query_as(sql).bind(ids_to_text(ids)?).bind(tenant.0);
        let rows: Vec<(i64, i64, i64)> = query.fetch_all(&self.readers).await?;
        let row = |(id, hook, state)| Ok((DeliveryId(id), HookId(hook), state_from_code(state)?));
        rows.into_iter().map(row).collect()
    }

    async fn remove_jobs(&self, before: UnixMillis) -> Result<u64, StorageError> {
        // What a replay with its own pipeline made needs it until it is final. These look-ups do not hold up the writer.
        let sql = "SELECT id FROM jobs WHERE state >= 2 AND finished_at < ? AND (sealed IS NULL OR NOT EXISTS \
            (SELECT 1 FROM delivery_notes n CROSS JOIN deliveries d ON d.tenant_id = n.tenant_id AND d.id = n.delivery_id \
            WHERE n.job_id IS NOT NULL AND n.job_id = jobs.id AND d.state < 3)) LIMIT ?";
        let query = sqlx::query_scalar(sql).bind(before.0).bind(MAX_REMOVED_JOBS);
        let ids: Vec<i64> = query.fetch_all(&self.readers).await?;
        if ids.is_empty() {
            return Ok(0);
        }
        let sql = "DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))";
        self.changes(sqlx::query(sql).bind(to_json(&ids)?)).await
    }

    async fn pipeline_bytes(&self, tenant: TenantId) -> Result<u64, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT ifnull(sum(octet_length(sealed)), 0) FROM jobs WHERE tenant_id = ?";
        let bytes: i64 = sqlx::query_scalar(sql).bind(tenant.0).fetch_one(&self.readers).await?;
        Ok(bytes.unsigned_abs())
    }
}

async fn commit(connection: &mut SqliteConnection, step: &JobStep) -> Result<StepEnd, StorageError> {
    let Job { id, tenant, work, progress, .. } = &step.job;
    let sql =
        "SELECT EXISTS (SELECT 1 FROM jobs WHERE id = ? AND state = 0 AND lease_id = ? AND examined_to = ?)";
    let query = sqlx::query_scalar(sql).bind(id.0).bind(step.lease.id.0).bind(progress.examined_to);
    let is_running: bool = query.fetch_one(&mut *connection).await?;
    if !is_running {
        return Ok(StepEnd::NotRunning);
    }
    if step.fails() {
        let sql = "SELECT EXISTS (SELECT 1 FROM hooks WHERE id = ? AND tenant_id = ?)";
        let query = sqlx::query_scalar(sql).bind(work.hook().map(|hook| hook.0)).bind(tenant.0);
        let has_hook: bool = query.fetch_one(&mut *connection).await?;
        if has_hook {
            return Ok(StepEnd::NotRunning);
        }
    }
    let made = match (work, &step.changes) {
        (JobWork::Replay(of), StepChanges::Replay(new)) => {
            let made = replay(connection, (*tenant, of.hook), new).await?;
            noting::note_job(connection, (*tenant, *id), &made).await?;
            made
        }
        (JobWork::Retry(filter), StepChanges::Retry(due)) => retry(connection, *tenant, filter, due).await?,
        (JobWork::Cancel(filter), StepChanges::Cancel(ids)) => {
            cancel(connection, *tenant, filter, ids).await?
        }
        _ => Vec::new(),
    };
    let after = step.after(made);
    let sql = "UPDATE jobs SET state = ?, reason = ?, examined_to = ?, examined = ?, made = ?, next_due_at = ?, \
        outstanding = ?, finished_at = ? WHERE id = ?";
    let query = sqlx::query(sql).bind(job_state_code(after.state)).bind(&after.reason);
    let query = query.bind(after.progress.examined_to).bind(count_column(after.progress.examined));
    let query = query.bind(count_column(after.progress.made)).bind(after.progress.next_due_at.0);
    let query = query.bind(ids_to_text(&after.progress.outstanding)?);
    query.bind(after.finished_at.map(|time| time.0)).bind(id.0).execute(connection).await?;
    Ok(StepEnd::Done(Box::new(after)))
}

/// The events' rows name the new deliveries, too.
async fn replay(
    connection: &mut SqliteConnection,
    (tenant, hook): (TenantId, HookId),
    new: &[NewReplay],
) -> Result<Vec<DeliveryId>, StorageError> {
    let rows: Vec<_> =
        new.iter().map(|it| (it.of.event.0, it.of.former.map(|id| id.0), it.id.0, it.due_at.0)).collect();
    let rows = to_json(&rows)?;
    let sql = "UPDATE events SET deliveries = json_insert(ifnull(deliveries, '[]'), '$[#]', json_array(n.id - key, ?2)) \
        FROM (SELECT value ->> 0 AS event, value ->> 1 AS former, value ->> 2 AS id FROM json_each(?1)) n \
        WHERE key = n.event AND tenant_id = ?3 AND EXISTS (SELECT 1 FROM hooks WHERE id = ?2 AND tenant_id = ?3) \
        AND json_array_length(ifnull(deliveries, '[]')) < ?4 \
        AND NOT EXISTS (SELECT 1 FROM erased_events x WHERE x.event_key = events.key) \
        AND (SELECT max(events.key + (d.value ->> 0)) FROM json_each(events.deliveries) d WHERE (d.value ->> 1) = ?2) IS n.former \
        RETURNING key";
    let query = sqlx::query_scalar(sql).bind(&rows).bind(hook.0).bind(tenant.0).bind(MAX_DELIVERIES);
    let named: Vec<i64> = query.fetch_all(&mut *connection).await?;
    let named = to_json(&named)?;
    let sql = "INSERT INTO deliveries (tenant_id, id, hook_id, event_key, event_type, made_by, state, attempts, failures, \
        due_at) SELECT e.tenant_id, n.value ->> 2, ?3, e.key, e.event_type, 2, 0, 0, 0, n.value ->> 3 \
        FROM json_each(?1) n CROSS JOIN events e ON e.key = (n.value ->> 0) \
        WHERE e.key IN (SELECT value FROM json_each(?2)) RETURNING id";
    let query = sqlx::query_scalar(sql).bind(rows).bind(named).bind(hook.0);
    let mut made: Vec<i64> = query.fetch_all(&mut *connection).await?;
    made.sort_unstable();
    let made: Vec<_> = made.into_iter().map(DeliveryId).collect();
    super::id_buckets::add_all(connection, hook, &made).await?;
    Ok(made)
}

async fn retry(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    filter: &DeliveryFilter,
    due: &[(DeliveryId, UnixMillis)],
) -> Result<Vec<DeliveryId>, StorageError> {
    let rows: Vec<_> = due.iter().map(|(id, due_at)| (tenant.0, id.0, due_at.0)).collect();
    // What was final had left its order. What waits for others goes on waiting.
    let sql = "UPDATE deliveries SET state = 0, failures = 0, \
        due_at = iif(state < 3 AND ordering_waits, deliveries.due_at, n.due_at), \
        ordering_seq = iif(state < 3, ordering_seq, NULL), ordering_waits = iif(state < 3, ordering_waits, NULL) \
        FROM (SELECT value ->> 0 AS tenant, value ->> 1 AS retried, value ->> 2 AS due_at FROM json_each(?1)) n \
        WHERE tenant_id = n.tenant AND id = n.retried AND state <> 1 AND state IN (SELECT value FROM json_each(?3)) \
        AND made_by <> 1 AND attempts < ?4 AND NOT EXISTS (SELECT 1 FROM erased_events x WHERE x.event_key = deliveries.event_key) \
        AND EXISTS (SELECT 1 FROM hooks h WHERE h.id = hook_id AND h.tenant_id = ?2 AND h.enabled) RETURNING id";
    let query = sqlx::query_scalar(sql).bind(to_json(&rows)?).bind(tenant.0).bind(state_codes(filter)?);
    let query = query.bind(RetrySchedule::MAX_ATTEMPTS_FOR_MANUAL_RETRY);
    let ids: Vec<i64> = query.fetch_all(&mut *connection).await?;
    changed(connection, ids).await
}

async fn cancel(
    connection: &mut SqliteConnection,
    tenant: TenantId,
    filter: &DeliveryFilter,
    ids: &[DeliveryId],
) -> Result<Vec<DeliveryId>, StorageError> {
    let sql = concat!(
        "UPDATE deliveries SET state = 6, due_at = NULL, ",
        no_lease!(),
        " WHERE ",
        is_among!(),
        " AND (state = 0 OR state = 2) AND state IN (SELECT value FROM json_each(?)) \
        RETURNING id, hook_id, iif(ordering_seq IS NOT NULL, ordering_key, NULL)"
    );
    let query = sqlx::query_as(sql).bind(json_keys(ids.iter().map(|id| (tenant.0, id.0))));
    let cancelled: Vec<(i64, i64, Option<String>)> =
        query.bind(state_codes(filter)?).fetch_all(&mut *connection).await?;
    let group = |(_, hook, key): &(i64, i64, Option<String>)| {
        Some((*hook, OrderingKey::from_stored(key.as_deref()?)))
    };
    let groups = cancelled.iter().filter_map(group).collect();
    ordering::advance_now(connection, &groups).await?;
    changed(connection, cancelled.into_iter().map(|(id, ..)| id).collect()).await
}

fn state_codes(filter: &DeliveryFilter) -> Result<String, StorageError> {
    to_json(&filter.states.iter().map(|state| state_code(*state)).collect::<Vec<_>>())
}

/// What earlier attempts of them rendered is not sent any more.
async fn changed(
    connection: &mut SqliteConnection,
    mut ids: Vec<i64>,
) -> Result<Vec<DeliveryId>, StorageError> {
    ids.sort_unstable();
    let sql = "DELETE FROM rendered_requests WHERE delivery_id IN (SELECT value FROM json_each(?))";
    sqlx::query(sql).bind(to_json(&ids)?).execute(connection).await?;
    Ok(ids.into_iter().map(DeliveryId).collect())
}
