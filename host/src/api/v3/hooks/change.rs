//! `PUT`, `PATCH` and `DELETE /hooks/{id}`.
//!
//! A patch is applied to the view of the hook, and the result is processed like a `PUT`. The final change
//! runs under the directory's lock, so that concurrent changes of a hook do not overwrite each other.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::value::{RawValue, to_raw_value};

use super::read::no_hook;
use super::view::HookView;
use super::wire::{HookIdentity, HookInput, MAX_HOOK_LEN};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json::{self, Members};
use crate::api::merge_patch::merge;
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{Actor, Hook, HookId, PluginRef, Scope, Surface, TenantId, UnixMillis};
use crate::presence::ClientPresence;
use crate::services::{HookState, Services};
use crate::sources::Sources;

/// Replace a hook
///
/// Requires `hooks:write`. Absent members get their defaults. The signing secrets do not change. If the
/// settings of a plugin change, the plugin validates them before the hook is stored.
#[utoipa::path(
    put, path = "/api/v3/hooks/{id}", tag = "hooks", request_body = HookInput,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The changed hook", body = HookView)),
)]
pub(super) async fn replace_hook(
    State(services): State<Services>,
    (State(directory), State(sources)): (State<Arc<Directory>>, State<Sources>),
    client: ClientPresence,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<HookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(ContentType::Json, MAX_HOOK_LEN).await?;
    let input: HookInput = json::parse(&body)?;
    let which = (caller.actor(), tenant, id);
    change((&services, &directory, &sources), &client, which, |_| Ok(input.clone())).await
}

/// Change a hook
///
/// Requires `hooks:write`. The body is a JSON merge patch (RFC 7396): it replaces the members that it
/// contains, arrays as a whole; null resets a member to its default. If the settings of a plugin change, the
/// plugin validates them before the hook is stored.
#[utoipa::path(
    patch, path = "/api/v3/hooks/{id}", tag = "hooks",
    request_body(content = schemas::HookPatch, content_type = "application/merge-patch+json", description = "The members of the hook to change"),
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The changed hook", body = HookView)),
)]
pub(super) async fn patch_hook(
    State(services): State<Services>,
    (State(directory), State(sources)): (State<Arc<Directory>>, State<Sources>),
    client: ClientPresence,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<HookView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(ContentType::MergePatch, MAX_HOOK_LEN).await?;
    let patch: Members<Box<RawValue>> = json::parse(&body)?;
    let which = (caller.actor(), tenant, id);
    change((&services, &directory, &sources), &client, which, |current| patched(current, &patch)).await
}

/// Replaces a hook by the result of `wanted`.
async fn change(
    (services, directory, sources): (&Services, &Directory, &Sources),
    client: &ClientPresence,
    (actor, tenant, id): (Actor, TenantId, HookId),
    wanted: impl Fn(&Hook) -> Result<HookInput, Problem> + Send + Sync,
) -> Result<Json<HookView>, Problem> {
    let replace = |current: &Hook| {
        refuse_foreign(current)?;
        let flow_limit = services.hooks.max_in_flight();
        replaced(current, wanted(current)?, flow_limit, (directory, sources.now()))
    };
    let changed = services.hooks.change(&actor, (tenant, id), |_| true, client.gone(), replace).await?;
    let changed = changed.ok_or_else(|| no_hook(id))?;
    Ok(Json(HookView::new(&changed, services.hook_states.state_of(&changed))))
}

/// Rejects changes to hooks of other APIs: v3 cannot represent all of their settings.
///
/// # Errors
/// Fails if the hook was created through another API.
pub(super) fn refuse_foreign(current: &Hook) -> Result<(), Problem> {
    match current.origin.surface {
        Surface::V3 => Ok(()),
        other => {
            let detail = format!(
                "the hook was created through the API `{other}` and can be changed only there; v3 can delete it"
            );
            Err(Problem::new(Kind::Conflict, detail))
        }
    }
}

/// The body of a `PUT` that has the same effect as the patch.
fn patched(current: &Hook, patch: &Members<Box<RawValue>>) -> Result<HookInput, Problem> {
    if current.unreadable {
        return Err(Problem::new(Kind::Conflict, Hook::UNREADABLE));
    }
    let shown = to_raw_value(&HookView::new(current, HookState::Ok));
    let shown = shown.map_err(|error| Problem::internal("writing a hook as JSON", &error))?;
    let patch = to_raw_value(patch);
    let patch = patch.map_err(|error| Problem::internal("writing a patch as JSON", &error))?;
    let merged = merge(&shown, &patch)
        .map_err(|error| Problem::new(Kind::DuplicateMember, format!("invalid merge patch: {error}")))?;
    json::parse_text(merged.get())
}

fn replaced(
    current: &Hook,
    input: HookInput,
    max_in_flight: usize,
    (directory, now): (&Directory, UnixMillis),
) -> Result<Hook, Problem> {
    if input.id.as_ref().is_some_and(|id| *id != current.id.to_string()) {
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("id"), "a hook's id cannot be changed"));
    }
    if input.secret.is_some() {
        let rule =
            "`secret` can be set only at creation; use POST /api/v3/hooks/{id}/secret/rotate to change it";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("secret"), rule));
    }
    let (flow, receiver) = (input.flow(), input.receiver());
    let mut hook = input.check(current.tenant, directory)?.into_hook(HookIdentity {
        id: current.id,
        tenant: current.tenant,
        secrets: current.secrets.clone(),
        created_at: current.created_at,
        updated_at: current.updated_at,
    });
    hook.options.unknown = current.options.unknown.clone();
    let resolves = |plugin: &PluginRef| directory.plugin(current.tenant, plugin).is_some();
    flow.add_to(&mut hook, max_in_flight, resolves)?;
    receiver.add_to(&mut hook, Some(current), now)?;
    Ok(hook)
}

/// Delete a hook
///
/// Requires `hooks:write`. Cancels the hook's deliveries that are not in a final state.
#[utoipa::path(
    delete, path = "/api/v3/hooks/{id}", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 204, description = "The hook was deleted")),
)]
pub(super) async fn delete_hook(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    if !directory.by(&caller.actor()).delete_hook(tenant, id).await? {
        return Err(no_hook(id));
    }
    Ok(StatusCode::NO_CONTENT)
}
