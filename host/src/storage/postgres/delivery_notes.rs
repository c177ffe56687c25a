//! Notes on deliveries, and the pipelines of the replays that made them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx_postgres::PgConnection;

use super::rows::delivery_columns;
use super::session::Session;
use super::stores::PostgresStores;
use crate::domain::{Delivery, DeliveryId, JobId, Pipeline, TenantId, Trigger};
use crate::storage::columns::{DeliveryRow, delivery_from_row};
use crate::storage::delivery_notes::{NoteRow, noted, notes_from_rows, pipelines_from_rows};
use crate::storage::{DeliveryNote, DeliveryNoteStore, Listed, NoteFilter, StorageError};

#[async_trait]
impl DeliveryNoteStore for PostgresStores {
    async fn notes_of(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, DeliveryNote>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT delivery_id, job_id, interrupted FROM delivery_notes \
            WHERE delivery_id = ANY ($1) AND tenant_id = $2";
        let query = sqlx::query_as(sql).bind(raw(deliveries.iter().copied())).bind(tenant.0);
        let rows: Vec<NoteRow> = query.fetch_all(self.pool()).await?;
        Ok(notes_from_rows(rows))
    }

    async fn list_noted(
        &self,
        tenant: TenantId,
        filter: NoteFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Listed, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        // With the conditions of the partial indexes.
        let sql = match (filter.job, filter.interrupted) {
            (Some(_), true) => {
                "SELECT delivery_id FROM delivery_notes WHERE tenant_id = $1 AND delivery_id < $2 \
                AND job_id IS NOT NULL AND job_id = $4 AND interrupted > 0 ORDER BY delivery_id DESC LIMIT $3"
            }
            (Some(_), false) => {
                "SELECT delivery_id FROM delivery_notes WHERE tenant_id = $1 AND delivery_id < $2 \
                AND job_id IS NOT NULL AND job_id = $4 ORDER BY delivery_id DESC LIMIT $3"
            }
            (None, _) => {
                "SELECT delivery_id FROM delivery_notes WHERE tenant_id = $1 AND delivery_id < $2 \
                AND interrupted > 0 AND $4::bigint IS NULL ORDER BY delivery_id DESC LIMIT $3"
            }
        };
        let query = sqlx::query_scalar(sql).bind(tenant.0).bind(before.map_or(i64::MAX, |id| id.0));
        let query = query.bind(i64::from(limit)).bind(filter.job.map(|job| job.0));
        let ids: Vec<i64> = query.fetch_all(self.pool()).await?;
        // Each is looked up by its key, whatever the planner knows of the tables.
        let sql = concat!(
            "SELECT d.* FROM unnest($1::bigint[]) WITH ORDINALITY w (noted, place) CROSS JOIN LATERAL (SELECT ",
            delivery_columns!(),
            " FROM deliveries WHERE tenant_id = $2 AND id = w.noted LIMIT 1) d ORDER BY w.place"
        );
        let query = sqlx::query_as(sql).bind(&ids).bind(tenant.0);
        let rows: Vec<DeliveryRow> = query.fetch_all(self.pool()).await?;
        let deliveries = rows.into_iter().map(delivery_from_row).collect::<Result<_, _>>()?;
        Ok(noted(&ids, deliveries, limit))
    }

    async fn count_interrupted(&self, tenant: TenantId, job: JobId) -> Result<u64, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT count(*) FROM delivery_notes \
            WHERE job_id IS NOT NULL AND job_id = $1 AND tenant_id = $2 AND interrupted > 0";
        let query = sqlx::query_scalar(sql).bind(job.0).bind(tenant.0);
        let count: i64 = query.fetch_one(self.pool()).await?;
        Ok(count.unsigned_abs())
    }
}

fn raw(ids: impl Iterator<Item = DeliveryId>) -> Vec<i64> {
    ids.map(|id| id.0).collect()
}

/// Notes that `job` made these deliveries.
pub async fn note_job(
    connection: &mut PgConnection,
    (tenant, job): (TenantId, JobId),
    made: &[DeliveryId],
) -> Result<(), StorageError> {
    let sql = "INSERT INTO delivery_notes (delivery_id, tenant_id, job_id) SELECT id, $1, $2 FROM unnest($3::bigint[]) n (id)";
    let query = sqlx::query(sql).bind(tenant.0).bind(job.0).bind(raw(made.iter().copied()));
    query.execute(connection).await?;
    Ok(())
}

/// Notes that the leases of these deliveries ended without records.
pub async fn note_interrupted(
    connection: &mut PgConnection,
    deliveries: &[&Delivery],
) -> Result<(), StorageError> {
    let sql = "INSERT INTO delivery_notes (delivery_id, tenant_id, interrupted) \
        SELECT id, tenant, 1 FROM unnest($1::bigint[], $2::bigint[]) n (id, tenant) \
        ON CONFLICT (delivery_id) DO UPDATE SET interrupted = delivery_notes.interrupted + 1";
    let query = sqlx::query(sql).bind(raw(deliveries.iter().map(|it| it.id)));
    let query = query.bind(deliveries.iter().map(|it| it.tenant.0).collect::<Vec<_>>());
    query.execute(connection).await?;
    Ok(())
}

/// The pipelines of the replays that made these deliveries, of those that have their own.
pub async fn pipelines_of(
    session: &Session,
    deliveries: impl Iterator<Item = &Delivery>,
) -> Result<HashMap<DeliveryId, Arc<Pipeline>>, StorageError> {
    let replayed = raw(deliveries.filter(|it| it.trigger == Trigger::Replay).map(|it| it.id));
    if replayed.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT n.delivery_id, n.job_id FROM delivery_notes n JOIN jobs j ON j.id = n.job_id \
        WHERE n.delivery_id = ANY ($1) AND j.sealed IS NOT NULL";
    let noted: Vec<(i64, i64)> = sqlx::query_as(sql).bind(replayed).fetch_all(&session.pool).await?;
    // Most replays have no pipeline of their own.
    if noted.is_empty() {
        return Ok(HashMap::new());
    }
    let jobs: HashSet<i64> = noted.iter().map(|(_, job)| *job).collect();
    let sql = "SELECT id, work, sealed FROM jobs WHERE id = ANY ($1) AND sealed IS NOT NULL";
    let query = sqlx::query_as(sql).bind(jobs.into_iter().collect::<Vec<_>>());
    let jobs: Vec<(i64, String, Vec<u8>)> = query.fetch_all(&session.pool).await?;
    pipelines_from_rows(noted, jobs, &session.vault)
}
