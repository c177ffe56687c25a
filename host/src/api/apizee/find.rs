//! The web hook of a tenant.

use std::sync::Arc;

use crate::api::problem::{Kind, Problem};
use crate::directory::Directory;
use crate::domain::{Hook, Surface, TenantId};

/// Finds the tenant's web hook.
///
/// # Errors
/// Fails if the tenant has none.
pub(super) fn find(directory: &Directory, tenant: TenantId) -> Result<Arc<Hook>, Problem> {
    directory.hooks_through(tenant, Surface::Apizee).into_iter().next().ok_or_else(no_webhook)
}

pub(super) fn is_it(hook: &Hook) -> bool {
    hook.origin.surface == Surface::Apizee
}

pub(super) fn no_webhook() -> Problem {
    Problem::new(
        Kind::NotFound,
        "the tenant has no Apizee web hook; create it with PUT /api/v3/apizee/webhook",
    )
}
