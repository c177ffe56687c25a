//! `POST /hooks`.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::members::{Identity, Wanted};
use super::view::{HookView, IdAt};
use crate::api::v2_webitel::access::Call;
use crate::api::v2_webitel::answer::{Changed, Done, Refusal};
use crate::api::v2_webitel::id;
use crate::api::v3::hooks::new_secret;
use crate::directory::Directory;
use crate::domain::{HookId, Scope};

/// What the original's database says of an insertion.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Inserted {
    result: Changed,
    ops: [HookView; 1],
    inserted_count: u8,
    inserted_ids: [String; 1],
}

/// Makes a hook.
pub(super) async fn create_hook(
    State(directory): State<Arc<Directory>>,
    mut call: Call,
) -> Result<Done<Inserted>, Refusal> {
    let domain = call.domain(Scope::HooksWrite)?;
    let wanted = Wanted::read(&call.body().await?, domain.id, &directory)?;
    let now = directory.clock().now();
    let identity = Identity {
        id: HookId::generate(directory.ids(), now),
        tenant: domain.id,
        secrets: vec![new_secret()?],
        created_at: now,
        updated_at: now,
    };
    let hook = directory.create_hook(wanted.into_hook(identity)?).await?;
    Ok(Done::with(Inserted {
        result: Changed::count(true),
        ops: [HookView::of(&hook, &domain, IdAt::End)],
        inserted_count: 1,
        inserted_ids: [id::text_of(hook.id)],
    }))
}
