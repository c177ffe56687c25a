//! `/hooks/{id}/missed` and `/hooks/{id}/recover`: events that a hook subscribes to and that have no delivery for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::read::find_readable;
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::json;
use crate::api::page::{Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::{Time, parse_time};
use crate::api::v3::limits::MAX_SMALL_BODY;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{AuditAction, AuditObject, EventKey, Hook, HookId, Invalid, Scope, UnixMillis};
use crate::services::HookStates;
use crate::sources::Sources;

/// An event that a hook has missed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MissedEvent)]
pub(super) struct MissedView {
    /// The engine's id of the event.
    #[schema(value_type = schemas::EngineEventId)]
    event: String,
    /// When it was accepted.
    accepted_at: Time,
}

/// Which missed events to recover.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RecoveryInput {
    /// Only events that were accepted at this time or later. Default: since the hook is disabled, or `after`.
    #[schema(value_type = Option<schemas::TimeInput>)]
    since: Option<String>,
    /// Only events that were accepted before this time. Default: now.
    #[schema(value_type = Option<schemas::TimeInput>)]
    until: Option<String>,
    /// The `next` of the response before.
    #[schema(value_type = Option<schemas::EngineEventId>)]
    after: Option<String>,
}

/// What was recovered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Recovery)]
pub(super) struct RecoveryView {
    /// How many deliveries were made.
    deliveries: usize,
    /// If there may be more: send it as `after`. Null if all is done.
    #[schema(value_type = Option<schemas::EngineEventId>)]
    next: Option<String>,
}

/// List missed events
///
/// Requires `hooks:read` and `events:read`. Lists stored events that match the types and the project of the
/// hook as they are now and have no delivery for it, oldest first. A page may be empty and still have a
/// `next`, because the search is limited.
#[utoipa::path(
    get, path = "/api/v3/hooks/{id}/missed", tag = "hooks",
    params(
        ("id" = schemas::HookId, Path, description = "The hook's id"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only events that were accepted at this time or later. Default: since the hook is disabled; required for other hooks"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only events that were accepted before this time. Default: now"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of missed events, oldest first", body = Page<MissedView>)),
)]
pub(super) async fn list_missed(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    State(sources): State<Sources>,
    caller: Caller,
    Segment(id): Segment<HookId>,
    uri: Uri,
) -> Result<Json<Page<MissedView>>, Problem> {
    let tenant = caller.may(Scope::HooksRead)?;
    caller.may(Scope::EventsRead)?;
    let params = Params::of(&uri, &["since", "until", "limit", "cursor"])?;
    let wanted = PageRequest::<EventKey>::of(&params, "missed")?;
    let hook = find_readable(&directory, tenant, id)?;
    let since = params.time("since")?.or_else(|| disabled_since(&hook));
    let since = since.ok_or_else(|| Problem::parameter("since", SINCE))?;
    let after = wanted.after.unwrap_or_else(|| before(EventKey::first_at(since)));
    let until = EventKey::first_at(params.time("until")?.unwrap_or_else(|| end(&sources)));
    let limit = u32::try_from(wanted.limit + 1).unwrap_or(u32::MAX);
    let missed = states.missed(&hook, (after, until), limit).await?;
    let view =
        |event: EventKey| MissedView { event: event.to_string(), accepted_at: Time(event.created_at()) };
    Ok(Json(wanted.cut(missed.events, missed.searched_to, |event| *event, view)))
}

/// Recover missed events
///
/// Requires `hooks:write` and `events:read`. Makes a delivery of each event that `GET /hooks/{id}/missed`
/// lists, oldest first, and none twice. A request makes about 10,000 deliveries and searches a limited number of events; if
/// the response has a `next`, send that as `after` to go on. The hook must be enabled; if it is paused, the deliveries are held.
#[utoipa::path(
    post, path = "/api/v3/hooks/{id}/recover", tag = "hooks", request_body = RecoveryInput,
    params(("id" = schemas::HookId, Path, description = "The hook's id")),
    responses((status = 200, description = "The deliveries were made", body = RecoveryView)),
)]
pub(super) async fn recover_missed(
    State(directory): State<Arc<Directory>>,
    State(states): State<HookStates>,
    State(sources): State<Sources>,
    caller: Author,
    Segment(id): Segment<HookId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<RecoveryView>, Problem> {
    let tenant = caller.may(Scope::HooksWrite)?;
    // The hook gets the data of events.
    caller.may(Scope::EventsRead)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let RecoveryInput { since, until, after } = json::parse(&body)?;
    let since = read_time("since", since.as_deref())?;
    let until = read_time("until", until.as_deref())?;
    let after: Option<EventKey> = after.as_deref().map(str::parse).transpose().map_err(at("after"))?;
    let hook = find_readable(&directory, tenant, id)?;
    if !hook.enabled {
        let detail = "the hook is disabled; enable it first, or its deliveries would wait";
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let from = after.or_else(|| since.map(|since| before(EventKey::first_at(since))));
    let from = from.ok_or_else(|| Problem::at(Kind::MissingMember, Pointer::to("since"), SINCE))?;
    let until = EventKey::first_at(until.unwrap_or_else(|| end(&sources)));
    directory
        .by(&caller.actor())
        .note(tenant, AuditAction::HookRecovered, AuditObject::hook(id), Vec::new())
        .await?;
    let recovered = states.recover(&hook, (from, until)).await?;
    let next = recovered.searched_to.map(|event| event.to_string());
    Ok(Json(RecoveryView { deliveries: recovered.deliveries, next }))
}

const SINCE: &str = "`since` is required: from when on events were missed";

/// Events of this moment may still be on their way to the disk, and get their deliveries there.
fn end(sources: &Sources) -> UnixMillis {
    sources.now()
}

fn before(key: EventKey) -> EventKey {
    EventKey(key.0 - 1)
}

fn disabled_since(hook: &Hook) -> Option<UnixMillis> {
    hook.options.disabled.filter(|_| !hook.enabled).map(|disabled| disabled.since)
}

fn at(member: &'static str) -> impl Fn(Invalid) -> Problem {
    move |rule| Problem::invalid(Pointer::to(member), rule)
}

fn read_time(member: &'static str, text: Option<&str>) -> Result<Option<UnixMillis>, Problem> {
    text.map(parse_time).transpose().map_err(at(member))
}
