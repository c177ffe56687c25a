//! `GET /events`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::page::{Page, PageRequest};
use crate::api::params::Params;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::{DeliveryState, Event, EventId, EventKey, Invalid, Scope, TenantId, TypePattern};
use crate::storage::{EventQuery, EventSummary, ListedEvents, Storage};

const PARAMS: [&str; 7] = ["id", "type", "project", "since", "until", "limit", "cursor"];

/// An accepted event without its data.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EventSummaryView {
    /// The id that receivers see as `webhook-id`: the sender's id if it gave one, else the engine's.
    #[schema(value_type = schemas::EventId)]
    id: String,
    /// The engine's id, which deliveries have as `event`.
    #[schema(value_type = schemas::EngineEventId)]
    engine_id: String,
    #[serde(rename = "type")]
    #[schema(value_type = schemas::EventType)]
    event_type: String,
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    /// When the event occurred according to its sender; `accepted_at` if the sender did not say.
    occurred_at: Time,
    /// When the engine accepted the event.
    accepted_at: Time,
    /// How many deliveries the event has in each state, such as `{"succeeded": 2, "waiting": 1}`. States
    /// without deliveries are left out; `{}` if no hook matched.
    deliveries: BTreeMap<&'static str, u32>,
}

/// List events
///
/// Requires `events:read`. The events have no `data`; `GET /events/{id}` has it. A search that passes over
/// many events stops early: a page may then have fewer items than `limit`, or none, although more follow.
/// The list is complete when `next` is null. `since` and `until` make a search short.
#[utoipa::path(
    get, path = "/api/v3/events", tag = "events",
    params(
        ("id" = Option<schemas::EventId>, Query, description = "Only the event with this id: the sender's or the engine's"),
        ("type" = Option<schemas::TypePattern>, Query, description = "Only events of this type, or of all types with a prefix, such as `order.*`"),
        ("project" = Option<schemas::ProjectNumber>, Query, description = "Only events of this project"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only events accepted at this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only events accepted before this time"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of events, newest first", body = Page<EventSummaryView>)),
)]
pub(super) async fn list_events(
    State(storage): State<Storage>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<EventSummaryView>>, Problem> {
    let tenant = caller.may(Scope::EventsRead)?;
    let params = Params::of(&uri, &PARAMS)?;
    let wanted: PageRequest<EventKey> = PageRequest::of(&params, "events")?;
    let event_type = params.parse("type")?;
    let project = params.parse::<Number>("project")?.map(|Number(number)| number);
    let (since, until) = params.since_and_until()?;
    let query = EventQuery {
        event_type,
        project,
        since,
        until,
        before: wanted.after,
        // One more, to know whether there is a next page.
        limit: u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX),
    };
    let ListedEvents { events, searched_to } = match params.get("id") {
        Some(id) => by_id(&storage, tenant, id, &query).await?,
        None => storage.events.search(tenant, &query).await?,
    };
    let keys: Vec<EventKey> = events.iter().map(|event| event.key).collect();
    let counts = storage.events.count_deliveries(tenant, &keys).await?;
    let view = |event: EventSummary| {
        EventSummaryView::of(&event, counts.get(&event.key).map_or(&[][..], Vec::as_slice))
    };
    Ok(Json(wanted.cut(events, searched_to, |event| event.key, view)))
}

impl EventSummaryView {
    fn of(event: &EventSummary, counts: &[(DeliveryState, u32)]) -> Self {
        Self {
            id: event.id.to_string(),
            engine_id: event.key.to_string(),
            event_type: event.event_type.to_string(),
            project: event.project,
            occurred_at: Time(event.occurred_at),
            accepted_at: Time(event.key.created_at()),
            deliveries: counts.iter().map(|(state, count)| (state.as_str(), *count)).collect(),
        }
    }
}

/// The event with this id, if it is one that `query` selects.
async fn by_id(
    storage: &Storage,
    tenant: TenantId,
    id: &str,
    query: &EventQuery,
) -> Result<ListedEvents, Problem> {
    if id.len() > EventId::MAX_LEN {
        return Err(Problem::parameter("id", format!("an id has at most {} bytes", EventId::MAX_LEN)));
    }
    let event = storage.events.event(tenant, &EventId::from_path(id)).await?;
    let events = event.filter(|event| selects(query, event)).map(|event| EventSummary {
        key: event.key,
        id: event.id,
        event_type: event.event_type,
        project: event.project,
        occurred_at: event.occurred_at,
    });
    Ok(ListedEvents { events: events.into_iter().collect(), searched_to: None })
}

fn selects(query: &EventQuery, event: &Event) -> bool {
    let accepted_at = event.accepted_at();
    query.event_type.as_ref().is_none_or(|pattern: &TypePattern| pattern.matches(&event.event_type))
        && query.project.is_none_or(|project| event.project == Some(project))
        && query.since.is_none_or(|since| accepted_at >= since)
        && query.until.is_none_or(|until| accepted_at < until)
        && query.before.is_none_or(|before| event.key < before)
}

/// The number of a project.
struct Number(i64);

impl std::str::FromStr for Number {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let number = text.parse().ok().filter(|number| *number > 0);
        number.map(Self).ok_or_else(|| Invalid::new("`project` is the number of a project"))
    }
}
