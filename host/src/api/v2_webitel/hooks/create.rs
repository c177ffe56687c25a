//! `POST /hooks`.

use serde::Serialize;

use super::ask;
use super::members::{Identity, Wanted};
use super::view::{HookView, IdAt};
use crate::api::v2_webitel::access::Call;
use crate::api::v2_webitel::answer::{Changed, Done, Refusal};
use crate::api::v2_webitel::id;
use crate::api::v3::hooks::{Trial, new_secret};
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
pub(super) async fn create_hook(trial: Trial, mut call: Call) -> Result<Done<Inserted>, Refusal> {
    let domain = call.domain(Scope::HooksWrite)?;
    let directory = &trial.directory;
    let body = call.body().await?;
    let wanted = || Wanted::read(&body, domain.id, directory);
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
    ask(&trial, wanted()?, identity(), None).await?;
    // The plugin may have taken its time, and lists go by id.
    let hook = directory.create_hook(wanted()?.into_hook(identity())?).await?;
    Ok(Done::with(Inserted {
        result: Changed::count(true),
        ops: [HookView::of(&hook, &domain, IdAt::End)],
        inserted_count: 1,
        inserted_ids: [id::text_of(hook.id)],
    }))
}
