//! `PUT`, `PATCH` and `DELETE /hooks/{id}`.
//!
//! A patch is applied to the hook as it is shown, and the result goes the way of a `PUT`. Both happen
//! while nobody else changes the hook.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::value::{RawValue, to_raw_value};

use super::MAX_HOOK_LEN;
use super::read::{find, no_hook};
use super::trial::Trial;
use super::view::HookView;
use super::wire::{HookIdentity, HookInput};
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::json::{self, Members};
use crate::api::merge_patch::merge;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::delivery::Dispatcher;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Scope, Surface, TenantId};

/// Replace a hook
///
/// Needs `hooks:write`. What is absent takes its default. The secrets stay. Plugins are asked whether they take new settings.
#[utoipa::path(
    put, path = "/api/v3/hooks/{id}", tag = "hooks", request_body = HookInput,
    params(("id" = schemas::HookId, Path, description = "Its id")),
    responses((status = 200, description = "The hook as it is now", body = HookView)),
)]
pub(super) async fn replace_hook(
    trial: Trial,
    State(dispatcher): State<Arc<Dispatcher>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<HookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(Takes::Json, MAX_HOOK_LEN).await?;
    let input: HookInput = json::parse(&body)?;
    change(&trial, &dispatcher, (tenant, id), |_| Ok(input.clone())).await
}

/// Change a hook
///
/// Needs `hooks:write`. A JSON merge patch (RFC 7396): members given are replaced, null takes one back to its default,
/// arrays are replaced as a whole. Plugins are asked whether they take new settings.
#[utoipa::path(
    patch, path = "/api/v3/hooks/{id}", tag = "hooks",
    request_body(content = schemas::HookPatch, content_type = "application/merge-patch+json", description = "Members of a hook, none of them required"),
    params(("id" = schemas::HookId, Path, description = "Its id")),
    responses((status = 200, description = "The hook as it is now", body = HookView)),
)]
pub(super) async fn patch_hook(
    trial: Trial,
    State(dispatcher): State<Arc<Dispatcher>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<HookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(Takes::MergePatch, MAX_HOOK_LEN).await?;
    let patch: Members<Box<RawValue>> = json::parse(&body)?;
    change(&trial, &dispatcher, (tenant, id), |current| patched(current, &patch)).await
}

/// Puts in a hook's place what `wanted` makes of it. Plugins are asked about the hook as it was shortly before: that may take
/// them longer than anybody else's change should wait.
async fn change(
    trial: &Trial,
    dispatcher: &Dispatcher,
    (tenant, id): (TenantId, HookId),
    wanted: impl Fn(&Hook) -> Result<HookInput, Problem> + Send + Sync,
) -> Result<Json<HookView>, Problem> {
    let directory = &trial.directory;
    let replace = |current: &Hook| {
        refuse_foreign(current)?;
        replaced(current, wanted(current)?, directory)
    };
    let current = find(directory, tenant, id)?;
    trial.settings(&replace(&current)?, Some(&current), |_| true).await?;
    let changed = directory.change_hook(tenant, id, replace).await?.ok_or_else(|| no_hook(id))?;
    // It may have been enabled, with deliveries that have been due for long.
    dispatcher.wake();
    Ok(Json(HookView::from(&*changed)))
}

/// A hook of another interface has members which this one knows nothing of.
pub(super) fn refuse_foreign(current: &Hook) -> Result<(), Problem> {
    match current.origin.surface {
        Surface::V3 => Ok(()),
        other => {
            let detail = format!(
                "the hook was made through the interface `{other}`, which alone changes it; or delete it"
            );
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}

/// What `PUT` would have to be sent to change `current` as the patch says.
fn patched(current: &Hook, patch: &Members<Box<RawValue>>) -> Result<HookInput, Problem> {
    if current.unreadable {
        return Err(Problem::new(Kind::Conflict, Hook::UNREADABLE));
    }
    let shown = to_raw_value(&HookView::from(current));
    let shown = shown.map_err(|error| Problem::internal("writing a hook as JSON", &error))?;
    let patch = to_raw_value(patch);
    let patch = patch.map_err(|error| Problem::internal("writing a patch as JSON", &error))?;
    let merged = merge(&shown, &patch).map_err(|error| {
        Problem::new(Kind::DuplicateMember, format!("the patch cannot be applied: {error}"))
    })?;
    json::parse_text(merged.get())
}

fn replaced(current: &Hook, input: HookInput, directory: &Directory) -> Result<Hook, Problem> {
    if input.id.as_ref().is_some_and(|id| *id != current.id.to_string()) {
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("id"), "a hook's id cannot be changed"));
    }
    if input.secret.is_some() {
        let rule = "a secret is given where a hook is made; later, POST /hooks/{id}/secret/rotate changes it";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("secret"), rule));
    }
    Ok(input.check(current.tenant, directory)?.into_hook(HookIdentity {
        id: current.id,
        tenant: current.tenant,
        secrets: current.secrets.clone(),
        created_at: current.created_at,
        updated_at: current.updated_at,
    }))
}

/// Delete a hook
///
/// Needs `hooks:write`. Its deliveries that are not final are cancelled.
#[utoipa::path(
    delete, path = "/api/v3/hooks/{id}", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "Its id")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_hook(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    if !directory.delete_hook(tenant, id).await? {
        return Err(no_hook(id));
    }
    Ok(StatusCode::NO_CONTENT)
}
