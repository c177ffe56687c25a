//! `POST /deliveries/retries` and `POST /deliveries/cancellations`.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use super::input;
use super::view::{JobView, Started, started};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::params::NoParams;
use crate::api::pointer::Pointer;
use crate::api::problem::Problem;
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::domain::{DeliveryFilter, DeliveryState, EventId, Invalid, Scope, TypePattern};
use crate::services::{CANCELLABLE, JobService, RETRYABLE};

/// Which deliveries to retry. Absent members do not limit them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetriesInput {
    /// Only deliveries for this hook.
    #[schema(value_type = Option<schemas::HookId>)]
    hook: Option<String>,
    /// Only deliveries of this event: the sender's id or the engine's.
    #[schema(value_type = Option<schemas::EventId>)]
    event: Option<String>,
    /// Only deliveries in these states. Default: `exhausted`.
    #[schema(value_type = Option<Vec<schemas::RetryableState>>, min_items = 1)]
    states: Option<Vec<String>>,
    /// Only deliveries of events of this type, or of all types with a prefix, such as `order.*`.
    #[serde(rename = "type")]
    #[schema(value_type = Option<schemas::TypePattern>)]
    event_type: Option<String>,
    /// Only deliveries created at this time or later.
    #[schema(value_type = Option<schemas::TimeInput>)]
    since: Option<String>,
    /// Only deliveries created before this time. Default: now.
    #[schema(value_type = Option<schemas::TimeInput>)]
    until: Option<String>,
    /// How many deliveries become due in a second, at most. Default: 500.
    #[schema(value_type = Option<schemas::JobRate>)]
    max_per_second: Option<f64>,
}

/// Which deliveries to cancel. Absent members do not limit them.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CancellationsInput {
    /// Only deliveries for this hook.
    #[schema(value_type = Option<schemas::HookId>)]
    hook: Option<String>,
    /// Only deliveries of this event: the sender's id or the engine's.
    #[schema(value_type = Option<schemas::EventId>)]
    event: Option<String>,
    /// Only deliveries in these states. Default: `pending` and `waiting`.
    #[schema(value_type = Option<Vec<schemas::CancellableState>>, min_items = 1)]
    states: Option<Vec<String>>,
    /// Only deliveries of events of this type, or of all types with a prefix, such as `order.*`.
    #[serde(rename = "type")]
    #[schema(value_type = Option<schemas::TypePattern>)]
    event_type: Option<String>,
    /// Only deliveries created at this time or later.
    #[schema(value_type = Option<schemas::TimeInput>)]
    since: Option<String>,
    /// Only deliveries created before this time. Default: now.
    #[schema(value_type = Option<schemas::TimeInput>)]
    until: Option<String>,
}

/// The members that both have.
struct Filters {
    hook: Option<String>,
    event: Option<String>,
    event_type: Option<String>,
    since: Option<String>,
    until: Option<String>,
}

impl Filters {
    fn check(self, states: Vec<DeliveryState>) -> Result<DeliveryFilter, Problem> {
        let hook = self.hook.as_deref().map(str::parse).transpose();
        let hook = hook.map_err(|rule| Problem::invalid(Pointer::to("hook"), rule))?;
        let event = self.event.as_deref().map(event_id).transpose();
        let event = event.map_err(|rule| Problem::invalid(Pointer::to("event"), rule))?;
        let event_type: Option<TypePattern> = self
            .event_type
            .as_deref()
            .map(str::parse)
            .transpose()
            .map_err(|rule| Problem::invalid(Pointer::to("type"), rule))?;
        let since = input::time("since", self.since.as_deref())?;
        let until = input::time("until", self.until.as_deref())?;
        input::check_range(since, until)?;
        Ok(DeliveryFilter {
            states,
            hook,
            event,
            event_type: event_type.filter(|pattern| *pattern != TypePattern::Any),
            since,
            until,
        })
    }
}

/// The sender's id of an event, or the engine's.
fn event_id(text: &str) -> Result<EventId, Invalid> {
    let id = EventId::from_path(text);
    if id.as_key().is_some() { Ok(id) } else { EventId::from_sender(text) }
}

/// Retry deliveries
///
/// Requires `deliveries:write`. Starts a job that makes deliveries due again, oldest first, as `POST
/// /deliveries/{id}/retry` does for one: the pipelines run again, and the schedules of retries start anew. Left out are
/// tests, deliveries of deleted hooks, and those with 200 attempts.
#[utoipa::path(
    post, path = "/api/v3/deliveries/retries", tag = "jobs", request_body = RetriesInput,
    responses(
        (status = 202, description = "The job has started", body = JobView, headers(("Location" = String, description = "The path of the job"))),
        (status = 409, description = "The tenant has too many jobs", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn retry_deliveries(
    State(jobs): State<JobService>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<Started, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let RetriesInput { hook, event, states, event_type, since, until, max_per_second } = json::parse(&body)?;
    let why = "; deliveries in other states are due or in progress";
    let states = input::states(states.as_deref(), &RETRYABLE, &[DeliveryState::Exhausted], why)?;
    let filter = Filters { hook, event, event_type, since, until }.check(states)?;
    let rate = input::rate(max_per_second)?;
    Ok(started(&jobs.retry(tenant, filter, rate, (&caller.actor(), caller.key())).await?))
}

/// Cancel deliveries
///
/// Requires `deliveries:write`. Starts a job that cancels deliveries that are pending or waiting, oldest first.
/// Those in the state `delivering` are in the memory of a node, and are not cancelled: pause the hook first, and
/// they return to `pending` within moments.
#[utoipa::path(
    post, path = "/api/v3/deliveries/cancellations", tag = "jobs", request_body = CancellationsInput,
    responses(
        (status = 202, description = "The job has started", body = JobView, headers(("Location" = String, description = "The path of the job"))),
        (status = 409, description = "The tenant has too many jobs", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn cancel_deliveries(
    State(jobs): State<JobService>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<Started, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let CancellationsInput { hook, event, states, event_type, since, until } = json::parse(&body)?;
    let why = "; what is in progress is cancelled one by one with POST /deliveries/{id}/cancel, or after its hook is paused";
    let states = input::states(states.as_deref(), &CANCELLABLE, &CANCELLABLE, why)?;
    let filter = Filters { hook, event, event_type, since, until }.check(states)?;
    Ok(started(&jobs.cancel(tenant, filter, (&caller.actor(), caller.key())).await?))
}
