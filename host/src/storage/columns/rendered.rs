//! Rendered requests from and to columns. URL and headers are sealed: they hold a hook's credentials.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::values::{damaged, from_json, to_json};
use crate::domain::{DeliveryId, HeaderList, Request, RequestBody, UnixMillis};
use crate::storage::{RenderedRequest, StorageError};
use crate::vault::Vault;

/// Delivery, method, URL, headers, kind of body, body, time of the hook's last change, and URL and headers if they are sealed.
pub type RenderedRow = (i64, String, String, String, i64, Option<Vec<u8>>, i64, Option<Vec<u8>>);

#[derive(Serialize, Deserialize)]
struct SealedJson<'a> {
    url: Cow<'a, str>,
    headers: Cow<'a, HeaderList>,
}

/// Says that a request is of no use.
pub fn warn_of_request(delivery: i64) {
    let delivery = DeliveryId(delivery);
    tracing::warn!(%delivery, "a request stored for a retry opens with none of the keys; it is rendered again");
}

/// What a delivery's request is sealed for.
pub fn request_context_of(delivery: i64) -> String {
    format!("rendered/{delivery}")
}

/// Seals what may hold credentials.
pub fn seal_request(delivery: DeliveryId, request: &Request, vault: &Vault) -> Result<Vec<u8>, StorageError> {
    seal_parts(delivery.0, &request.url, &request.headers, vault)
}

/// Seals what may hold credentials, of a row that is not sealed yet.
pub fn seal_parts(
    delivery: i64,
    url: &str,
    headers: &HeaderList,
    vault: &Vault,
) -> Result<Vec<u8>, StorageError> {
    let json = to_json(&SealedJson { url: url.into(), headers: Cow::Borrowed(headers) })?;
    Ok(vault.seal(&request_context_of(delivery), json.as_bytes()))
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
    let id = DeliveryId(row.0);
    request_of(row, vault).map_err(|error| error.in_row("rendered_requests", id, id.0))
}

fn request_of(
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
            let Ok(plain) = vault.unseal(&request_context_of(delivery), &sealed) else {
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
