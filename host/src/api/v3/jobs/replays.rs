//! `POST /hooks/{id}/replays`: sends stored events to a hook again.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::input;
use super::samples::{SampleHooks, SampleView, samples};
use super::view::{JobFilterView, JobView, started};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json::{self, Object};
use crate::api::params::{NoParams, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::dry_run::DryRuns;
use crate::api::v3::hooks::{MAX_HOOK_LEN, StepInput, find_readable_hook, read_pipeline};
use crate::api::v3::openapi::schemas;
use crate::domain::{HookId, JobRate, PluginRef, Replay, Scope, UnixMillis};
use crate::presence::ClientPresence;
use crate::services::{JobService, REPLAYABLE, ReplayPreview, Services};

/// How many events a dry run shows.
const MAX_SHOWN: usize = 20;

/// Which stored events to send to a hook. Of those that it subscribes to, all that meet the conditions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayInput {
    /// Only events that were accepted at this time or later.
    #[schema(value_type = schemas::TimeInput)]
    since: String,
    /// Only events that were accepted before this time. Default: now.
    #[schema(value_type = Option<schemas::TimeInput>)]
    until: Option<String>,
    /// Only events of these types, 1 to 100 patterns. Default: all types of the hook.
    #[schema(value_type = Option<Vec<schemas::TypePattern>>, min_items = 1, max_items = 100)]
    types: Option<Vec<String>>,
    /// Only events whose newest delivery for the hook is in one of these states. Default: any of them, and no
    /// delivery.
    #[schema(value_type = Option<Vec<schemas::FinalState>>, min_items = 1)]
    states: Option<Vec<String>>,
    /// Events that have no delivery for the hook: only those, or with `states` those as well. Default: false.
    missed: Option<bool>,
    /// The plugins that shape the requests of these deliveries, in order, at most 16, also when they are retried. Default:
    /// the hook's pipeline, as it is at the time of each attempt.
    #[schema(value_type = Option<Vec<StepInput>>, max_items = 16)]
    pipeline: Option<Vec<Object<StepInput>>>,
    /// How many deliveries become due in a second, at most. Default: 500.
    #[schema(value_type = Option<schemas::JobRate>)]
    max_per_second: Option<f64>,
    /// Whether only to show what would be sent. Default: false.
    dry_run: Option<bool>,
}

/// What a replay would do. Nothing was sent or stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplayDryRun)]
pub(super) struct ReplayDryRunView {
    /// Which events would be sent.
    filter: JobFilterView,
    /// How many events would be sent.
    events: u64,
    /// Whether there may be more: the search is limited.
    at_least: bool,
    /// The first events, at most 20, with the requests as they would be now.
    first: Vec<SampleView>,
}

/// Replay events
///
/// Requires `deliveries:write` and `events:read`. Starts a job that sends stored events to the hook, oldest first:
/// each gets a delivery with the trigger `replay`, once for each job. The hook's pipeline runs as it is at the time
/// of the attempt, or the given `pipeline`, which names versions of plugins if it is to stay the same; then
/// `hooks:write` is required as well, and plugins validate their settings first. Events with a delivery for the hook that is not final are left out. The hook must be enabled; if
/// it is paused, or its circuit is open, the deliveries are held. With `dry_run`, nothing is sent, and the response
/// shows how many events there are and the first of them; this requires `hooks:read` and `deliveries:read` as well.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/replays", tag = "jobs", request_body = ReplayInput,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses(
        (status = 200, description = "What would be sent", body = ReplayDryRunView),
        (status = 202, description = "The job has started", body = JobView, headers(("Location" = String, description = "The path of the job"))),
        (status = 409, description = "The hook is disabled, or the tenant has too many jobs", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn replay_events(
    State(dry_runs): State<DryRuns>,
    State(services): State<Services>,
    client: ClientPresence,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::DeliveriesWrite)?;
    let jobs = &services.jobs;
    // The hook gets the data of events.
    caller.may(Scope::EventsRead)?;
    let body = payload.read(ContentType::Json, MAX_HOOK_LEN).await?;
    let mut input: ReplayInput = json::parse(&body)?;
    let is_dry_run = input.dry_run.unwrap_or(false);
    let steps = input.pipeline.take();
    let (mut replay, rate) = input.check(id, dry_runs.sources.now())?;
    let hook = find_readable_hook(&dry_runs.directory, tenant, id)?;
    let mut replaying = None;
    if let Some(steps) = steps {
        // The receiver gets what these plugins write, as if the hook had them.
        caller.may(Scope::HooksWrite)?;
        let resolves = |plugin: &PluginRef| dry_runs.directory.plugin(tenant, plugin).is_some();
        let pipeline = read_pipeline(Pointer::to("pipeline"), steps, resolves)?;
        replay.pipeline = Some(pipeline.clone());
        replaying = Some(services.hooks.validate_pipeline(&hook, pipeline, client.gone()).await?);
    }
    if !is_dry_run {
        let job = jobs.replay(&hook, replay, rate, (&caller.actor(), caller.key())).await?;
        return Ok(started(&job).into_response());
    }
    caller.may(Scope::HooksRead)?;
    caller.may(Scope::DeliveriesRead)?;
    let hooks = SampleHooks { own: &hook, replaying: replaying.as_ref() };
    let shown = dry_runs.admit(tenant, &client, show(jobs, &dry_runs, hooks, replay));
    Ok(Json(shown.await?).into_response())
}

async fn show(
    jobs: &JobService,
    dry_runs: &DryRuns,
    hooks: SampleHooks<'_>,
    replay: Replay,
) -> Result<ReplayDryRunView, Problem> {
    let filter = JobFilterView::of_replay(&replay);
    let preview = jobs.preview(hooks.own, replay, MAX_SHOWN).await?;
    let ReplayPreview { events, at_least, first } = preview;
    Ok(ReplayDryRunView { filter, events, at_least, first: samples(dry_runs, hooks, first).await? })
}

impl ReplayInput {
    fn check(self, hook: HookId, now: UnixMillis) -> Result<(Replay, JobRate), Problem> {
        let since = input::time("since", Some(&self.since))?.unwrap_or_default();
        let until = input::time("until", self.until.as_deref())?;
        if since >= now {
            let rule = "`since` is not in the past";
            return Err(Problem::at(Kind::InvalidValue, Pointer::to("since"), rule));
        }
        input::check_range(Some(since), until)?;
        let types = input::types(self.types.as_deref())?;
        let why = "; an event whose delivery is in another state is sent anyway";
        let states = input::states(self.states.as_deref(), &REPLAYABLE, &[], why)?;
        let rate = input::rate(self.max_per_second)?;
        let missed = self.missed.unwrap_or(false);
        let until = until.unwrap_or(now).min(now);
        Ok((Replay { hook, since, until, types, states, missed, pipeline: None }, rate))
    }
}
