//! `GET /hooks/{id}/stats` and `GET /tenants/{id}/stats`: how attempts ended, by hour.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::hooks::find_hook;
use super::openapi::schemas;
use super::tenants::find_tenant;
use crate::api::SharedApiState;
use crate::api::auth::Caller;
use crate::api::params::{Params, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::directory::Directory;
use crate::domain::hook_stats::{AttemptEnd, AttemptStats, Hour};
use crate::domain::{HookId, Scope, TenantId, UnixMillis};
use crate::sources::Sources;
use crate::storage::Storage;

const PARAMS: [&str; 2] = ["since", "until"];
/// The maximum number of hours that a response covers: seven days, and the hour that is not over.
const MAX_HOURS: i64 = 7 * 24 + 1;
/// The number of hours before the current one if the request has no `since`.
const DEFAULT_HOURS: i64 = 24;

/// Statistics of attempts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(super) struct StatsView {
    /// The beginning of the first hour.
    since: Time,
    /// The end of the last hour.
    until: Time,
    /// All hours together.
    total: CountsView,
    /// The hours in which there were attempts, oldest first.
    hours: Vec<HourView>,
}

/// The attempts of one hour.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HourView {
    /// When the hour began.
    hour: Time,
    #[serde(flatten)]
    counts: CountsView,
}

/// Counts of attempts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountsView {
    /// The number of attempts, first ones and retries.
    attempts: u64,
    outcomes: OutcomesView,
    /// The share of attempts that succeeded, from 0 to 1, without those that the pipeline dropped; null if
    /// there were none.
    success_rate: Option<f64>,
    /// How long receivers took; null if no request was sent.
    latency_ms: Option<LatencyView>,
}

/// The number of attempts by how they ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomesView {
    /// The receiver answered with 2xx.
    succeeded: u64,
    /// The receiver answered with another status.
    rejected: u64,
    /// There was no complete response in time.
    timed_out: u64,
    /// The receiver could not be reached.
    unreachable: u64,
    /// A plugin failed.
    faulted: u64,
    /// The pipeline dropped the event.
    dropped: u64,
}

/// Percentiles of the time from connecting to the end of the response, in milliseconds. They are at most an
/// eighth too high.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LatencyView {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl From<&AttemptStats> for CountsView {
    fn from(stats: &AttemptStats) -> Self {
        let count = |end: AttemptEnd| stats.ends[end as usize];
        let percentile = |percent| stats.latency.percentile(percent).map(millis);
        let latency = percentile(50).zip(percentile(95)).zip(percentile(99));
        Self {
            attempts: stats.attempts(),
            outcomes: OutcomesView {
                succeeded: count(AttemptEnd::Succeeded),
                rejected: count(AttemptEnd::Rejected),
                timed_out: count(AttemptEnd::TimedOut),
                unreachable: count(AttemptEnd::Unreachable),
                faulted: count(AttemptEnd::Faulted),
                dropped: count(AttemptEnd::Dropped),
            },
            success_rate: stats.success_rate().map(|rate| (rate * 10_000.0).round() / 10_000.0),
            latency_ms: latency.map(|((p50, p95), p99)| LatencyView { p50, p95, p99 }),
        }
    }
}

/// Rounded to a hundredth of a millisecond.
fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

/// The statistics of a tenant's attempts, or of one hook's.
async fn stats(
    storage: &Storage,
    now: UnixMillis,
    uri: &Uri,
    tenant: TenantId,
    hook: Option<HookId>,
) -> Result<Json<StatsView>, Problem> {
    let (first, last) = hours(&Params::of(uri, &PARAMS)?, now)?;
    let hours = storage.hook_stats.stats(tenant, hook, first, last).await?;
    let mut total = AttemptStats::default();
    hours.iter().for_each(|(_, stats)| total.merge(stats));
    let view = |(hour, stats): &(Hour, AttemptStats)| HourView {
        hour: Time(hour.begins_at()),
        counts: stats.into(),
    };
    Ok(Json(StatsView {
        since: Time(first.begins_at()),
        until: Time(Hour(last.0 + 1).begins_at()),
        total: (&total).into(),
        hours: hours.iter().map(view).collect(),
    }))
}

