//! Notes on a few deliveries, besides what their rows say: which replay made them, and whether they may have been sent
//! twice.
//!
//! Most deliveries have no note, so that nothing is written or read for them. A replay notes what it makes. When a lease ends
//! without a record, because its node died or was cut off, its delivery may have been sent, and is sent again: that is noted
//! by the node that ends the lease.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::columns::pipeline_of_job;
use super::delivery_query::Listed;
use super::error::StorageError;
use crate::domain::{Delivery, DeliveryId, JobId, Pipeline, TenantId};
use crate::vault::Vault;

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DeliveryNote {
    /// The replay that made it, which may not be kept any more.
    pub job: Option<JobId>,
    /// How many leases of it ended without a record. If there is one, it may have been sent twice.
    pub interrupted: u64,
}

/// Which deliveries with notes are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoteFilter {
    /// Made by this replay.
    pub job: Option<JobId>,
    /// Interrupted at least once, so that it may have been sent twice.
    pub interrupted: bool,
}

/// Reads notes.
#[async_trait]
pub trait DeliveryNoteStore: Send + Sync {
    /// The notes on these deliveries. One without a note is left out.
    async fn notes_of(
        &self,
        tenant: TenantId,
        deliveries: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, DeliveryNote>, StorageError>;
    /// The deliveries whose notes are wanted, newest first: at most `limit`, older than `before`. At least one condition of
    /// `filter` is set. A delivery that does not exist any more is left out.
    async fn list_noted(
        &self,
        tenant: TenantId,
        filter: NoteFilter,
        before: Option<DeliveryId>,
        limit: u32,
    ) -> Result<Listed, StorageError>;
    /// How many deliveries of a replay were interrupted.
    async fn count_interrupted(&self, tenant: TenantId, job: JobId) -> Result<u64, StorageError>;
}

/// A note as columns: delivery, job, how often it was interrupted.
pub(super) type NoteRow = (i64, Option<i64>, i64);

/// Notes from their rows.
pub(super) fn notes_from_rows(rows: Vec<NoteRow>) -> HashMap<DeliveryId, DeliveryNote> {
    let note = |(delivery, job, interrupted): NoteRow| {
        let note = DeliveryNote { job: job.map(JobId), interrupted: u64::try_from(interrupted).unwrap_or(0) };
        (DeliveryId(delivery), note)
    };
    rows.into_iter().map(note).collect()
}

/// A page of noted deliveries. `ids` are those that were looked at, in order; some may not exist any more.
pub(super) fn noted(ids: &[i64], deliveries: Vec<Delivery>, limit: u32) -> Listed {
    let is_full = ids.len() >= limit as usize;
    Listed { deliveries, searched_to: ids.last().filter(|_| is_full).copied().map(DeliveryId) }
}

/// The pipelines of replayed deliveries: `noted` are deliveries with their jobs, `jobs` are ids with columns of
/// [`pipeline_of_job`]. A delivery whose job is not among them is left out.
pub(super) fn pipelines_from_rows(
    noted: Vec<(i64, i64)>,
    jobs: Vec<(i64, String, Vec<u8>)>,
    vault: &Vault,
) -> Result<HashMap<DeliveryId, Arc<Pipeline>>, StorageError> {
    let mut pipelines = HashMap::with_capacity(jobs.len());
    for (job, work, sealed) in jobs {
        pipelines.insert(job, Arc::new(pipeline_of_job(job, &work, &sealed, vault)?));
    }
    let pipeline = |(id, job)| Some((DeliveryId(id), Arc::clone(pipelines.get(&job)?)));
    Ok(noted.into_iter().filter_map(pipeline).collect())
}
