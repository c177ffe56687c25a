//! `GET /hooks` and `GET /hooks/:id`.

use std::sync::Arc;

use axum::extract::State;

use super::find::find_hook;
use super::view::{HookView, IdPosition};
use crate::api::v2_webitel::access::{Call, Segments};
use crate::api::v2_webitel::response::{ApiError, Success};
use crate::directory::Directory;
use crate::domain::{Scope, Surface};

/// Lists the domain's hooks, oldest first.
pub(super) async fn list_hooks(
    State(directory): State<Arc<Directory>>,
    call: Call,
) -> Result<Success<Vec<HookView>>, ApiError> {
    let domain = call.domain(Scope::HooksRead)?;
    let (wanted, columns) = (call.query().page(), call.query().columns());
    let hooks = directory.hooks_through(domain.id, Surface::Webitel);
    let page = hooks.iter().skip(wanted.skip).take(wanted.limit);
    Ok(Success::with(
        page.map(|hook| HookView::of(hook, &domain, IdPosition::Start).project(&columns)).collect(),
    ))
}

/// Returns one hook; null if there is no such hook.
pub(super) async fn get_hook(
    State(directory): State<Arc<Directory>>,
    path: Segments,
    call: Call,
) -> Result<Success<Option<HookView>>, ApiError> {
    let domain = call.domain(Scope::HooksRead)?;
    let hook = find_hook(&directory, &domain, &path)?;
    Ok(Success::with(hook.map(|hook| HookView::of(&hook, &domain, IdPosition::Start))))
}