/// The first and the last hour that a request asks for.
fn hours(params: &Params, now: UnixMillis) -> Result<(Hour, Hour), Problem> {
    let until = params.time("until")?;
    let last = until.map_or_else(|| Hour::of(now), |until| Hour::of(UnixMillis(until.0.saturating_sub(1))));
    let since = params.time("since")?;
    let first = since.map_or(Hour(last.0.saturating_sub(DEFAULT_HOURS)), Hour::of);
    if first > last {
        return Err(Params::until_too_early());
    }
    if last.0 - first.0 >= MAX_HOURS {
        return Err(Problem::parameter("since", "statistics cover at most seven days"));
    }
    Ok((first, last))
}

/// Get a hook's statistics
///
/// Requires `deliveries:read`. Counts how attempts ended and how long the receiver took, by hour, for at most
/// seven days; by default for the last 24 hours. Counts are up to 5 seconds behind; a crash loses those 5
/// seconds.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}/stats", tag = "hooks",
    params(
        ("id" = schemas::HookId, Path, description = "The hook's id"),
        ("since" = Option<schemas::TimeInput>, Query, description = "From the hour that this time is in. Default: 24 hours before `until`"),
        ("until" = Option<schemas::TimeInput>, Query, description = "To the hour before this time. Default: now"),
    ),
    responses((status = 200, description = "The statistics", body = StatsView)),
)]
async fn get_hook_stats(
    State(storage): State<Storage>,
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    uri: Uri,
) -> Result<Json<StatsView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let hook = find_hook(&directory, tenant, id)?;
    stats(&storage, sources.now(), &uri, tenant, Some(hook.id)).await
}

/// Get a tenant's statistics
///
/// Requires the operator's key, or `deliveries:read` of a key of the tenant. As `GET /hooks/{id}/stats`, for all
/// hooks of the tenant together, deleted ones included.
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}/stats", tag = "tenants",
    params(
        ("id" = schemas::TenantName, Path, description = "The tenant's id or name"),
        ("since" = Option<schemas::TimeInput>, Query, description = "From the hour that this time is in. Default: 24 hours before `until`"),
        ("until" = Option<schemas::TimeInput>, Query, description = "To the hour before this time. Default: now"),
    ),
    responses((status = 200, description = "The statistics", body = StatsView)),
)]
async fn get_tenant_stats(
    State(storage): State<Storage>,
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Caller,
    Segment(name): Segment<String>,
    uri: Uri,
) -> Result<Json<StatsView>, Problem> {
    if !caller.is_operator() {
        caller.may(Scope::DeliveriesRead)?;
    }
    let tenant = find_tenant(&directory, &caller, &name)?;
    stats(&storage, sources.now(), &uri, tenant.id, None).await
}

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(get_hook_stats)).routes(routes!(get_tenant_stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_covers_whole_hours_of_at_most_seven_days() {
        let now = UnixMillis(1_800_003_600_000 + 5);
        let hour = Hour::of(now).0;
        for (query, expected) in [
            ("", Some((hour - 24, hour))),
            ("since=2027-01-15T08:59:59Z", Some((hour - 1, hour))),
            ("since=2027-01-15T08:00:00Z&until=2027-01-15T09:00:00Z", Some((hour - 1, hour - 1))),
            ("since=2027-01-15T08:00:00Z&until=2027-01-15T09:00:00.001Z", Some((hour - 1, hour))),
            ("until=2027-01-15T09:00:00Z", Some((hour - 25, hour - 1))),
            ("since=2027-01-08T09:00:00Z", Some((hour - 168, hour))),
            ("since=2027-01-08T08:59:59Z", None),
            ("since=2027-01-15T08:00:00Z&until=2027-01-15T08:00:00Z", None),
            ("since=2027-01-16T08:00:00Z", None),
        ] {
            let params = Params::of(&format!("/x?{query}").parse().unwrap(), &PARAMS).unwrap();
            let found = hours(&params, now).ok().map(|(first, last)| (first.0, last.0));
            assert_eq!(found, expected, "{query}");
        }
    }
}
