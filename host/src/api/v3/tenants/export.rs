//! `GET /tenants/{id}/export`: everything that belongs to a tenant, one JSON object a line.
//!
//! The response is made while it is read: one line is in memory, and the page that it is from.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream;
use http::{Uri, header};
use serde::Serialize;
use serde_json::json;

use super::view::{TenantView, find_tenant};
use crate::api::author::Author;
use crate::api::params::{Params, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::v3::deliveries::{AttemptView, DeliveryView, Details};
use crate::api::v3::events::EventView;
use crate::api::v3::hooks::{HookView, SecretsView};
use crate::api::v3::keys::KeyView;
use crate::api::v3::logins::LoginView;
use crate::api::v3::openapi::schemas;
use crate::api::v3::plugins::PluginView;
use crate::api::v3::projects::ProjectView;
use crate::clients::{Client, NoRoom};
use crate::directory::Directory;
use crate::domain::audit::MemberChange;
use crate::domain::{
    ApiKey, AuditAction, AuditObject, DeliveryId, EventId, EventKey, KeyId, Scope, Tenant, TenantId,
    UnixMillis,
};
use crate::services::HookStates;
use crate::storage::{DeliveryQuery, EventQuery, EventSummary, Storage, StorageError};

const SECRETS: &str = "secrets";
const CURSOR: &str = "cursor";
const PARAMS: [&str; 4] = [SECRETS, CURSOR, "since", "until"];
/// The scopes that a key needs.
const SCOPES: [Scope; 6] = [
    Scope::EventsRead,
    Scope::HooksRead,
    Scope::PluginsRead,
    Scope::DeliveriesRead,
    Scope::KeysRead,
    Scope::ProjectsRead,
];
/// How many events or deliveries are listed at once.
const PAGE: u32 = 50;
/// How many attempts of a delivery are exported, which are all that it has.
const MAX_ATTEMPTS: u32 = 1_000;
/// About how much memory an export takes, in bytes: a line and what it is made of.
const IN_MEMORY: usize = 2 << 20;

/// Export a tenant
///
/// Requires the operator's key, or a key of the tenant with all scopes to read. The response has a line for each
/// thing, an object with one member that says what it is: `tenant`, `project`, `key`, `login`, `plugin`, `hook`,
/// then `event`, the newest first, then `delivery` with its `attempts`, the newest first, and at last `end`. The
/// members are as in the responses to other requests. Configuration is as of the beginning; what is accepted
/// after the beginning is left out; a delivery is as it is when its line is written. Without `end`, the export
/// is incomplete: continue with the `engine_id` of the last event, or the `id` of the last delivery, as `cursor`.
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}/export", tag = "tenants",
    params(
        ("id" = schemas::TenantName, Path, description = "The tenant's id or name"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only events and deliveries of this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only events and deliveries before this time"),
        ("secrets" = Option<bool>, Query, description = "Whether hooks have `secrets`, which needs the operator's key"),
        ("cursor" = Option<schemas::Cursor>, Query, description = "Where to continue: the id of the last event or delivery that was received"),
    ),
    responses((status = 200, description = "One object a line", content_type = "application/x-ndjson", body = schemas::ExportLines)),
)]
pub(super) async fn export_tenant(
    State(directory): State<Arc<Directory>>,
    State(storage): State<Storage>,
    State(states): State<HookStates>,
    client: Option<Extension<Arc<Client>>>,
    caller: Author,
    Segment(name): Segment<String>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let tenant = find_tenant(&directory, &caller, &name)?;
    if !caller.is_operator() {
        for scope in SCOPES {
            caller.may(scope)?;
        }
    }
    let params = Params::of(&uri, &PARAMS)?;
    let with_secrets = params.flag(SECRETS)?;
    if with_secrets {
        caller.must_be_operator()?;
    }
    let (since, until) = params.since_and_until()?;
    let now = directory.now();
    let range = Range { since, until: until.map_or(now, |until| until.min(now)) };
    let next = match params.get(CURSOR) {
        None => {
            let uses = directory.key_uses(tenant.id).await?;
            Next::Lines(config_lines(&tenant, &directory, &states, (with_secrets, &uses)))
        }
        Some(text) => read_cursor(text)?,
    };
    let client = client.as_ref().map(|Extension(client)| Arc::as_ref(client));
    let reserved = client.map(|client| client.reserve_answer(IN_MEMORY)).transpose();
    let reserved = reserved.map_err(|NoRoom| {
        Problem::new(Kind::TooManyRequests, "too much memory is in use for responses; try again later")
    })?;
    let secrets = with_secrets.then(|| MemberChange::new("secrets", true));
    let object = AuditObject::tenant(tenant.id, &tenant.name);
    let actor = caller.actor();
    let changes = secrets.into_iter().collect();
    directory.by(&actor).note(tenant.id, AuditAction::TenantExported, object, changes).await?;
    let export = Export { storage, tenant: tenant.id, range, next, events: 0, deliveries: 0 };
    let lines = stream::try_unfold((export, reserved), async |(mut export, reserved)| {
        let line = export.line().await.inspect_err(|error| {
            let error = error as &dyn std::error::Error;
            tracing::warn!(tenant = %export.tenant, error, "an export is cut off");
        })?;
        Ok::<_, StorageError>(line.map(|line| (line, (export, reserved))))
    });
    let headers = [(header::CONTENT_TYPE, "application/x-ndjson"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(lines)))
}

