//! `GET /engine/figures`: how this node is doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::services::{COUNTED_STATES, EngineFigures, RecentTimes};
use crate::sources::Sources;

/// How a node is doing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EngineFigures)]
pub(super) struct FiguresView {
    /// The number of the node that responds.
    node: i64,
    /// When `deliveries.pending`, `deliveries.waiting`, `oldest_due_s` and the sizes of the database were read; null, as they
    /// are, if they were not yet, or cannot be read any more.
    sampled_at: Option<Time>,
    hooks: HookCountsView,
    deliveries: UnfinishedView,
    /// Requests to receivers in flight.
    in_flight: usize,
    /// How many requests to receivers may be in flight.
    in_flight_limit: usize,
    /// For how many seconds the oldest delivery has waited only for this engine: it is due, and not held.
    oldest_due_s: Option<f64>,
    storage: StorageView,
    /// Transactions that store events, attempts or leases.
    commits: TimesView,
    /// From the acceptance of events to their first requests to hooks.
    arrivals: TimesView,
}

/// The number of hooks of all tenants by state.
#[derive(Debug, Serialize, ToSchema)]
struct HookCountsView {
    ok: u64,
    failing: u64,
    circuit_open: u64,
    /// Also those of tenants that are paused or suspended, and those that await permission.
    paused: u64,
    disabled: u64,
}

/// The number of deliveries that are not final.
#[derive(Debug, Serialize, ToSchema)]
struct UnfinishedView {
    /// In memory of this node, not started.
    queued: usize,
    /// Between the start of an attempt of this node and its record.
    delivering: usize,
    /// In the database, due; null if it is not known.
    pending: Option<u64>,
    /// In the database, due later; null if it is not known.
    waiting: Option<u64>,
}

/// What is stored, in bytes.
#[derive(Debug, Serialize, ToSchema)]
struct StorageView {
    /// The size of the database without its log; null if it is not known.
    database_bytes: Option<u64>,
    /// The size of the write-ahead log; null if it is not known, and with PostgreSQL.
    wal_bytes: Option<u64>,
    /// What is free of the volume of `data_dir`; null if that is not known.
    disk_free_bytes: Option<u64>,
    /// The size of that volume; null if that is not known.
    disk_size_bytes: Option<u64>,
}

/// How long something took on this node.
#[derive(Debug, Serialize, ToSchema)]
struct TimesView {
    /// Over how many seconds before now it was counted: about 300 if somebody asked in that time, more or less if not.
    over_s: u64,
    /// How often it happened.
    count: u64,
    /// What half of them did not exceed, about, in milliseconds; null if there were none.
    p50_ms: Option<f64>,
    /// What 99 of 100 did not exceed, about, in milliseconds; null if there were none.
    p99_ms: Option<f64>,
}

impl TimesView {
    fn of(RecentTimes { over, counted }: &RecentTimes) -> Self {
        // Rounded to a hundredth of a millisecond.
        let millis = |share| counted.quantile(share).map(|seconds| (seconds * 100_000.0).round() / 100.0);
        Self { over_s: over.as_secs(), count: counted.count, p50_ms: millis(0.5), p99_ms: millis(0.99) }
    }
}

impl FiguresView {
    fn of(node: i64, figures: &EngineFigures) -> Self {
        let (sampled, queue, disk) = (figures.latest(), figures.queue(), figures.disk_space());
        let (read, (commits, arrivals)) = (sampled.read, figures.recent());
        let hooks = |state| {
            let found = COUNTED_STATES.into_iter().zip(sampled.hooks).find(|(name, _)| *name == state);
            found.map_or(0, |(_, count)| count)
        };
        Self {
            node,
            sampled_at: read.map(|read| Time(read.at)),
            hooks: HookCountsView {
                ok: hooks("ok"),
                failing: hooks("failing"),
                circuit_open: hooks("circuit_open"),
                paused: hooks("paused"),
                disabled: hooks("disabled"),
            },
            deliveries: UnfinishedView {
                queued: queue.queued,
                delivering: queue.unfinished,
                pending: read.map(|read| read.storage.pending),
                waiting: read.map(|read| read.storage.waiting),
            },
            in_flight: queue.in_flight,
            in_flight_limit: queue.in_flight_limit,
            oldest_due_s: read.map(|read| (read.oldest_due.as_secs_f64() * 1_000.0).round() / 1_000.0),
            storage: StorageView {
                database_bytes: read.map(|read| read.storage.database_bytes),
                wal_bytes: read.and_then(|read| read.storage.log_bytes),
                disk_free_bytes: disk.as_ref().map(|space| space.free),
                disk_size_bytes: disk.as_ref().map(|space| space.size),
            },
            commits: TimesView::of(&commits),
            arrivals: TimesView::of(&arrivals),
        }
    }
}

/// Get figures of a node
///
/// Requires the operator's key. How long commits and deliveries take, what waits, the sizes of the database and of its volume.
/// Apart from what is in the database, they are those of the node that responds; `GET /metrics` of each node's admin listener
/// has more.
#[utoipa::path(
    get, path = "/api/v3/engine/figures", tag = "engine",
    responses((status = 200, description = "The figures of the node that responds", body = FiguresView)),
)]
pub(super) async fn get_figures(
    State(figures): State<Arc<EngineFigures>>,
    State(sources): State<Sources>,
    caller: Caller,
    _: NoParams,
) -> Result<Json<FiguresView>, Problem> {
    caller.must_read_as_operator()?;
    Ok(Json(FiguresView::of(sources.ids.node(), &figures)))
}
