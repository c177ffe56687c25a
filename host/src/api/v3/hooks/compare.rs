//! `POST /hooks/{id}/compare`: what another pipeline would change, over the newest events of a hook.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::find_readable;
use super::steps::{StepInput, with_steps};
use super::wire::MAX_HOOK_LEN;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::json::{self, Object};
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::comparison::{
    BodyDifferenceView, body_differences, request_differences, request_of, verdict_of,
};
use crate::api::v3::dry_run::{DryRuns, MAX_ARRIVAL};
use crate::api::v3::openapi::schemas;
use crate::api::v3::report::FaultView;
use crate::clock;
use crate::domain::{Event, EventKey, Hook, HookId, Scope};
use crate::presence::ClientPresence;
use crate::sandbox::{PipelineEnd, PipelineRun};
use crate::services::newest_events;

/// How many events are compared at most, and by default.
const MAX_EVENTS: usize = 50;
/// How many events with a difference are shown.
const MAX_SHOWN: usize = 10;
/// How many values of a body are shown that differ.
const MAX_VALUES: usize = 5;
/// What has not been compared by then is left out.
const MAX_TIME: Duration = Duration::from_secs(20);

/// A pipeline to compare with the one of the hook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CompareInput {
    /// The steps, at most 16, as in a hook.
    #[schema(value_type = Vec<StepInput>, max_items = 16)]
    pipeline: Vec<Object<StepInput>>,
    /// How many events to compare. Default: 50.
    #[schema(minimum = 1, maximum = 50)]
    events: Option<u32>,
}

/// What a pipeline would change. Nothing was sent or stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Comparison)]
pub(super) struct ComparisonView {
    /// How many events were compared: the newest that the hook got, or would get if it got none.
    events: usize,
    /// Whether there was time for all of them.
    complete: bool,
    /// For how many of them both pipelines do the same: send equal requests, drop the event, or fail.
    same: usize,
    /// How many of them are sent differently, are sent only by one of the pipelines, or fail with one of them.
    differ: usize,
    /// How the hook's own pipeline ended.
    before: VerdictCounts,
    /// How the given pipeline ended.
    after: VerdictCounts,
    /// The first events with a difference, at most 10.
    differences: Vec<EventDifferenceView>,
}

/// How the runs of a pipeline ended.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct VerdictCounts {
    /// A request would be sent.
    keep: usize,
    /// The pipeline dropped the event.
    drop: usize,
    /// A plugin failed.
    fault: usize,
}

/// An event for which two pipelines do not do the same.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EventDifference)]
pub(super) struct EventDifferenceView {
    /// The engine's id of the event.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    /// How the hook's own pipeline ended.
    #[schema(value_type = schemas::Verdict)]
    before: &'static str,
    /// How the given pipeline ended.
    #[schema(value_type = schemas::Verdict)]
    after: &'static str,
    /// In what the requests differ; null if one of the pipelines sends nothing.
    #[schema(value_type = Option<Vec<schemas::RequestPart>>)]
    differs: Option<Vec<&'static str>>,
    /// The first values in which the bodies differ, at most 5. Empty if one of them is not JSON, or is larger than
    /// 256 KiB.
    body: Vec<BodyDifferenceView>,
    /// The step of the given pipeline that failed, counted from 0; null if none did.
    step: Option<usize>,
    /// How that step failed; null if none did.
    fault: Option<FaultView>,
}

