//! `POST /jobs/{id}/pause`, `/resume` and `/cancel`.

use axum::Json;
use axum::extract::State;

use super::view::JobView;
use crate::api::author::Author;
use crate::api::body::Payload;
use crate::api::params::{NoParams, Segment};
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::domain::{JobId, JobState, Scope};
use crate::services::JobService;

async fn change(
    jobs: &JobService,
    caller: &Author,
    id: JobId,
    payload: Payload,
    to: JobState,
) -> Result<Json<JobView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    payload.read_nothing().await?;
    let job = jobs.change(&caller.actor(), tenant, id, to).await?;
    JobView::full(jobs, &job).await.map(Json)
}

/// Pause a job
///
/// Requires `deliveries:write`. After the response, the job makes nothing until it is resumed. What it has made
/// is sent all the same. The request has no body.
#[utoipa::path(
    post, path = "/api/v3/jobs/{id}/pause", tag = "jobs",
    params(("id" = schemas::JobId, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job is paused", body = JobView),
        (status = 409, description = "The job has ended", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn pause_job(
    State(jobs): State<JobService>,
    caller: Author,
    Segment(id): Segment<JobId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<JobView>, Problem> {
    change(&jobs, &caller, id, payload, JobState::Paused).await
}

/// Resume a job
///
/// Requires `deliveries:write`. The job goes on where it was paused. The request has no body.
#[utoipa::path(
    post, path = "/api/v3/jobs/{id}/resume", tag = "jobs",
    params(("id" = schemas::JobId, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job is running", body = JobView),
        (status = 409, description = "The job has ended", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn resume_job(
    State(jobs): State<JobService>,
    caller: Author,
    Segment(id): Segment<JobId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<JobView>, Problem> {
    change(&jobs, &caller, id, payload, JobState::Running).await
}

/// Cancel a job
///
/// Requires `deliveries:write`. After the response, the job makes nothing more. What it has made stays; cancel
/// that with `POST /deliveries/cancellations`. The request has no body.
#[utoipa::path(
    post, path = "/api/v3/jobs/{id}/cancel", tag = "jobs",
    params(("id" = schemas::JobId, Path, description = "The job's id")),
    responses(
        (status = 200, description = "The job is cancelled", body = JobView),
        (status = 409, description = "The job has ended", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn cancel_job(
    State(jobs): State<JobService>,
    caller: Author,
    Segment(id): Segment<JobId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<JobView>, Problem> {
    change(&jobs, &caller, id, payload, JobState::Cancelled).await
}
