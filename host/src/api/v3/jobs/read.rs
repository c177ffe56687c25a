//! `GET /jobs` and `GET /jobs/{id}`.

use axum::Json;
use axum::extract::State;
use http::Uri;

use super::view::JobView;
use crate::api::auth::Caller;
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::domain::{Job, JobId, Scope};
use crate::services::JobService;

/// List jobs
///
/// Requires `deliveries:read`. Jobs that have ended are kept for seven days, the newest 1,000 of them.
#[utoipa::path(
    get, path = "/api/v3/jobs", tag = "jobs",
    params(
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of jobs, newest first", body = Page<JobView>)),
)]
pub(super) async fn list_jobs(
    State(jobs): State<JobService>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<JobView>>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &page::PARAMS)?;
    let wanted: PageRequest<JobId> = PageRequest::of(&params, "jobs")?;
    // One more, to know whether there is a next page.
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    let found = jobs.list(tenant, wanted.after, limit).await?;
    Ok(Json(wanted.cut(found, None, |job| job.id, |job: Job| JobView::from(&job))))
}

/// Get a job
///
/// Requires `deliveries:read`.
#[utoipa::path(
    get, path = "/api/v3/jobs/{id}", tag = "jobs",
    params(("id" = schemas::JobId, Path, description = "The job's id")),
    responses((status = 200, description = "The job", body = JobView)),
)]
pub(super) async fn get_job(
    State(jobs): State<JobService>,
    caller: Caller,
    Segment(id): Segment<JobId>,
    _: NoParams,
) -> Result<Json<JobView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let job = jobs.job(tenant, id).await?;
    JobView::full(&jobs, &job).await.map(Json)
}
