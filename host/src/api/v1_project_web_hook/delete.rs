//! `DELETE /projects/:project_id/web_hook`.

use std::sync::Arc;

use axum::extract::State;

use super::envelope::{ApiError, Success};
use super::path::Project;
use crate::directory::Directory;
use crate::domain::Scope;

pub(super) async fn delete(
    State(directory): State<Arc<Directory>>,
    project: Project,
) -> Result<Success<&'static str>, ApiError> {
    let (tenant, hook) = project.web_hook(Scope::HooksWrite)?;
    if !directory.by(&project.actor()).delete_hook(tenant.id, hook.id).await? {
        return Err(project.no_web_hook());
    }
    Ok(Success("deleted"))
}
