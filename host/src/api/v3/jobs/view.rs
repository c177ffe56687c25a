//! The view of a job.

use http::{HeaderName, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use axum::Json;

use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::{DeliveryFilter, DeliveryId, DeliveryState, EventKey, Job, JobWork, Replay, UnixMillis};
use crate::services::JobService;

/// Work on many deliveries in the background.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Job)]
pub(super) struct JobView {
    #[schema(value_type = schemas::JobId)]
    id: String,
    /// `replay`, `retry` or `cancel`.
    #[schema(value_type = schemas::JobKind)]
    kind: &'static str,
    /// `running`, `paused`, `completed`, `cancelled` or `failed`.
    #[schema(value_type = schemas::JobState)]
    state: &'static str,
    /// Why it failed; null if it did not.
    reason: Option<String>,
    /// Which events or deliveries it is about.
    filter: JobFilterView,
    /// How many deliveries it makes due in a second, at most; absent for a cancellation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = f64)]
    max_per_second: Option<f64>,
    /// How many were examined so far: events that the hook subscribes to and that have one of the `types`, or
    /// deliveries.
    examined: u64,
    /// How many deliveries were made, retried or cancelled.
    made: u64,
    /// How many of those examined were left out.
    skipped: u64,
    /// Everything that was accepted, or created, before this time is examined, as far as the filter selects it.
    /// Null before the first step.
    examined_until: Option<Time>,
    /// How many deliveries that it made have not been attempted yet. Only in the response for a single job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = usize)]
    outstanding: Option<usize>,
    /// How many of the deliveries of a replay were interrupted, because a node died, and may have been sent twice.
    /// `GET /deliveries?job=…&interrupted=true` lists them. Only in the response for a single job.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    interrupted: Option<u64>,
    /// The plugins of a replay's own pipeline; absent if it runs the hook's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Vec<schemas::PluginRef>)]
    plugins: Option<Vec<String>>,
    /// The id of the key that started it, or `operator`.
    #[schema(value_type = String)]
    started_by: String,
    created_at: Time,
    /// When it ended; null if it has not.
    finished_at: Option<Time>,
}

/// Which events or deliveries a job is about. Absent members do not limit it.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = JobFilter)]
pub(super) struct JobFilterView {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::HookId)]
    hook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::EventId)]
    event: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<schemas::TypePattern>)]
    types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, value_type = Vec<schemas::DeliveryState>)]
    states: Vec<&'static str>,
    /// Whether events without a delivery for the hook are wanted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    missed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Time)]
    since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Time)]
    until: Option<Time>,
}

impl JobFilterView {
    fn of(work: &JobWork) -> Self {
        match work {
            JobWork::Replay(replay) => Self::of_replay(replay),
            JobWork::Retry(filter) | JobWork::Cancel(filter) => Self::of_filter(filter),
        }
    }

    pub(super) fn of_replay(replay: &Replay) -> Self {
        Self {
            hook: Some(replay.hook.to_string()),
            types: replay.types.iter().map(ToString::to_string).collect(),
            states: replay.states.iter().copied().map(DeliveryState::as_str).collect(),
            missed: replay.missed,
            since: Some(Time(replay.since)),
            until: Some(Time(replay.until)),
            ..Self::default()
        }
    }

    fn of_filter(filter: &DeliveryFilter) -> Self {
        Self {
            hook: filter.hook.map(|hook| hook.to_string()),
            event: filter.event.as_ref().map(ToString::to_string),
            types: filter.event_type.iter().map(ToString::to_string).collect(),
            states: filter.states.iter().copied().map(DeliveryState::as_str).collect(),
            since: filter.since.map(Time),
            until: filter.until.map(Time),
            ..Self::default()
        }
    }
}

impl From<&Job> for JobView {
    fn from(job: &Job) -> Self {
        let progress = &job.progress;
        Self {
            id: job.id.to_string(),
            kind: job.work.kind(),
            state: job.state.as_str(),
            reason: job.reason.clone(),
            filter: JobFilterView::of(&job.work),
            max_per_second: (!matches!(job.work, JobWork::Cancel(_))).then(|| job.rate.in_a_second()),
            examined: progress.examined,
            made: progress.made,
            skipped: progress.examined.saturating_sub(progress.made),
            examined_until: examined_until(job).map(Time),
            outstanding: None,
            interrupted: None,
            plugins: plugins(&job.work),
            started_by: job.started_by.map_or_else(|| "operator".to_owned(), |key| key.to_string()),
            created_at: Time(job.id.created_at()),
            finished_at: job.finished_at.map(Time),
        }
    }
}

fn plugins(work: &JobWork) -> Option<Vec<String>> {
    let JobWork::Replay(Replay { pipeline: Some(pipeline), .. }) = work else { return None };
    Some(pipeline.0.iter().map(|step| step.plugin.to_string()).collect())
}

fn examined_until(job: &Job) -> Option<UnixMillis> {
    let to = job.progress.examined_to;
    if to == job.work.start() {
        return None;
    }
    Some(match &job.work {
        JobWork::Replay(_) => EventKey(to).created_at(),
        JobWork::Retry(_) | JobWork::Cancel(_) => DeliveryId(to).created_at(),
    })
}

impl JobView {
    /// The view with the numbers of deliveries that have not been attempted, and that were interrupted.
    pub(super) async fn full(jobs: &JobService, job: &Job) -> Result<Self, Problem> {
        let outstanding = Some(jobs.outstanding(job).await?);
        let interrupted = match job.work {
            JobWork::Replay(_) => Some(jobs.interrupted(job).await?),
            JobWork::Retry(_) | JobWork::Cancel(_) => None,
        };
        Ok(Self { outstanding, interrupted, ..Self::from(job) })
    }
}

/// The response to a request that started a job.
pub(super) type Started = (StatusCode, [(HeaderName, String); 1], Json<JobView>);

/// The response to a request that started `job`.
pub(super) fn started(job: &Job) -> Started {
    let location = format!("/api/v3/jobs/{}", job.id);
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(JobView::from(job)))
}
