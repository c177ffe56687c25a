//! What a replay would send: the first events, with their requests now and as they were sent last.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::problem::Problem;
use crate::api::v3::comparison::request_differences;
use crate::api::v3::deliveries::SentRequestView;
use crate::api::v3::dry_run::{DryRunView, DryRuns};
use crate::api::v3::openapi::schemas;
use crate::clock;
use crate::delivery::{differences, signed_headers};
use crate::domain::{Delivery, DeliveryId, Event, Hook, SentRequest, TenantId, Verdict};
use crate::sandbox::{PipelineEnd, PipelineRun};
use crate::storage::ReplayableEvent;

/// How many attempts of a delivery are looked at for a request.
const MAX_ATTEMPTS: u32 = 10;
/// No further event is shown after this time.
const MAX_TIME: Duration = Duration::from_secs(20);

/// An event that would be sent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReplaySample)]
pub(super) struct SampleView {
    /// The engine's id of the event.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// The event's type.
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    /// Its newest delivery for the hook; null if it has none.
    #[schema(value_type = Option<schemas::DeliveryId>)]
    former: Option<String>,
    /// The state of that delivery; null if there is none.
    #[schema(value_type = Option<schemas::DeliveryState>)]
    former_state: Option<&'static str>,
    /// The run of the replay's pipeline, or of the hook's as it is now. The signature is masked.
    now: DryRunView,
    /// The run of the hook's own pipeline as it is now; absent if the replay has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = DryRunView)]
    hook_pipeline: Option<DryRunView>,
    /// In what the request of the replay's pipeline differs from that of the hook's own: empty if in nothing, null if
    /// one of them sends nothing. Absent if the replay has none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Option<Vec<schemas::RequestPart>>)]
    differs_from_hook: Option<Option<Vec<&'static str>>>,
    /// The request that the delivery sent last; null if none is stored.
    sent: Option<SentRequestView>,
    /// In what the request would differ from the one that was sent: empty if in nothing, null if there is nothing
    /// to compare. Masked values count as equal, and bodies that are not kept if they have the same length.
    #[schema(value_type = Option<Vec<schemas::RequestPart>>)]
    differs: Option<Vec<&'static str>>,
}

/// With which pipelines events are shown.
#[derive(Clone, Copy)]
pub(super) struct SampleHooks<'a> {
    /// The hook.
    pub(super) own: &'a Hook,
    /// The hook with the pipeline of the replay, if that has one.
    pub(super) replaying: Option<&'a Hook>,
}

/// Shows `events`, as many as there is time for.
///
/// # Errors
/// Fails if the engine fails.
pub(super) async fn samples(
    dry_runs: &DryRuns,
    hooks: SampleHooks<'_>,
    events: Vec<ReplayableEvent>,
) -> Result<Vec<SampleView>, Problem> {
    let tenant = hooks.own.tenant;
    let (mut shown, began): (_, Instant) = (Vec::with_capacity(events.len()), clock::monotonic());
    for ReplayableEvent { event, former } in events {
        if clock::elapsed(began) > MAX_TIME && !shown.is_empty() {
            break;
        }
        // It may be deleted meanwhile.
        let Some(event) = dry_runs.stored(tenant, event).await? else { continue };
        let former = match former {
            Some(former) => last_sent(dry_runs, tenant, former).await?,
            None => None,
        };
        shown.push(sample(dry_runs, hooks, &Arc::new(event), former).await?);
    }
    Ok(shown)
}

async fn sample(
    dry_runs: &DryRuns,
    SampleHooks { own, replaying }: SampleHooks<'_>,
    event: &Arc<Event>,
    former: Option<Former>,
) -> Result<SampleView, Problem> {
    let hook = replaying.unwrap_or(own);
    let run = dry_runs.finish(dry_runs.pipelines.preview(hook, event)).await?;
    let time = dry_runs.sources.now();
    let view = |run: &PipelineRun| {
        DryRunView::of(run, |request| signed_headers(hook, event, request, time)).without_signature(hook)
    };
    let (mut hook_pipeline, mut differs_from_hook) = (None, None);
    if replaying.is_some() {
        let today = dry_runs.finish(dry_runs.pipelines.preview(own, event)).await?;
        differs_from_hook = Some(request_differences(hook, &today, &run));
        hook_pipeline = Some(view(&today));
    }
    let differs = match (former.as_ref().and_then(|former| former.sent.as_ref()), &run.end) {
        // Other events were in the same request.
        (Some((sent, _)), _) if sent.batch.is_some() => None,
        (Some((sent, kept)), PipelineEnd::Verdict(Verdict::Keep(request))) => {
            Some(differences(hook, (sent, kept.as_deref()), request))
        }
        _ => None,
    };
    Ok(SampleView {
        event: event.key.to_string(),
        event_type: event.event_type.to_string(),
        former: former.as_ref().map(|former| former.delivery.id.to_string()),
        former_state: former.as_ref().map(|former| former.delivery.state.as_str()),
        now: view(&run),
        hook_pipeline,
        differs_from_hook,
        sent: former.and_then(|former| former.sent).as_ref().map(|(sent, _)| SentRequestView::from(sent)),
        differs,
    })
}

/// The newest delivery of an event, and the last of its requests that is recorded, with the body if that is kept.
struct Former {
    delivery: Delivery,
    sent: Option<(SentRequest, Option<Vec<u8>>)>,
}

async fn last_sent(dry_runs: &DryRuns, tenant: TenantId, id: DeliveryId) -> Result<Option<Former>, Problem> {
    let storage = &dry_runs.storage;
    let found = storage.deliveries.with_attempts(tenant, id, None, MAX_ATTEMPTS).await?;
    let Some((delivery, attempts)) = found else { return Ok(None) };
    let sent = attempts.into_iter().find_map(|attempt| Some((attempt.id, attempt.request?)));
    let Some((attempt, sent)) = sent else { return Ok(Some(Former { delivery, sent: None })) };
    let kept = storage.kept_bodies.kept_body(tenant, attempt, dry_runs.sources.now()).await?;
    Ok(Some(Former { delivery, sent: Some((sent, kept)) }))
}
