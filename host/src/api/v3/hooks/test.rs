//! `POST /hooks/{id}/test`: sends a test event to one hook.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::change::refuse_foreign;
use super::read::find_readable;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::events::wire::{MAX_EVENT_LEN, check_data};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{EventType, HookId, Scope};
use crate::ingest::Ingest;

/// The default data of a test event.
const DEFAULT_DATA: &str = r#"{"test":true,"message":"A test event for this hook."}"#;

fn read_type(text: &str) -> Result<EventType, Problem> {
    text.parse().map_err(|rule| Problem::invalid(Pointer::to("type"), rule))
}

/// The test event.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TestInput<'a> {
    /// The event's type. Default: `hookwright.test`.
    #[serde(rename = "type", borrow)]
    #[schema(value_type = Option<schemas::EventType>)]
    event_type: Option<Cow<'a, str>>,
    /// The event's data: any JSON value of at most 1 MiB. Default: `{"test": true, …}`.
    #[serde(borrow)]
    #[schema(value_type = Option<serde_json::Value>)]
    data: Option<&'a RawValue>,
}

/// The event and the delivery that a test created.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestReceipt {
    /// The engine's id of the event.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The id that the receiver sees as `webhook-id`: the same, because a test event has no sender's id.
    #[schema(value_type = schemas::EventId)]
    event_id: String,
    #[schema(value_type = schemas::DeliveryId)]
    delivery: String,
}

/// Test a hook
///
/// Requires `hooks:write`. Creates an event and delivers it to this hook only, even if the hook does not
/// subscribe to its type or is disabled. The body is optional.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/test", tag = "hooks", request_body = Option<TestInput>,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 202, description = "The event will be delivered; `GET /deliveries/{id}` shows the result", body = TestReceipt)),
)]
pub(super) async fn test_hook(
    State(directory): State<Arc<Directory>>,
    State(ingest): State<Arc<Ingest>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let hook = find_readable(&directory, tenant, id)?;
    refuse_foreign(&hook)?;
    if hook.awaits_permission() {
        let detail = "the receiver has not allowed requests yet; `handshake_result` says why";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let body = payload.read_optional(ContentType::Json, MAX_EVENT_LEN).await?;
    let input = body.as_deref().map_or(Ok(TestInput::default()), json::parse)?;
    let event_type = input.event_type.as_deref().map_or_else(|| Ok(EventType::test()), read_type)?;
    let data = input.data.map_or(Ok(DEFAULT_DATA.into()), check_data)?;
    let (event, delivery) = ingest.test(&hook, event_type, data).await?;
    let receipt = TestReceipt {
        event: event.key.to_string(),
        event_id: event.id.to_string(),
        delivery: delivery.to_string(),
    };
    Ok((StatusCode::ACCEPTED, Json(receipt)))
}