/// Compare a pipeline with a hook's
///
/// Requires `hooks:write` and `events:read`. Runs the hook's pipeline and the given one for the newest events of the hook,
/// and says for how many of them they send the same, and what differs. After 20 seconds it responds with what was compared, and
/// `complete` is false. It stops if the client closes the connection. Nothing is sent or stored.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/compare", tag = "hooks", request_body = CompareInput,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "What would change", body = ComparisonView)),
)]
pub(super) async fn compare_pipelines(
    State(dry_runs): State<DryRuns>,
    client: ClientPresence,
    caller: Caller,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<ComparisonView>, Problem> {
    // Plugins may sign with the hook's secret.
    let tenant = caller.may(Scope::HooksWrite)?;
    caller.may(Scope::EventsRead)?;
    let hook = find_readable(&dry_runs.directory, tenant, id)?;
    let compared = async {
        let body = payload.within(MAX_ARRIVAL).read(ContentType::Json, MAX_HOOK_LEN).await?;
        let input: CompareInput = json::parse(&body)?;
        let limit = limit(input.events)?;
        let other = with_steps(&hook, input.pipeline, &dry_runs.directory)?;
        Ok(Json(compare(&dry_runs, &hook, &other, limit).await?))
    };
    dry_runs.admit(tenant, &client, compared).await
}

fn limit(events: Option<u32>) -> Result<usize, Problem> {
    let events = events.map_or(MAX_EVENTS, |events| events as usize);
    if (1..=MAX_EVENTS).contains(&events) {
        return Ok(events);
    }
    let rule = format!("`events` is a number from 1 to {MAX_EVENTS}");
    Err(Problem::at(Kind::InvalidValue, Pointer::to("events"), rule))
}

async fn compare(
    dry_runs: &DryRuns,
    hook: &Hook,
    other: &Hook,
    limit: usize,
) -> Result<ComparisonView, Problem> {
    let deadline = clock::monotonic() + MAX_TIME;
    let (mut before, mut after) = (VerdictCounts::default(), VerdictCounts::default());
    let (mut same, mut differ, mut complete, mut differences) = (0, 0, true, Vec::new());
    for key in newest_events(&dry_runs.storage, hook, limit).await? {
        let Some(runs) = in_time(deadline, run_both(dry_runs, (hook, other), key)).await else {
            complete = false;
            break;
        };
        // It may be deleted or erased meanwhile.
        let Some((event, own, given)) = runs? else { continue };
        before.count(&own);
        after.count(&given);
        match EventDifferenceView::of(hook, &event, &own, &given) {
            None => same += 1,
            Some(_) if differences.len() >= MAX_SHOWN => differ += 1,
            Some(mut difference) => {
                differ += 1;
                difference.body = values_that_differ(&own, &given).await;
                differences.push(difference);
            }
        }
    }
    Ok(ComparisonView { events: same + differ, complete, same, differ, before, after, differences })
}

/// What `work` comes to, unless it takes too long.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout_at(deadline.into(), work).await.ok()
}

type Runs = (Arc<Event>, PipelineRun, PipelineRun);

/// Runs both pipelines for an event; `None` if it has no data any more.
async fn run_both(
    dry_runs: &DryRuns,
    (hook, other): (&Hook, &Hook),
    key: EventKey,
) -> Result<Option<Runs>, Problem> {
    let Some(event) = dry_runs.stored(hook.tenant, key).await? else { return Ok(None) };
    if &*event.data == "null" && dry_runs.storage.retention.erased_at(hook.tenant, key).await?.is_some() {
        return Ok(None);
    }
    let event = Arc::new(event);
    let own = dry_runs.finish(dry_runs.pipelines.preview(hook, &event)).await?;
    let given = dry_runs.finish(dry_runs.pipelines.preview(other, &event)).await?;
    Ok(Some((event, own, given)))
}

/// The values in which the bodies of two runs differ. Off the I/O threads, since bodies may be large.
async fn values_that_differ(own: &PipelineRun, given: &PipelineRun) -> Vec<BodyDifferenceView> {
    let (Some(own), Some(given)) = (request_of(own), request_of(given)) else { return Vec::new() };
    let (own, given) = (own.body.clone(), given.body.clone());
    let compared = move || body_differences(own.as_bytes(), given.as_bytes(), MAX_VALUES);
    tokio::task::spawn_blocking(compared).await.unwrap_or_default()
}

impl VerdictCounts {
    fn count(&mut self, run: &PipelineRun) {
        match verdict_of(run) {
            "keep" => self.keep += 1,
            "drop" => self.drop += 1,
            _ => self.fault += 1,
        }
    }
}

impl EventDifferenceView {
    /// The difference between two runs for `event`, if there is one, without the values of bodies.
    fn of(hook: &Hook, event: &Event, own: &PipelineRun, given: &PipelineRun) -> Option<Self> {
        let differs = request_differences(hook, own, given);
        let (before, after) = (verdict_of(own), verdict_of(given));
        let is_same = differs.as_ref().map_or(before == after, Vec::is_empty);
        if is_same {
            return None;
        }
        let failed = match &given.end {
            PipelineEnd::Fault { step, fault } => Some((*step, FaultView::from(fault))),
            PipelineEnd::Verdict(_) => None,
        };
        let (step, fault) = failed.unzip();
        let (event, event_type) = (event.key.to_string(), event.event_type.to_string());
        Some(Self { event, event_type, before, after, differs, body: Vec::new(), step, fault })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_takes_too_long_is_left_out() {
        let now = clock::monotonic();
        assert_eq!(in_time(now + MAX_TIME, std::future::ready(1)).await, Some(1));
        assert_eq!(in_time(now, std::future::pending::<u8>()).await, None);
    }
}
