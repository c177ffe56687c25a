//! `GET /projects/:project_id/web_hook`.

use super::envelope::{ApiError, Success};
use super::path::Project;
use super::web_hook::View;
use crate::domain::Scope;

pub(super) async fn show(project: Project) -> Result<Success<View>, ApiError> {
    let (tenant, hook) = project.web_hook(Scope::HooksRead)?;
    View::of(&tenant, project.number, &hook).map(Success)
}
