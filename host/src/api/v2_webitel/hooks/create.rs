//! `POST /hooks`.

use serde::Serialize;

use super::members::{HookInput, Identity};
use super::plugin_settings::check_plugin_settings;
use super::view::{HookView, IdPosition};
use crate::api::v2_webitel::access::Call;
use crate::api::v2_webitel::id;
use crate::api::v2_webitel::response::{ApiError, Success, WriteResult};
use crate::api::v3::hooks::{Trial, new_secret};
use crate::domain::{HookId, Scope};

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
pub(super) async fn create_hook(trial: Trial, mut call: Call) -> Result<Success<Inserted>, ApiError> {
    let domain = call.domain(Scope::HooksWrite)?;
    let directory = &trial.directory;
    let body = call.body().await?;
    let wanted = || HookInput::read(&body, domain.id, directory);
    let secrets = vec![new_secret()?];
    let identity = || {
        let now = directory.clock().now();
        Identity {
            id: HookId::generate(directory.ids(), now),
            tenant: domain.id,
            secrets: secrets.clone(),
            created_at: now,
            updated_at: now,
        }
    };
    check_plugin_settings(&trial, wanted()?, identity(), None).await?;
    // Generated again, because lists are ordered by id and the plugin may have taken long.
    let hook = directory.create_hook(wanted()?.into_hook(identity())?).await?;
    Ok(Success::with(Inserted {
        result: WriteResult::count(true),
        ops: [HookView::of(&hook, &domain, IdPosition::End)],
        inserted_count: 1,
        inserted_ids: [id::encode(hook.id)],
    }))
}
