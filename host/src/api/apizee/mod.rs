//! Apizee's company web hook: one for each tenant, as its console had it.
//!
//! The original has no API for its settings; these routes stand beside v3 and are described with it. The web hook is
//! one of the engine's hooks, with [`Surface::Apizee`](crate::domain::Surface); its pipeline is the standard plugin
//! `apizee-envelope`.

mod change;
mod read;
mod wire;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::problem::{Kind, Problem};
use crate::directory::Directory;
use crate::domain::{Hook, Surface, TenantId};

/// Every route of the surface.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(read::get_webhook, change::put_webhook, change::delete_webhook))
}

/// The tenant's web hook.
///
/// # Errors
/// Where it has none.
fn find(directory: &Directory, tenant: TenantId) -> Result<Arc<Hook>, Problem> {
    directory.hooks_through(tenant, Surface::Apizee).into_iter().next().ok_or_else(no_webhook)
}

fn is_it(hook: &Hook) -> bool {
    hook.origin.surface == Surface::Apizee
}

fn no_webhook() -> Problem {
    Problem::new(Kind::NotFound, "there is no Apizee web hook; PUT one")
}
