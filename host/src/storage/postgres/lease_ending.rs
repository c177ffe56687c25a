//! Makes deliveries due again whose leases are [lost](super::lost_leases).

use std::time::Duration;

use super::lost_leases::Lost;
use super::session::Session;
use crate::clock;
use crate::domain::{DeliveryId, UnixMillis};
use crate::storage::StorageError;

/// So long after its loss, a lease is still looked for: the server may have gone on with the transaction.
const LOOKED_FOR: Duration = Duration::from_secs(10);
/// How many leases are looked for in one statement, at most.
const MAX_TOGETHER: usize = 1_000;

/// Ends the lost leases: their deliveries are due at `now`.
///
/// # Errors
/// Those that could not be ended are looked for again.
pub async fn end(session: &Session, now: UnixMillis) -> Result<(), StorageError> {
    let (began, all) = (clock::monotonic(), session.lost_leases.all());
    let mut ended = 0;
    for lost in all.chunks(MAX_TOGETHER) {
        ended += end_some(session, lost, now).await?;
    }
    if let Some(time) = began.checked_sub(LOOKED_FOR) {
        session.lost_leases.forget(time);
        let forgotten = all.iter().filter(|lost| lost.since <= time);
        session.rowless.lock().remove(forgotten.filter_map(|lost| lost.stored_with));
    }
    if ended > 0 {
        tracing::warn!(
            deliveries = ended,
            "deliveries are due again whose leases were lost with a connection"
        );
        session.due.notify_one();
    }
    Ok(())
}

async fn end_some(session: &Session, lost: &[Lost], now: UnixMillis) -> Result<u64, StorageError> {
    let stored: Vec<DeliveryId> = lost.iter().filter_map(|lost| lost.stored_with).collect();
    if !stored.is_empty() {
        let raw: Vec<i64> = stored.iter().map(|id| id.0).collect();
        sqlx::query("SELECT materialize($1)").bind(raw).execute(&session.pool).await?;
        // The others' events may be committed later: until then, the mark must not pass them.
        session.rowless.lock().remove_stored(&stored);
    }
    let sql = "UPDATE unfinished_deliveries SET state = CASE WHEN attempts = 0 THEN 0 ELSE 2 END, due_at = $1, \
        lease_owner = NULL, lease_id = NULL, lease_until = NULL FROM unnest($2::bigint[], $3::bigint[]) w (lease, until) \
        WHERE coalesce(due_at, unfinished_deliveries.lease_until) = w.until AND lease_id = w.lease AND state = 1";
    let query = sqlx::query(sql).bind(now.0);
    let query = query.bind(lost.iter().map(|lost| lost.lease.0).collect::<Vec<_>>());
    let query = query.bind(lost.iter().map(|lost| lost.until.0).collect::<Vec<_>>());
    Ok(query.execute(&session.pool).await?.rows_affected())
}