/// The time of what is exported.
#[derive(Debug, Clone, Copy)]
struct Range {
    since: Option<UnixMillis>,
    until: UnixMillis,
}

/// What comes next.
enum Next {
    Lines(VecDeque<Bytes>),
    Events { before: Option<EventKey>, page: VecDeque<EventSummary> },
    Deliveries { before: Option<DeliveryId>, page: VecDeque<DeliveryId>, details: Details },
    End,
    Nothing,
}

impl Next {
    /// The deliveries before this one, or all.
    fn deliveries(before: Option<DeliveryId>) -> Self {
        Self::Deliveries { before, page: VecDeque::new(), details: Details::default() }
    }
}

struct Export {
    storage: Storage,
    tenant: TenantId,
    range: Range,
    next: Next,
    events: u64,
    deliveries: u64,
}

/// # Errors
/// Fails if it is neither the id of an event nor of a delivery.
fn read_cursor(text: &str) -> Result<Next, Problem> {
    if let Ok(id) = text.parse::<DeliveryId>() {
        return Ok(Next::deliveries(Some(id)));
    }
    let key = EventId::from_path(text).as_key().ok_or_else(|| {
        Problem::parameter(CURSOR, "`cursor` is the `engine_id` of an event or the `id` of a delivery")
    })?;
    Ok(Next::Events { before: Some(key), page: VecDeque::new() })
}

/// A line, in which JSON that tenants wrote stays as it is.
fn line(what: &str, view: impl Serialize) -> Bytes {
    let mut text = format!("{{\"{what}\":").into_bytes();
    if serde_json::to_writer(&mut text, &view).is_err() {
        return Bytes::new();
    }
    text.extend_from_slice(b"}\n");
    text.into()
}

/// A hook with the secrets that sign now, if they are wanted.
#[derive(Serialize)]
struct ExportedHook {
    #[serde(flatten)]
    hook: HookView,
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<SecretsView>,
}

/// A delivery with all its attempts, oldest first.
#[derive(Serialize)]
struct ExportedDelivery {
    #[serde(flatten)]
    delivery: DeliveryView,
    attempts: Vec<AttemptView>,
}

fn config_lines(
    tenant: &Tenant,
    directory: &Directory,
    states: &HookStates,
    (with_secrets, uses): (bool, &HashMap<KeyId, UnixMillis>),
) -> VecDeque<Bytes> {
    let (id, now) = (tenant.id, directory.now());
    let key = |key: &ApiKey| KeyView::of(key, now, uses.get(&key.id).copied());
    let mut lines = VecDeque::from([line("tenant", TenantView::of(tenant, directory))]);
    lines.extend(directory.projects(id).into_iter().map(|it| line("project", ProjectView::from(it))));
    lines.extend(directory.keys(id).iter().map(|it| line("key", key(it))));
    lines.extend(directory.logins(id).into_iter().map(|it| line("login", LoginView::from(it))));
    for plugin in directory.plugins(id).iter().filter(|plugin| plugin.tenant.is_some()) {
        let versions = directory.plugin_versions(id, &plugin.name);
        lines.extend(versions.iter().map(|it| line("plugin", PluginView::from(&**it))));
    }
    for hook in directory.hooks(id) {
        let secrets = with_secrets.then(|| SecretsView::of(&hook, directory.now()));
        let hook = HookView::new(&hook, states.state_of(&hook));
        lines.push_back(line("hook", ExportedHook { hook, secrets }));
    }
    lines
}

