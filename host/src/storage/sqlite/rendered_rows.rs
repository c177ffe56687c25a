//! Rendered requests from and to columns. URL and headers are sealed: they hold a hook's credentials.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnection;
use std::borrow::Cow;

use super::rows::{damaged, from_json, to_json};
use crate::domain::{DeliveryId, HeaderList, Request, RequestBody, UnixMillis};
use crate::storage::{RenderedRequest, StorageError};
use crate::vault::Vault;

/// After `SELECT`: what [`request_from_row`] reads.
macro_rules! rendered_columns {
    () => {
        "delivery_id, method, url, headers, body_kind, body, hook_updated_at, sealed"
    };
}
pub(super) use rendered_columns;

/// The columns that [`rendered_columns`] names.
pub type RenderedRow = (i64, String, String, String, i64, Option<Vec<u8>>, i64, Option<Vec<u8>>);

#[derive(Serialize, Deserialize)]
struct SealedJson<'a> {
    url: Cow<'a, str>,
    headers: Cow<'a, HeaderList>,
}

/// The last id of the visited rows, none if there were none, and how many of the rows were changed.
pub type Visited = (Option<i64>, u64);

fn warn_of_request(delivery: i64) {
    let delivery = DeliveryId(delivery);
    tracing::warn!(%delivery, "a request stored for a retry opens with none of the keys; it is rendered again");
}

fn context_of(delivery: i64) -> String {
    format!("rendered/{delivery}")
}

/// Seals what may hold credentials.
pub fn seal(delivery: DeliveryId, request: &Request, vault: &Vault) -> Result<Vec<u8>, StorageError> {
    seal_parts(delivery.0, &request.url, &request.headers, vault)
}

fn seal_parts(
    delivery: i64,
    url: &str,
    headers: &HeaderList,
    vault: &Vault,
) -> Result<Vec<u8>, StorageError> {
    let json = to_json(&SealedJson { url: url.into(), headers: Cow::Borrowed(headers) })?;
    Ok(vault.seal(&context_of(delivery), json.as_bytes()))
}

/// The kind of a request's body, and its bytes.
pub fn body_columns(body: &RequestBody) -> (i64, Option<&[u8]>) {
    match body {
        RequestBody::None => (0, None),
        RequestBody::Text(text) => (1, Some(text.as_bytes())),
        RequestBody::Binary(bytes) => (2, Some(bytes)),
    }
}

/// A rendered request from its row; none if it cannot be opened: then it is rendered again.
pub fn request_from_row(
    row: RenderedRow,
    vault: &Vault,
) -> Result<Option<(DeliveryId, RenderedRequest)>, StorageError> {
    let (delivery, method, url, headers, body_kind, body, updated_at, sealed) = row;
    let body = match (body_kind, body) {
        (0, _) => RequestBody::None,
        (1, body) => {
            let text = String::from_utf8(body.unwrap_or_default());
            RequestBody::Text(text.map_err(|error| damaged("rendered request", error))?.into())
        }
        (_, body) => RequestBody::Binary(body.unwrap_or_default()),
    };
    let (url, headers) = match sealed {
        None => (url, from_json("rendered request", &headers)?),
        Some(sealed) => {
            let Ok(plain) = vault.unseal(&context_of(delivery), &sealed) else {
                warn_of_request(delivery);
                return Ok(None);
            };
            let text = std::str::from_utf8(&plain).map_err(|error| damaged("rendered request", error))?;
            let json: SealedJson<'_> = from_json("rendered request", text)?;
            (json.url.into_owned(), json.headers.into_owned())
        }
    };
    let request = Request { method: method.into(), url, headers, body };
    let rendered = RenderedRequest { request, hook_updated_at: UnixMillis(updated_at) };
    Ok(Some((DeliveryId(delivery), rendered)))
}

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
        match sealed.map_or(Ok(None), |sealed| vault.reseal(&context_of(delivery), &sealed)) {
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
