//! `DELETE /plugins/{name}`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;

use super::read::no_plugin;
use super::upload::is_standard;
use crate::api::auth::Caller;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{PluginName, Scope};

/// Delete a plugin
///
/// Needs `plugins:write`. All its versions go. Refused while a hook uses any of them.
#[utoipa::path(
    delete, path = "/api/v3/plugins/{name}", tag = "plugins",
    params(("name" = schemas::PluginName, Path, description = "Its name")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 409, description = "A hook uses it, or it ships with the engine", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn delete_plugin(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    if is_standard(&name) {
        let detail = format!("`{name}` ships with the engine and cannot be deleted");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    if !directory.delete_plugin(tenant, &name).await? {
        return Err(no_plugin(&name));
    }
    Ok(StatusCode::NO_CONTENT)
}
