//! `POST /events`: the way in, and the engine's hottest path.
//!
//! One pass over the body, whose data is never built into a tree; lookups in memory; then ingest, which
//! answers when the event is on disk.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{self, AsText, EventInput, MAX_EVENT_LEN};
use crate::api::auth::{self, Caller};
use crate::api::body::{Payload, Takes};
use crate::api::json;
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{EventKey, Scope};
use crate::ingest::Ingest;

/// The header by which a sender makes a retry safe (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// What became of an event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventReceipt<'a> {
    /// The id that receivers see as `webhook-id`: the sender's, if it gave one.
    #[schema(value_type = schemas::EventId)]
    id: &'a str,
    /// The engine's own id, which deliveries name as `event`. Both ids find the event.
    #[schema(value_type = schemas::EngineEventId)]
    engine_id: AsText<EventKey>,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: &'a str,
    /// How many hooks it matched.
    deliveries: u32,
    /// Whether it had been accepted before: then this is the first answer again.
    duplicate: bool,
}

/// Post an event
///
/// Needs `events:write`. The answer is given when the event is on disk. The same event again, known by its `id` or
/// `Idempotency-Key`, is answered as the first was, with 200.
#[utoipa::path(
    post, path = "/api/v3/events", tag = "events", request_body = EventInput,
    params(("Idempotency-Key" = Option<schemas::IdempotencyKey>, Header, description = "Makes the request safe to repeat: compared as it is")),
    responses(
        (status = 202, description = "It is on disk, and will be delivered", body = EventReceipt),
        (status = 200, description = "It was accepted before", body = EventReceipt),
        (status = 409, description = "Another event has this id or key", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn post_event(
    State(directory): State<Arc<Directory>>,
    State(ingest): State<Arc<Ingest>>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::EventsWrite)?;
    let idempotency_key = idempotency_key(payload.headers())?;
    let body = payload.read(Takes::Json, MAX_EVENT_LEN).await?;
    let mut event = json::parse::<EventInput>(&body)?.check(tenant, &directory)?;
    event.idempotency_key = idempotency_key;
    let event_type = event.event_type.clone();
    let receipts = ingest.accept(vec![event]).await.map_err(|error| wire::refused(error, |_| None))?;
    let Some(receipt) = receipts.first() else {
        return Err(Problem::new(Kind::Unavailable, "the event was not taken in; send it again"));
    };
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = EventReceipt {
        id: receipt.id.as_str(),
        engine_id: AsText(receipt.key),
        event_type: event_type.as_str(),
        deliveries: receipt.deliveries,
        duplicate: receipt.duplicate,
    };
    Ok((status, Json(answer)).into_response())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = auth::one(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
    if (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let rule = "an Idempotency-Key has 1 to 255 visible ASCII characters";
    Err(Problem::parameter(IDEMPOTENCY_KEY, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_are_checked() {
        let (longest, longer) = ("k".repeat(255), "k".repeat(256));
        for (value, taken) in [
            ("\"a-1\"", true),
            (&*longest, true),
            ("", false),
            (&*longer, false),
            ("a b", false),
            ("ä", false),
        ] {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            let headers =
                HeaderMap::from_iter([(http::HeaderName::from_static("idempotency-key"), value.clone())]);
            assert_eq!(idempotency_key(&headers).is_ok(), taken, "{value:?}");
        }
        assert_eq!(idempotency_key(&HeaderMap::new()), Ok(None));
    }
}
