//! Notes on deliveries, as they are written, and the pipelines of the replays that made them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnection, SqlitePool};

use super::script::{json_ids, json_keys};
use crate::domain::{Delivery, DeliveryId, JobId, NodeNumber, Pipeline, TenantId, Trigger};
use crate::storage::StorageError;
use crate::storage::delivery_notes::pipelines_from_rows;
use crate::vault::Vault;

/// Notes that `job` made these deliveries.
pub async fn note_job(
    connection: &mut SqliteConnection,
    (tenant, job): (TenantId, JobId),
    made: &[DeliveryId],
) -> Result<(), StorageError> {
    let sql =
        "INSERT INTO delivery_notes (delivery_id, tenant_id, job_id) SELECT value, ?, ? FROM json_each(?)";
    let query = sqlx::query(sql).bind(tenant.0).bind(job.0).bind(json_ids(made.iter().map(|id| id.0)));
    query.execute(connection).await?;
    Ok(())
}

/// What an upsert does with a delivery that has a note.
macro_rules! or_count {
    () => {
        " ON CONFLICT (delivery_id) DO UPDATE SET interrupted = interrupted + 1"
    };
}

/// Notes that the leases of these deliveries ended without records.
pub async fn note_interrupted(
    connection: &mut SqliteConnection,
    deliveries: &[&Delivery],
) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO delivery_notes (delivery_id, tenant_id, interrupted) \
        SELECT value ->> 1, value ->> 0, 1 FROM json_each(?) WHERE true",
        or_count!()
    );
    sqlx::query(sql)
        .bind(json_keys(deliveries.iter().map(|it| (it.tenant.0, it.id.0))))
        .execute(connection)
        .await?;
    Ok(())
}

/// Notes that an earlier process of `node` stopped without an order, so that what it had leased may have been sent.
pub async fn note_lost_leases(
    connection: &mut SqliteConnection,
    node: NodeNumber,
) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO delivery_notes (delivery_id, tenant_id, interrupted) \
        SELECT id, tenant_id, 1 FROM deliveries INDEXED BY deliveries_unfinished \
        WHERE state < 3 AND state = 1 AND lease_owner = ?",
        or_count!()
    );
    sqlx::query(sql).bind(node.0).execute(connection).await?;
    Ok(())
}

/// The pipelines of the replays that made these deliveries, of those that have their own.
pub async fn pipelines_of(
    readers: &SqlitePool,
    deliveries: impl Iterator<Item = &Delivery>,
    vault: &Vault,
) -> Result<HashMap<DeliveryId, Arc<Pipeline>>, StorageError> {
    let replayed: Vec<i64> =
        deliveries.filter(|it| it.trigger == Trigger::Replay).map(|it| it.id.0).collect();
    if replayed.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "SELECT n.delivery_id, n.job_id FROM json_each(?) w CROSS JOIN delivery_notes n ON n.delivery_id = w.value \
        CROSS JOIN jobs j ON j.id = n.job_id WHERE j.sealed IS NOT NULL";
    let noted: Vec<(i64, i64)> = sqlx::query_as(sql).bind(json_ids(replayed)).fetch_all(readers).await?;
    // Most replays have no pipeline of their own.
    if noted.is_empty() {
        return Ok(HashMap::new());
    }
    let jobs: HashSet<i64> = noted.iter().map(|(_, job)| *job).collect();
    let sql = "SELECT id, work, sealed FROM jobs WHERE id IN (SELECT value FROM json_each(?)) AND sealed IS NOT NULL";
    let jobs: Vec<(i64, String, Vec<u8>)> =
        sqlx::query_as(sql).bind(json_ids(jobs)).fetch_all(readers).await?;
    pipelines_from_rows(noted, jobs, vault)
}
