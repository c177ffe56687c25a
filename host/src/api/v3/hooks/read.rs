//! `GET /hooks` and `GET /hooks/{id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::view::HookView;
use crate::api::auth::Caller;
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{Hook, HookId, Scope, TenantId};
use crate::services::{HookState, HookStates};

/// List hooks
///
/// Requires `hooks:read`.
#[utoipa::path(
    get, path = "/api/v3/hooks", tag = "hooks",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of hooks, oldest first", body = Page<HookView>)),
)]
pub(super) async fn list_hooks(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<HookView>>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "hooks")?;
    Ok(Json(wanted.select(
        directory.hooks(tenant),
        |hook| hook.id,
        |hook| HookView::new(&hook, states.state_of(&hook)),
    )))
}

/// Get a hook
///
/// Requires `hooks:read`. The response does not contain signing secrets; see `GET /hooks/{id}/secret`.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}", tag = "hooks",
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The hook", body = HookView)),
)]
pub(super) async fn get_hook(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
) -> Result<Json<HookView>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    let hook = find(&directory, tenant, id)?;
    let state = states.state_of(&hook);
    let held = match state {
        HookState::Ok | HookState::Failing { .. } if !states.is_limited(&hook) => None,
        _ => Some(states.unfinished(id).await?),
    };
    Ok(Json(HookView::new(&hook, state).with_held(held)))
}

/// Finds a hook of the tenant.
///
/// # Errors
/// Fails if the tenant has no such hook.
pub(in crate::api::v3) fn find(
    directory: &Directory,
    tenant: TenantId,
    id: HookId,
) -> Result<Arc<Hook>, Problem> {
    directory.hook_of(tenant, id).ok_or_else(|| no_hook(id))
}

/// Finds a hook of the tenant whose encrypted settings can be decrypted.
///
/// # Errors
/// Fails if the tenant has no such hook, or if the hook is unreadable.
pub(in crate::api::v3) fn find_readable(
    directory: &Directory,
    tenant: TenantId,
    id: HookId,
) -> Result<Arc<Hook>, Problem> {
    let hook = find(directory, tenant, id)?;
    match hook.unreadable {
        true => Err(Problem::new(Kind::Conflict, Hook::UNREADABLE)),
        false => Ok(hook),
    }
}

pub(in crate::api::v3) fn no_hook(id: HookId) -> Problem {
    Problem::not_found("hook", &id.to_string())
}
