//! `POST /events`: publishes one event. This is the hottest path of the engine.
//!
//! The handler parses the body in one pass without building a tree of the data, looks hooks up in memory, and
//! waits until ingest has stored the event.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::wire::{self, AsText, EventInput, MAX_EVENT_LEN};
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::api::publishing::Publishing;
use crate::api::v3::openapi::schemas;
use crate::api::{credentials, json, rate_limit};
use crate::directory::Directory;
use crate::domain::{EventKey, Scope, TenantId, TraceContext};
use crate::ingest::Ingest;
use crate::metrics::events::{EventSource, REJECTED, Rejection};
use crate::traces::Traces;

/// The header that makes retries of a request safe (draft-ietf-httpapi-idempotency-key-header).
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// The result of publishing an event.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventReceipt<'a> {
    /// The id that receivers see as `webhook-id`: the sender's id if it gave one, else the engine's.
    #[schema(value_type = schemas::EventId)]
    id: &'a str,
    /// The engine's id, which deliveries have as `event`. `GET /events/{id}` accepts both ids.
    #[schema(value_type = schemas::EngineEventId)]
    engine_id: AsText<EventKey>,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: &'a str,
    /// The number of deliveries created: one for each hook that matches.
    deliveries: u32,
    /// Whether the event had been accepted before; this response then repeats the first.
    duplicate: bool,
}

/// Publish an event
///
/// Requires `events:write`. The engine responds when the event is stored on disk. If the event was accepted
/// before, as its `id` or `Idempotency-Key` shows, the response repeats the first one with the status 200 and
/// `duplicate` true.
#[utoipa::path(
    post, path = "/api/v3/events", tag = "events", request_body = EventInput,
    params(("Idempotency-Key" = Option<schemas::IdempotencyKey>, Header, description = "Makes the request safe to retry. The engine compares the value byte by byte")),
    responses(
        (status = 202, description = "The event is stored and will be delivered", body = EventReceipt),
        (status = 200, description = "The event was accepted before", body = EventReceipt),
        (status = 409, description = "A different event has this id or key", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn post_event(
    State(directory): State<Arc<Directory>>,
    State(ingest): State<Arc<Ingest>>,
    State(traces): State<Traces>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::EventsWrite)?;
    let publishing = Publishing::begin(&traces, payload.headers(), "POST /api/v3/events");
    let result = publish((&*directory, &*ingest), tenant, payload, publishing.trace()).await;
    publishing.end(tenant, result.as_ref().map_or_else(|problem| problem.kind().status(), Response::status));
    result
}

async fn publish(
    (directory, ingest): (&Directory, &Ingest),
    tenant: TenantId,
    payload: Payload,
    trace: Option<Box<TraceContext>>,
) -> Result<Response, Problem> {
    let idempotency_key = idempotency_key(payload.headers())?;
    let body = payload.read(ContentType::Json, MAX_EVENT_LEN).await?;
    let event = json::parse::<EventInput>(&body).and_then(|event| event.check(tenant, directory));
    let mut event = event.inspect_err(|_| REJECTED.of(Rejection::Invalid).increment())?;
    event.idempotency_key = idempotency_key;
    event.trace = trace;
    let event_type = event.event_type.clone();
    let receipts =
        ingest.accept(vec![event], EventSource::V3).await.map_err(|error| wire::refused(error, |_| None))?;
    let Some(receipt) = receipts.first() else {
        return Err(Problem::new(Kind::Unavailable, "the event was not accepted; send it again"));
    };
    let status = if receipt.duplicate { StatusCode::OK } else { StatusCode::ACCEPTED };
    let response = EventReceipt {
        id: receipt.id.as_str(),
        engine_id: AsText(receipt.key),
        event_type: event_type.as_str(),
        deliveries: receipt.deliveries,
        duplicate: receipt.duplicate,
    };
    let response = (status, Json(response)).into_response();
    Ok(rate_limit::with_status(response, ingest.admission().rate_status(tenant)))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(text) = credentials::one(headers, IDEMPOTENCY_KEY)? else { return Ok(None) };
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
