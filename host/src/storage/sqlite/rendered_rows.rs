//! Rendered requests: their columns, and those that are not sealed, or under an older key.

use sqlx::sqlite::SqliteConnection;

use super::rows::{from_json, request_context_of, seal_parts, warn_of_request};
use crate::domain::DeliveryId;
use crate::storage::StorageError;
use crate::vault::Vault;

/// After `SELECT`: the columns of a rendered request.
macro_rules! rendered_columns {
    () => {
        "delivery_id, method, url, headers, body_kind, body, hook_updated_at, sealed"
    };
}
pub(super) use rendered_columns;

/// The last id of the visited rows, none if there were none, and how many of the rows were changed.
pub type Visited = (Option<i64>, u64);

/// Seals some rows of an earlier engine.
pub async fn seal_some(
    connection: &mut SqliteConnection,
    after: i64,
    limit: i64,
    vault: &Vault,
) -> Result<Visited, StorageError> {
    // A sealed row's headers are empty; they come before the body, which is long.
    let sql = "SELECT delivery_id, url, headers FROM rendered_requests WHERE headers <> '' AND delivery_id > ? \
        ORDER BY delivery_id LIMIT ?";
    let query = sqlx::query_as(sql).bind(after).bind(limit);
    let rows: Vec<(i64, String, String)> = query.fetch_all(&mut *connection).await?;
    let (mut last, mut count) = (None, 0);
    for (delivery, url, headers) in rows {
        last = Some(delivery);
        let sealed = from_json("rendered request", &headers)
            .and_then(|headers| seal_parts(delivery, &url, &headers, vault));
        match sealed {
            Ok(sealed) => {
                let sql =
                    "UPDATE rendered_requests SET url = '', headers = '', sealed = ? WHERE delivery_id = ?";
                sqlx::query(sql).bind(sealed).bind(delivery).execute(&mut *connection).await?;
                count += 1;
            }
            Err(error) => {
                let delivery = DeliveryId(delivery);
                tracing::error!(%delivery, error = &error as &dyn std::error::Error, "a rendered request is damaged and stays as it is");
            }
        }
    }
    Ok((last, count))
}

/// Seals some rows again that an older key sealed; counts those that open with none.
pub async fn rekey_some(
    connection: &mut SqliteConnection,
    after: i64,
    limit: i64,
    vault: &Vault,
    unreadable: &mut u64,
) -> Result<Visited, StorageError> {
    let sql = "SELECT delivery_id, sealed FROM rendered_requests WHERE delivery_id > ? ORDER BY delivery_id LIMIT ?";
    let query = sqlx::query_as(sql).bind(after).bind(limit);
    let rows: Vec<(i64, Option<Vec<u8>>)> = query.fetch_all(&mut *connection).await?;
    let (mut last, mut count) = (None, 0);
    for (delivery, sealed) in rows {
        last = Some(delivery);
        match sealed.map_or(Ok(None), |sealed| vault.reseal(&request_context_of(delivery), &sealed)) {
            Ok(None) => {}
            Ok(Some(sealed)) => {
                let sql = "UPDATE rendered_requests SET sealed = ? WHERE delivery_id = ?";
                sqlx::query(sql).bind(sealed).bind(delivery).execute(&mut *connection).await?;
                count += 1;
            }
            Err(_) => {
                warn_of_request(delivery);
                *unreadable += 1;
            }
        }
    }
    Ok((last, count))
}
