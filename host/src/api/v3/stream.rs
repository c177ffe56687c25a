//! `GET /stream`: what happens to a tenant's deliveries, as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::stream;
use http::{Uri, header};
use serde::Serialize;
use tokio::time::{Interval, MissedTickBehavior};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::deliveries::ChangeView;
use crate::api::SharedApiState;
use crate::api::auth::{AdminKeyHash, Caller};
use crate::api::params::Params;
use crate::api::problem::{Kind, Problem};
use crate::api::sessions::Sessions;
use crate::api::v3::openapi::schemas;
use crate::delivery::{DeliveryChange, LiveChanges, TooManyWatchers, Watch};
use crate::directory::Directory;
use crate::domain::{HookId, Scope, TenantId, TypePattern};
use crate::services::OtherNodes;

const PARAMS: [&str; 2] = ["hook", "type"];
/// How often it is checked whether the key is still accepted.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// After how many checks a comment is sent, so that proxies and clients know that the connection lives.
const CHECKS_PER_HEARTBEAT: u32 = 15;
/// After how many checks a stream ends, so that streams spread over nodes anew.
const MAX_CHECKS: u32 = 3_600;
/// How many changes are sent in one piece.
const MAX_TOGETHER: usize = 64;
/// How long a client waits before it connects again, in milliseconds.
const RETRY_MS: u32 = 2_000;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(stream_deliveries))
}

/// Watch deliveries
///
/// Requires `deliveries:read`. The response does not end by itself: it has an event for each change of a delivery, as it
/// happens. `hello` comes first. `delivery` has a `change` (`created`, `attempted`, `retried`, `cancelled`, or `changed` by
/// another node), the `delivery`, and the `attempt` if one ended. `lagged` says how many changes the client
/// `missed` because it read too slowly. `end` says why the stream ends: `key`, `shutdown` or `lifetime`, an hour. Changes
/// from before the connection are not repeated: list deliveries after connecting. What other nodes do comes up to two
/// seconds late, without the attempt. At most 16 streams of a tenant.
#[utoipa::path(
    get, path = "/api/v3/stream", tag = "deliveries",
    params(
        ("hook" = Option<schemas::HookId>, Query, description = "Only deliveries for this hook"),
        ("type" = Option<schemas::TypePattern>, Query, description = "Only deliveries of events of this type, or of all types with a prefix, such as `order.*`"),
    ),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream", body = schemas::EventStream)),
)]
pub(super) async fn stream_deliveries(
    State(live): State<Arc<LiveChanges>>,
    (State(directory), State(sessions)): (State<Arc<Directory>>, State<Arc<Sessions>>),
    (State(admin), State(others)): (State<AdminKeyHash>, State<OtherNodes>),
    caller: Caller,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::DeliveriesRead)?;
    let params = Params::of(&uri, &PARAMS)?;
    let filter = Filter { hook: params.parse("hook")?, event_type: params.parse("type")? };
    let watch = live.watch(tenant).map_err(|error @ TooManyWatchers| {
        Problem::new(Kind::TooManyRequests, error.to_string()).later(Some(5), None)
    })?;
    others.follow(tenant);
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let access = Access { directory, sessions, admin, caller, tenant };
    let hello = format!("retry: {RETRY_MS}\n{}", event("hello", &Hello { nodes: others.nodes() }));
    let open = Open { watch, access, filter, checks, checked: 0, hello: Some(hello), ended: false };
    let parts = stream::unfold(open, async |mut open| {
        let part = open.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(part)), open))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Proxies such as nginx would hold parts back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(parts)))
}

/// Which changes a client wants.
struct Filter {
    hook: Option<HookId>,
    event_type: Option<TypePattern>,
}

impl Filter {
    fn wants(&self, change: &DeliveryChange) -> bool {
        self.hook.is_none_or(|hook| hook == change.delivery.hook)
            && self.event_type.as_ref().is_none_or(|pattern| pattern.matches(&change.delivery.event_type))
    }
}

/// Whether the client may still watch.
struct Access {
    directory: Arc<Directory>,
    sessions: Arc<Sessions>,
    admin: AdminKeyHash,
    caller: Caller,
    tenant: TenantId,
}

impl Access {
    /// The key and the tenant may have changed since the request.
    fn is_granted(&self) -> bool {
        // As for each request: a key may have been deleted on another node.
        if self.directory.check_fresh().is_err() {
            return false;
        }
        let is_valid = self.caller.session().is_none_or(|session| self.sessions.is_valid(session));
        let caller = if is_valid { self.caller.again(&self.directory, self.admin) } else { None };
        caller.is_some_and(|caller| {
            let is_open = || caller.is_operator() || !self.directory.is_closed(self.tenant);
            caller.scopes().contains(Scope::DeliveriesRead)
                && caller.may_see(self.tenant)
                && self.directory.tenant(self.tenant).is_some()
                && is_open()
        })
    }
}

/// An open stream.
struct Open {
    watch: Watch,
    access: Access,
    filter: Filter,
    checks: Interval,
    checked: u32,
    hello: Option<String>,
    ended: bool,
}

#[derive(Serialize)]
struct Hello {
    nodes: &'static str,
}

#[derive(Serialize)]
struct Lagged {
    missed: u64,
}

#[derive(Serialize)]
struct End {
    reason: &'static str,
}

impl Open {
    /// The next part of the response; `None` at its end.
    async fn next(&mut self) -> Option<String> {
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        while !self.ended {
            let change = tokio::select! {
                biased;
                change = self.watch.next() => change,
                _ = self.checks.tick() => match self.check() {
                    Some(part) => return Some(part),
                    None => continue,
                },
            };
            let Some(change) = change else { return Some(self.end("shutdown")) };
            if !self.access.is_granted() {
                return Some(self.end("key"));
            }
            let mut part = self.lagged();
            self.add(&mut part, &change);
            for _ in 1..MAX_TOGETHER {
                let Some(change) = self.watch.try_next() else { break };
                self.add(&mut part, &change);
            }
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    }

    fn add(&self, part: &mut String, change: &DeliveryChange) {
        if self.filter.wants(change) {
            part.push_str(&event("delivery", &ChangeView::from(change)));
        }
    }

    /// What is sent every second, if anything.
    fn check(&mut self) -> Option<String> {
        self.checked += 1;
        if !self.access.is_granted() {
            return Some(self.end("key"));
        }
        if self.checked >= MAX_CHECKS {
            return Some(self.end("lifetime"));
        }
        let mut part = self.lagged();
        if self.checked.is_multiple_of(CHECKS_PER_HEARTBEAT) {
            part.push_str(": alive\n\n");
        }
        Some(part).filter(|part| !part.is_empty())
    }

    fn lagged(&self) -> String {
        match self.watch.take_missed() {
            0 => String::new(),
            missed => event("lagged", &Lagged { missed }),
        }
    }

    fn end(&mut self, reason: &'static str) -> String {
        self.ended = true;
        event("end", &End { reason })
    }
}

/// An event of the stream. Its data is one line: JSON has no line feeds.
fn event(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}
