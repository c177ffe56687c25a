//! `POST /hooks/{id}/preview`: shows the request that the hook would send for an event, without sending it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::read::find_readable;
use super::steps::{StepInput, with_steps};
use super::wire::MAX_HOOK_LEN;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json::{self, Object};
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::v3::dry_run::{DryRunView, DryRuns, MAX_ARRIVAL};
use crate::api::v3::events::wire::MAX_EVENT_LEN;
use crate::api::v3::openapi::schemas;
use crate::delivery::signed_headers;
use crate::domain::{HookId, Scope};
use crate::presence::ClientPresence;

/// The event for a preview.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewInput<'a> {
    /// An event as in `POST /events`, or the id of a stored event, which requires `events:read`.
    #[serde(borrow)]
    #[schema(value_type = crate::api::v3::dry_run::EventOrId)]
    event: &'a RawValue,
    /// Steps that run instead of the hook's pipeline, at most 16. Requires `hooks:write`. Default: the hook's.
    #[schema(value_type = Option<Vec<StepInput>>, max_items = 16)]
    pipeline: Option<Vec<Object<StepInput>>>,
}

/// Preview a hook
///
/// Requires `hooks:read`. Runs the hook's pipeline for an event and returns the request that it would send;
/// `warnings` lists reasons why the event would not be delivered. Without `hooks:write` the signature is
/// masked. With `pipeline`, which requires `hooks:write`, its steps run instead of the hook's. Nothing is sent or stored.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/preview", tag = "hooks", request_body = PreviewInput,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The result of the pipeline", body = DryRunView)),
)]
pub(super) async fn preview_hook(
    State(dry_runs): State<DryRuns>,
    client: ClientPresence,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<DryRunView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let mut hook = find_readable(&dry_runs.directory, tenant, id)?;
    let preview = async {
        let limit = MAX_EVENT_LEN + MAX_HOOK_LEN;
        let body = payload.within(MAX_ARRIVAL).read(ContentType::Json, limit).await?;
        let input: PreviewInput = json::parse(&body)?;
        if let Some(steps) = input.pipeline {
            // Plugins may sign with the hook's secret.
            caller.may(Scope::HooksWrite)?;
            hook = Arc::new(with_steps(&hook, steps, &dry_runs.directory)?);
        }
        let event = Arc::new(dry_runs.read(input.event, &caller, tenant).await?);
        let run = dry_runs.finish(dry_runs.pipelines.preview(&hook, &event)).await?;
        let warnings = dry_runs.delivery_warnings(&hook, &event, &run).await;
        let now = dry_runs.sources.now();
        let view =
            DryRunView::of(&run, |request| signed_headers(&hook, &event, request, now)).warning(warnings);
        // Otherwise a key that can only read hooks could have any body signed.
        let may_sign = caller.scopes().contains(Scope::HooksWrite);
        Ok(Json(if may_sign { view } else { view.without_signature(&hook) }))
    };
    dry_runs.admit(tenant, &client, preview).await
}