impl Export {
    /// The next line; `None` after the last one.
    async fn line(&mut self) -> Result<Option<Bytes>, StorageError> {
        loop {
            match &mut self.next {
                Next::Lines(lines) => match lines.pop_front() {
                    Some(line) => return Ok(Some(line)),
                    None => self.next = Next::Events { before: None, page: VecDeque::new() },
                },
                Next::Events { page, .. } => match page.pop_front() {
                    Some(event) => {
                        if let Some(line) = self.event(event.key).await? {
                            return Ok(Some(line));
                        }
                    }
                    None => self.find_events().await?,
                },
                Next::Deliveries { page, .. } => match page.pop_front() {
                    Some(id) => {
                        if let Some(line) = self.delivery(id).await? {
                            return Ok(Some(line));
                        }
                    }
                    None => self.find_deliveries().await?,
                },
                Next::Nothing => return Ok(None),
                Next::End => {
                    self.next = Next::Nothing;
                    let counts = json!({"events": self.events, "deliveries": self.deliveries});
                    return Ok(Some(line("end", counts)));
                }
            }
        }
    }

    /// The next page of events, or deliveries if there are no more events.
    async fn find_events(&mut self) -> Result<(), StorageError> {
        let Next::Events { before, page } = &mut self.next else { return Ok(()) };
        // It has ended if the key is the least.
        if *before == Some(EventKey(0)) {
            self.next = Next::deliveries(None);
            return Ok(());
        }
        let (since, until) = (self.range.since, Some(self.range.until));
        let query =
            EventQuery { since, until, before: *before, limit: PAGE, event_type: None, project: None };
        let found = self.storage.events.search(self.tenant, &query).await?;
        let is_full = found.events.len() >= PAGE as usize;
        let last = found.events.last().map(|event| event.key).filter(|_| is_full);
        *before = Some(last.or(found.searched_to).unwrap_or(EventKey(0)));
        page.extend(found.events);
        Ok(())
    }

    /// `None` if it is gone.
    async fn event(&mut self, key: EventKey) -> Result<Option<Bytes>, StorageError> {
        let Some(event) = self.storage.events.event(self.tenant, &EventId::of_key(key)).await? else {
            return Ok(None);
        };
        self.events += 1;
        Ok(Some(line("event", EventView::from(event))))
    }

    /// The next page of deliveries, or the end if there are no more.
    async fn find_deliveries(&mut self) -> Result<(), StorageError> {
        let Next::Deliveries { before, page, details } = &mut self.next else { return Ok(()) };
        if *before == Some(DeliveryId(0)) {
            self.next = Next::End;
            return Ok(());
        }
        let (since, until) = (self.range.since, Some(self.range.until));
        let query = DeliveryQuery { since, until, before: *before, limit: PAGE, ..DeliveryQuery::default() };
        let found = self.storage.deliveries.list(self.tenant, &query).await?;
        let is_full = found.deliveries.len() >= PAGE as usize;
        let last = found.deliveries.last().map(|delivery| delivery.id).filter(|_| is_full);
        *before = Some(last.or(found.searched_to).unwrap_or(DeliveryId(0)));
        *details = Details::of(&self.storage, self.tenant, &found.deliveries).await?;
        page.extend(found.deliveries.into_iter().map(|delivery| delivery.id));
        Ok(())
    }

    /// `None` if it is gone.
    async fn delivery(&mut self, id: DeliveryId) -> Result<Option<Bytes>, StorageError> {
        let found = self.storage.deliveries.with_attempts(self.tenant, id, None, MAX_ATTEMPTS).await?;
        let Some((delivery, attempts)) = found else { return Ok(None) };
        let Next::Deliveries { details, .. } = &self.next else { return Ok(None) };
        self.deliveries += 1;
        let attempts = attempts.iter().rev().map(AttemptView::from).collect();
        let delivery = details.view(delivery);
        Ok(Some(line("delivery", ExportedDelivery { delivery, attempts })))
    }
}
