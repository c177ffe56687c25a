//! `POST /events/batch`: many events as NDJSON. Either all are accepted, or none.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::post::IDEMPOTENCY_KEY;
use super::wire::{self, AsText, EventInput, MAX_EVENT_LEN};
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::api::publishing::Publishing;
use crate::api::v3::openapi::schemas;
use crate::api::{json, rate_limit};
use crate::directory::Directory;
use crate::domain::{EventKey, Scope, TenantId, TraceContext};
use crate::ingest::{IncomingEvent, Ingest, Prepared};
use crate::metrics::events::{EventSource, REJECTED, Rejection};
use crate::traces::Traces;

/// The maximum number of events in a batch.
const MAX_EVENTS: usize = 10_000;
/// The maximum size of a batch, in bytes.
const MAX_BATCH_LEN: usize = 16 * 1024 * 1024;
/// Larger batches are parsed on a blocking thread, so that they do not delay other requests. In bytes.
const MAX_INLINE_LEN: usize = 128 * 1024;

/// The result of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchReceipt {
    /// The number of events stored: all events of the batch.
    accepted: usize,
    /// The number of events that had been accepted before.
    duplicates: usize,
    /// The ids that receivers see as `webhook-id`, in the order of the lines.
    #[schema(value_type = Vec<schemas::EventId>)]
    ids: Vec<String>,
    /// The engine's ids, in the same order. `GET /events/{id}` accepts both ids.
    #[schema(value_type = Vec<schemas::EngineEventId>)]
    engine_ids: Vec<AsText<EventKey>>,
}

