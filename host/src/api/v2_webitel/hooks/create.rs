//! `POST /hooks`.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::members::{HookInput, Identity};
use super::view::{HookView, IdPosition};
use crate::api::v2_webitel::access::Call;
use crate::api::v2_webitel::id;
use crate::api::v2_webitel::response::{ApiError, Success, WriteResult};
use crate::directory::Directory;
use crate::domain::{HookId, Scope, Step};
use crate::presence::ClientPresence;
use crate::services::{HookService, new_secret};
use crate::sources::Sources;

/// The result of an insertion, as the database of the original API (MongoDB) reports it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inserted {
    result: WriteResult,
    ops: [HookView; 1],
    inserted_count: u8,
    inserted_ids: [String; 1],
}

/// Creates a hook.
pub(super) async fn create_hook(
    State(hooks): State<HookService>,
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    client: ClientPresence,
    mut call: Call,
) -> Result<Success<Inserted>, ApiError> {
    let domain = call.domain(Scope::HooksWrite)?;
    let body = call.body().await?;
    let wanted = HookInput::read(&body, domain.id, &directory)?;
    let now = sources.now();
    let identity = Identity {
        id: HookId::generate(&sources.ids, now),
        tenant: domain.id,
        secrets: vec![new_secret()],
        created_at: now,
        updated_at: now,
    };
    // The engine wrote the settings of the other plugins.
    let own = wanted.own_plugin.clone();
    let hook = wanted.into_hook(identity)?;
    let is_own = |step: &Step| own.as_ref() == Some(&step.plugin);
    let hook = hooks.create::<ApiError>(&call.actor(), hook, is_own, client.gone()).await?;
    Ok(Success::with(Inserted {
        result: WriteResult::count(true),
        ops: [HookView::of(&hook, &domain, IdPosition::End)],
        inserted_count: 1,
        inserted_ids: [id::encode(hook.id)],
    }))
}
