//! `/projects`: the numbered projects of a tenant, to which events may belong.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::MAX_SMALL_BODY;
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::Directory;
use crate::domain::{Project, Scope};

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(create_project, list_projects)).routes(routes!(delete_project))
}

/// A project to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectInput {
    /// The project's number, chosen by the client: at least 1, unique within the tenant.
    #[schema(value_type = schemas::ProjectNumber)]
    id: i64,
    /// A display name: 1 to 128 bytes without control characters.
    #[schema(value_type = Option<schemas::Label>)]
    name: Option<String>,
}

/// A numbered project.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Project)]
pub(super) struct ProjectView {
    #[schema(value_type = schemas::ProjectNumber)]
    id: i64,
    #[schema(value_type = Option<schemas::Label>)]
    name: Option<String>,
    created_at: Time,
}

impl From<Arc<Project>> for ProjectView {
    fn from(project: Arc<Project>) -> Self {
        Self { id: project.number, name: project.name.clone(), created_at: Time(project.created_at) }
    }
}

/// Create a project
///
/// Requires `projects:write`.
#[utoipa::path(
    post, path = "/api/v3/projects", tag = "projects", request_body = ProjectInput,
    responses(
        (status = 201, description = "The project was created", body = ProjectView),
        (status = 409, description = "The tenant already has a project with this number", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_project(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::ProjectsWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let ProjectInput { id, name } = json::parse(&body)?;
    if id < 1 {
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("id"), "a project's number is at least 1"));
    }
    if let Some(name) = &name {
        check_label(name)?;
    }
    let project = directory.by(&caller.actor()).create_project(tenant, id, name).await?;
    Ok((StatusCode::CREATED, Json(ProjectView::from(project))))
}

/// Checks a display name.
///
/// # Errors
/// Fails if the name is empty, longer than 128 bytes, or has control characters.
pub(super) fn check_label(name: &str) -> Result<(), Problem> {
    if (1..=128).contains(&name.len()) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let rule = "a name has 1 to 128 bytes without control characters";
    Err(Problem::at(Kind::InvalidValue, Pointer::to("name"), rule))
}

/// List projects
///
/// Requires `projects:read`.
#[utoipa::path(
    get, path = "/api/v3/projects", tag = "projects",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of projects, ordered by number", body = Page<ProjectView>)),
)]
pub(super) async fn list_projects(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<ProjectView>>, Problem> {
    let tenant = caller.may(Scope::ProjectsRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "projects")?;
    Ok(Json(wanted.select(directory.projects(tenant), |project| project.number, ProjectView::from)))
}

/// Delete a project
///
/// Requires `projects:write`. Events of the project are kept.
#[utoipa::path(
    delete, path = "/api/v3/projects/{id}", tag = "projects",
    params(("id" = schemas::ProjectNumber, Path, description = "The project's number")),
    responses(
        (status = 204, description = "The project was deleted"),
        (status = 409, description = "A hook is limited to this project", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn delete_project(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(number): Segment<i64>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::ProjectsWrite)?;
    if !directory.by(&caller.actor()).delete_project(tenant, number).await? {
        return Err(Problem::not_found("project", &number.to_string()));
    }
    Ok(StatusCode::NO_CONTENT)
}