/// Publish a batch of events
///
/// Requires `events:write`. The body is NDJSON: one event per line, each as in `POST /events`, at most 10,000
/// events and 16 MiB. Empty lines are ignored. If one line is invalid, no event is accepted; the problem's
/// `pointer` then begins with the line number, counted from 1, such as `/17/type`. `Idempotency-Key` is not
/// supported; give each event an `id` instead.
#[utoipa::path(
    post, path = "/api/v3/events/batch", tag = "events",
    request_body(
        content(
            (schemas::EventLines = "application/x-ndjson"),
            (schemas::EventLinesBinary = "application/octet-stream"),
        ),
        description = "One `EventInput` per line; `application/jsonl` is accepted, too",
    ),
    responses(
        (status = 202, description = "All events are stored and will be delivered", body = BatchReceipt),
        (status = 409, description = "A different event has the id of one of these events", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn post_events(
    State(directory): State<Arc<Directory>>,
    State(ingest): State<Arc<Ingest>>,
    State(traces): State<Traces>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::EventsWrite)?;
    let publishing = Publishing::begin(&traces, payload.headers(), "POST /api/v3/events/batch");
    let result = publish((directory, ingest), tenant, payload, publishing.trace()).await;
    publishing.end(tenant, result.as_ref().map_or_else(|problem| problem.kind().status(), Response::status));
    result
}

async fn publish(
    (directory, ingest): (Arc<Directory>, Arc<Ingest>),
    tenant: TenantId,
    payload: Payload,
    trace: Option<Box<TraceContext>>,
) -> Result<Response, Problem> {
    if payload.headers().contains_key(IDEMPOTENCY_KEY) {
        let rule = "a batch does not support Idempotency-Key; give each event an `id`";
        return Err(Problem::parameter(IDEMPOTENCY_KEY, rule));
    }
    // The parsed events need the memory until they are stored.
    let (body, _reserved) = payload.read_held(ContentType::JsonLines, MAX_BATCH_LEN).await?;
    let (prepared, lines) = prepare(body, (tenant, trace), directory, Arc::clone(&ingest)).await?;
    let receipts = ingest.store(prepared).await.map_err(|error| wire::refused(error, line_of(&lines)))?;
    let response = BatchReceipt {
        accepted: receipts.len(),
        duplicates: receipts.iter().filter(|receipt| receipt.duplicate).count(),
        ids: receipts.iter().map(|receipt| receipt.id.to_string()).collect(),
        engine_ids: receipts.iter().map(|receipt| AsText(receipt.key)).collect(),
    };
    let response = (StatusCode::ACCEPTED, Json(response)).into_response();
    Ok(rate_limit::with_status(response, ingest.admission().rate_status(tenant)))
}

/// The events of a batch with their line numbers.
struct Batch {
    events: Vec<IncomingEvent>,
    lines: Vec<usize>,
}

/// Returns the line number of an event by its index.
fn line_of(lines: &[usize]) -> impl Fn(usize) -> Option<usize> {
    |index| lines.get(index).copied()
}

/// Parses and matches the events of a batch. Returns them with their line numbers.
async fn prepare(
    body: Bytes,
    (tenant, trace): (TenantId, Option<Box<TraceContext>>),
    directory: Arc<Directory>,
    ingest: Arc<Ingest>,
) -> Result<(Prepared, Vec<usize>), Problem> {
    let is_small = body.len() <= MAX_INLINE_LEN;
    let prepare = move || {
        let Batch { events, lines } = read(&body, |event| {
            event.check(tenant, &directory).map(|event| IncomingEvent { trace: trace.clone(), ..event })
        })
        .inspect_err(|_| REJECTED.of(Rejection::Invalid).increment())?;
        let prepared =
            ingest.prepare(events, EventSource::V3).map_err(|error| wire::refused(error, line_of(&lines)))?;
        Ok((prepared, lines))
    };
    if is_small {
        return prepare();
    }
    let prepared = tokio::task::spawn_blocking(prepare).await;
    prepared.map_err(|error| Problem::internal("reading a batch", &error))?
}

fn read(
    body: &[u8],
    check: impl Fn(EventInput<'_>) -> Result<IncomingEvent, Problem>,
) -> Result<Batch, Problem> {
    let mut batch = Batch { events: Vec::new(), lines: Vec::new() };
    for (index, line) in body.split(|byte| *byte == b'\n').enumerate() {
        let number = index + 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            continue;
        }
        if batch.events.len() == MAX_EVENTS {
            return Err(Problem::new(Kind::TooLarge, format!("a batch has at most {MAX_EVENTS} events")));
        }
        if line.len() > MAX_EVENT_LEN {
            let detail = format!("an event has at most {MAX_EVENT_LEN} bytes");
            return Err(Problem::new(Kind::TooLarge, detail).in_line(number));
        }
        let event = json::parse::<EventInput>(line).and_then(&check);
        batch.events.push(event.map_err(|problem| problem.in_line(number))?);
        batch.lines.push(number);
    }
    if batch.events.is_empty() {
        return Err(Problem::new(Kind::MalformedJson, "the body is empty; expected one event per line"));
    }
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::pointer::Pointer;
    use crate::api::v3::events::wire::check_data;

    fn line_numbers(body: &str) -> Result<Vec<usize>, Problem> {
        let check = |_: EventInput<'_>| {
            Ok(IncomingEvent {
                tenant: TenantId(1),
                id: None,
                idempotency_key: None,
                event_type: "a".parse().unwrap(),
                occurred_at: None,
                project: None,
                ordering_key: None,
                trace: None,
                data: check_data(serde_json::value::RawValue::NULL)?,
            })
        };
        read(body.as_bytes(), check).map(|batch| batch.lines)
    }

    #[test]
    fn line_numbers_count_from_one_and_include_empty_lines() {
        let event = r#"{"type":"a","data":1}"#;
        assert_eq!(line_numbers(&format!("{event}\r\n\n  \n{event}\n")).unwrap(), [1, 4]);
    }

    #[test]
    fn an_error_names_its_line() {
        let event = r#"{"type":"a","data":1}"#;
        for (body, pointer) in [
            (format!("{event}\n{{\"type\":7,\"data\":1}}"), Some("/2/type")),
            (format!("\n{event}\n{{\"type\":\"a\"}}"), Some("/3")),
            (format!("{event}\n[{event}]"), Some("/2")),
            (format!("{event}{event}"), Some("/1")),
            ("\n\n".to_owned(), None),
            (format!("{event}\n").repeat(MAX_EVENTS + 1), None),
        ] {
            let problem = line_numbers(&body).expect_err(&body);
            assert_eq!(problem.pointer().map(Pointer::as_str), pointer);
        }
    }
}
