//! `POST /hooks`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, header};

use super::view::HookView;
use super::wire::{self, HookIdentity, HookInput, MAX_HOOK_LEN};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::NoParams;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::directory::Directory;
use crate::domain::{HookId, PluginRef, Scope};
use crate::presence::ClientPresence;
use crate::services::{Services, new_secret};
use crate::sources::Sources;

/// Create a hook
///
/// Requires `hooks:write`. The hook signs with the secret that `GET /hooks/{id}/secret` returns. Plugins
/// validate their settings before the hook is stored.
#[utoipa::path(
    post, path = "/api/v3/hooks", tag = "hooks", request_body = HookInput,
    responses(
        (status = 201, description = "The hook was created", body = HookView),
        (status = 409, description = "The tenant has the maximum number of hooks", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_hook(
    State(services): State<Services>,
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    client: ClientPresence,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    let body = payload.read(ContentType::Json, MAX_HOOK_LEN).await?;
    let input: HookInput = json::parse(&body)?;
    refuse_read_only(&input)?;
    let secret = input.secret.as_deref().map_or_else(|| Ok(new_secret()), wire::read_secret)?;
    let now = sources.now();
    let (flow, receiver) = (input.flow(), input.receiver());
    let mut hook = input.check(tenant, &directory)?.into_hook(HookIdentity {
        id: HookId::generate(&sources.ids, now),
        tenant,
        secrets: vec![secret],
        created_at: now,
        updated_at: now,
    });
    let resolves = |plugin: &PluginRef| directory.plugin(tenant, plugin).is_some();
    flow.add_to(&mut hook, services.hooks.max_in_flight(), resolves)?;
    receiver.add_to(&mut hook, None, now)?;
    let hook = services.hooks.create::<Problem>(&caller.actor(), hook, |_| true, client.gone()).await?;
    let location = format!("/api/v3/hooks/{}", hook.id);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(HookView::new(&hook, services.hook_states.state_of(&hook))),
    ))
}

fn refuse_read_only(input: &HookInput) -> Result<(), Problem> {
    for (member, given) in [
        ("id", input.id.is_some()),
        ("surface", input.surface.is_some()),
        ("state", input.state.is_some()),
        ("held", input.held.is_some()),
        ("handshake_result", input.handshake_result.is_some()),
        ("created_at", input.created_at.is_some()),
        ("updated_at", input.updated_at.is_some()),
    ] {
        if given {
            let detail = format!("`{member}` is read-only; omit it");
            return Err(Problem::at(Kind::InvalidValue, Pointer::to(member), detail));
        }
    }
    Ok(())
}
