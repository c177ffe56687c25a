//! Notes on deliveries, as clients read them.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::{QueryBuilder, Sqlite};

use super::rows::{DeliveryRow, delivery_columns, delivery_from_row};
use super::script::{is_among, json_ids, json_keys};
use super::stores::SqliteStores;
use crate::domain::{DeliveryId, JobId, TenantId};
use crate::storage::delivery_notes::{NoteRow, noted, notes_from_rows};
use crate::storage::{DeliveryNote, DeliveryNoteStore, Listed, NoteFilter, StorageError};

#[async_trait]
impl DeliveryNoteStore for SqliteStores {
    async fn notes_of(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, DeliveryNote>, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT delivery_id, job_id, interrupted FROM delivery_notes \
            WHERE delivery_id IN (SELECT value FROM json_each(?)) AND tenant_id = ?";
        let query = sqlx::query_as(sql).bind(json_ids(deliveries.iter().map(|id| id.0))).bind(tenant.0);
        let rows: Vec<NoteRow> = query.fetch_all(&self.readers).await?;
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
        let mut sql =
            QueryBuilder::<Sqlite>::new("SELECT delivery_id FROM delivery_notes WHERE tenant_id = ");
        sql.push_bind(tenant.0).push(" AND delivery_id < ").push_bind(before.map_or(i64::MAX, |id| id.0));
        if let Some(job) = filter.job {
            sql.push(" AND job_id IS NOT NULL AND job_id = ").push_bind(job.0);
        }
        // The statement contains the condition of the partial index literally.
        if filter.interrupted {
            sql.push(" AND interrupted > 0");
        }
        sql.push(" ORDER BY delivery_id DESC LIMIT ").push_bind(limit);
        let ids: Vec<i64> = sql.build_query_scalar().fetch_all(&self.readers).await?;
        let sql = concat!(
            "SELECT ",
            delivery_columns!(),
            " FROM deliveries WHERE ",
            is_among!(),
            " ORDER BY id DESC"
        );
        let query = sqlx::query_as(sql).bind(json_keys(ids.iter().map(|id| (tenant.0, *id))));
        let rows: Vec<DeliveryRow> = query.fetch_all(&self.readers).await?;
        let deliveries = rows.into_iter().map(delivery_from_row).collect::<Result<_, _>>()?;
        Ok(noted(&ids, deliveries, limit))
    }

    async fn count_interrupted(&self, tenant: TenantId, job: JobId) -> Result<u64, StorageError> {
        let _permit = self.permit_read(tenant).await?;
        let sql = "SELECT count(*) FROM delivery_notes \
            WHERE job_id IS NOT NULL AND job_id = ? AND tenant_id = ? AND interrupted > 0";
        let query = sqlx::query_scalar(sql).bind(job.0).bind(tenant.0);
        let count: i64 = query.fetch_one(&self.readers).await?;
        Ok(count.unsigned_abs())
    }
}
