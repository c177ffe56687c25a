//! `GET /deliveries/counts`: how many deliveries are in which state.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use super::filter::filter_of;
use crate::api::auth::Caller;
use crate::api::params::Params;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::clock;
use crate::domain::{DeliveryId, DeliveryState, Scope};
use crate::services::{ListPart, RequestLimits, list_filtered};
use crate::storage::Storage;

const PARAMS: [&str; 5] = ["hook", "event", "type", "since", "until"];
/// How many deliveries are counted.
const MAX_COUNTED: u64 = 10_000;
/// How many are read at once.
const PAGE: u32 = 1_000;
/// Counting ends after this time.
const MAX_TIME: Duration = Duration::from_secs(2);

/// How many deliveries are in which state.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryCounts)]
pub(in crate::api::v3) struct CountsView {
    counts: StatesView,
    /// All of them.
    total: u64,
    /// Whether there are more, older ones that were not counted.
    at_least: bool,
    /// If there are more: deliveries created at this time or later were counted. Null if all were.
    counted_since: Option<Time>,
}

/// The number of deliveries in each state.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = DeliveryStateCounts)]
pub(in crate::api::v3) struct StatesView {
    pending: u64,
    delivering: u64,
    waiting: u64,
    succeeded: u64,
    exhausted: u64,
    dropped: u64,
    cancelled: u64,
}

impl StatesView {
    fn count(&mut self, state: DeliveryState) {
        let count = match state {
            DeliveryState::Pending => &mut self.pending,
            DeliveryState::Delivering => &mut self.delivering,
            DeliveryState::Waiting => &mut self.waiting,
            DeliveryState::Succeeded => &mut self.succeeded,
            DeliveryState::Exhausted => &mut self.exhausted,
            DeliveryState::Dropped => &mut self.dropped,
            DeliveryState::Cancelled => &mut self.cancelled,
        };
        *count += 1;
    }
}

/// Count deliveries by state
///
/// Requires `deliveries:read`. Counts the newest deliveries, at most about 10,000 and for at most two seconds; then
/// `at_least` is true.
#[utoipa::path(
    get, path = "/api/v3/deliveries/counts", tag = "deliveries",
    params(
        ("hook" = Option<schemas::HookId>, Query, description = "Only deliveries for this hook"),
        ("event" = Option<schemas::EventId>, Query, description = "Only deliveries of this event: the sender's id or the engine's"),
        ("type" = Option<schemas::TypePattern>, Query, description = "Only deliveries of events of this type, or of all types with a prefix, such as `order.*`"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only deliveries created at this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only deliveries created before this time"),
    ),
    responses((status = 200, description = "The counts", body = CountsView)),
)]
pub(super) async fn count_deliveries(
    State(storage): State<Storage>,
    State(limits): State<Arc<RequestLimits>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<CountsView>, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let filter = filter_of(&Params::of(&uri, &PARAMS)?)?;
    let _permit = limits.scans.acquire(tenant).await?;
    let began = clock::monotonic();
    let (mut counts, mut total, mut last) = (StatesView::default(), 0, None::<DeliveryId>);
    let is_complete = loop {
        let listed = list_filtered(&storage, tenant, &filter, ListPart::Before(last), PAGE).await?;
        let found = listed.deliveries.len();
        listed.deliveries.iter().for_each(|delivery| counts.count(delivery.state));
        total += found as u64;
        let end = listed.deliveries.last().map(|delivery| delivery.id);
        // A search that passed over many others goes on behind them.
        last = listed.searched_to.into_iter().chain(end).min().or(last);
        let is_all = listed.searched_to.is_none() && (found < PAGE as usize || filter.event.is_some());
        if is_all || total >= MAX_COUNTED || clock::elapsed(began) >= MAX_TIME {
            break is_all;
        }
    };
    let counted_since = last.filter(|_| !is_complete).map(|last| Time(last.created_at()));
    Ok(Json(CountsView { counts, total, at_least: !is_complete, counted_since }))
}
