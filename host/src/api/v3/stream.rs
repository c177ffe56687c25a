//! `GET /stream`: what happens to a tenant's deliveries, as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::IntoResponse;
use futures_util::stream;
use http::{Uri, header};
use serde::Serialize;
use tokio::sync::mpsc;
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
/// After how many checks in which the client has taken nothing a stream ends.
const MAX_IDLE_CHECKS: u32 = 60;
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
    let followed = others.follow(tenant);
    let mut checks = tokio::time::interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let access = Access { directory, sessions, admin, caller, tenant };
    let hello = format!("retry: {RETRY_MS}\n{}", event("hello", &Hello { nodes: others.nodes() }));
    // A task of its own: a client that reads slowly does not keep the stream from ending.
    let (sender, parts) = mpsc::channel(1);
    let open = Open { watch, access, filter, checks, checked: 0 };
    tokio::spawn(async move {
        // What happens after `hello` is told.
        tokio::select! {
            () = followed.begun() => open.run(hello, sender).await,
            () = sender.closed() => {}
        }
    });
    let parts = stream::unfold(parts, async |mut parts| {
        let part: String = parts.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(part)), parts))
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
}

/// What follows from a change or a check.
enum Next {
    /// The stream goes on, perhaps with a part.
    Part(String),
    /// This is its last part.
    End(String),
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
    /// Sends the parts of the response, from the first one on, until the stream ends or the client is gone.
    async fn run(mut self, mut part: String, parts: mpsc::Sender<String>) {
        loop {
            let next = match part.is_empty() {
                true => self.next(&parts).await,
                false => self.send(part, &parts).await,
            };
            part = match next {
                Next::Part(next) => next,
                Next::End(last) => {
                    // There is no room if the client has not taken the part before.
                    let _ = parts.try_send(last);
                    return;
                }
            };
        }
    }

    /// Waits until something happens.
    async fn next(&mut self, parts: &mpsc::Sender<String>) -> Next {
        tokio::select! {
            biased;
            () = parts.closed() => Next::End(String::new()),
            change = self.watch.next() => match change {
                Some(change) => self.changed(&change),
                None => end("shutdown"),
            },
            _ = self.checks.tick() => self.check(),
        }
    }

    /// Waits until the client takes a part. What happens meanwhile waits, unless it ends the stream.
    async fn send(&mut self, part: String, parts: &mpsc::Sender<String>) -> Next {
        let mut next = String::new();
        for _ in 0..MAX_IDLE_CHECKS {
            tokio::select! {
                biased;
                permit = parts.reserve() => return match permit {
                    Ok(permit) => {
                        permit.send(part);
                        Next::Part(next)
                    }
                    Err(_) => Next::End(String::new()),
                },
                () = self.watch.closed() => return end("shutdown"),
                _ = self.checks.tick() => match self.check() {
                    Next::Part(more) => next.push_str(&more),
                    last @ Next::End(_) => return last,
                },
            }
        }
        // The connection closes; there is no room to say why.
        Next::End(String::new())
    }

    /// A change, and those that are there already.
    fn changed(&mut self, change: &DeliveryChange) -> Next {
        if !self.access.is_granted() {
            return end("key");
        }
        let mut part = self.lagged();
        self.add(&mut part, change);
        for _ in 1..MAX_TOGETHER {
            let Some(change) = self.watch.try_next() else { break };
            self.add(&mut part, &change);
        }
        Next::Part(part)
    }

    fn add(&self, part: &mut String, change: &DeliveryChange) {
        if self.filter.wants(change) {
            part.push_str(&event("delivery", &ChangeView::from(change)));
        }
    }

    /// What is sent every second, if anything.
    fn check(&mut self) -> Next {
        self.checked += 1;
        if !self.access.is_granted() {
            return end("key");
        }
        if self.checked >= MAX_CHECKS {
            return end("lifetime");
        }
        let mut part = self.lagged();
        if self.checked.is_multiple_of(CHECKS_PER_HEARTBEAT) {
            part.push_str(": alive\n\n");
        }
        Next::Part(part)
    }

    fn lagged(&self) -> String {
        match self.watch.take_missed() {
            0 => String::new(),
            missed => event("lagged", &Lagged { missed }),
        }
    }
}

/// The end of a stream.
fn end(reason: &'static str) -> Next {
    Next::End(event("end", &End { reason }))
}

/// An event of the stream. Its data is one line: JSON has no line feeds.
fn event(name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {name}\ndata: {data}\n\n")
}
