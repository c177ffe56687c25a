//! `GET /hooks` and `GET /hooks/:id`.

use std::sync::Arc;

use axum::extract::State;

use super::named;
use super::view::{HookView, IdAt};
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::answer::{Done, Refusal};
use crate::directory::Directory;
use crate::domain::{Scope, Surface};

/// The domain's hooks, oldest first, page by page.
pub(super) async fn list_hooks(
    State(directory): State<Arc<Directory>>,
    call: Call,
) -> Result<Done<Vec<HookView>>, Refusal> {
    let domain = call.domain(Scope::HooksRead)?;
    let (wanted, columns) = (call.query().wanted(), call.query().columns());
    let hooks = directory.hooks_through(domain.id, Surface::Webitel);
    let page = hooks.iter().skip(wanted.skip).take(wanted.limit);
    Ok(Done::with(page.map(|hook| HookView::of(hook, &domain, IdAt::Start).project(&columns)).collect()))
}

/// One hook; null where there is none.
pub(super) async fn get_hook(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Done<Option<HookView>>, Refusal> {
    let domain = call.domain(Scope::HooksRead)?;
    let hook = named(&directory, &domain, &path)?;
    Ok(Done::with(hook.map(|hook| HookView::of(&hook, &domain, IdAt::Start))))
}
