//! `POST /hooks/{id}/preview`: what the hook would send for an event. Nothing is sent.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::read::find;
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::json;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::v3::dry_run::{DryRunView, Events};
use crate::api::v3::events::wire::MAX_EVENT_LEN;
use crate::delivery::{Pipelines, signed_headers};
use crate::domain::{HookId, Scope};

/// What to run the hook's pipeline for.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewInput<'a> {
    /// An event as `POST /events` takes it, or the id of a stored one, for which the key needs `events:read`.
    #[serde(borrow)]
    #[schema(value_type = crate::api::v3::dry_run::EventOrId)]
    event: &'a RawValue,
}

/// Preview a hook
///
/// Needs `hooks:read`. Runs the pipeline and shows the request as it would be sent. The signature is shown only to keys
/// that also have `hooks:write`, who may read the secret itself.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/preview", tag = "hooks", request_body = PreviewInput,
    params(("id" = String, Path, description = "Its id")),
    responses((status = 200, description = "What the pipeline said", body = DryRunView)),
)]
pub(super) async fn preview_hook(
    State(events): State<Events>,
    State(pipelines): State<Arc<Pipelines>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<DryRunView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let hook = find(&events.directory, tenant, id)?;
    let body = payload.read(Takes::Json, MAX_EVENT_LEN).await?;
    let input: PreviewInput = json::parse(&body)?;
    let event = Arc::new(events.read(input.event, &caller, tenant).await?);
    let run = pipelines.preview(&hook, &event).await?;
    let now = events.directory.clock().now();
    let view = DryRunView::of(&run, |request| signed_headers(&hook, &event, request, now));
    // Else whoever may only read hooks could have any body signed.
    let may_sign = caller.scopes().contains(Scope::HooksWrite);
    Ok(Json(if may_sign { view } else { view.without_signature() }))
}
