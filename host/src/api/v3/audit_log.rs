//! `GET /audit-log`: who changed what of the configuration.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
use crate::api::auth::Caller;
use crate::api::page::{Page, PageRequest};
use crate::api::params::Params;
use crate::api::problem::{Problem, shorten};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::audit::{MemberChange, MemberValue};
use crate::domain::{
    Actor, ActorKind, AuditEntry, AuditFilter, AuditId, AuditObject, Scope, TenantId, UnixMillis,
};
use crate::storage::{AuditQuery, Storage};

const PARAMS: [&str; 8] = ["tenant", "since", "until", "actor", "action", "object", "limit", "cursor"];
/// The greatest length of a filter, in bytes.
const MAX_FILTER_LEN: usize = 256;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(list_audit_log))
}

/// An entry of the audit log.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEntry)]
pub(super) struct EntryView {
    #[schema(value_type = schemas::AuditId)]
    id: String,
    at: Time,
    /// The tenant whose configuration it is about; null if it is about the engine.
    #[schema(value_type = Option<schemas::TenantId>)]
    tenant: Option<String>,
    actor: ActorView,
    /// The API of the request; null if the engine itself acted.
    #[schema(value_type = Option<schemas::Surface>)]
    surface: Option<&'static str>,
    /// The address that the request came from. A tenant does not see those of operators.
    #[schema(example = "192.0.2.7")]
    address: Option<String>,
    /// The `X-Request-Id` of the request, if it had one.
    request_id: Option<String>,
    /// What was done: the type of the object, a dot, and a verb.
    #[schema(example = "hook.updated")]
    action: String,
    object: ObjectView,
    /// The members that changed.
    changes: Vec<ChangeView>,
}

/// Who made a change.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditActor)]
struct ActorView {
    /// What identified the sender; `engine` if the engine itself acted.
    #[serde(rename = "type")]
    #[schema(value_type = schemas::ActorType)]
    kind: &'static str,
    /// The id of the key or token; null for logins, the engine, and the key of the setting `admin_key`. A tenant
    /// does not see those of operators.
    id: Option<String>,
    /// The name of the key or login. A tenant does not see those of operators.
    name: Option<String>,
}

/// What an entry is about.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditObject)]
struct ObjectView {
    #[serde(rename = "type")]
    #[schema(example = "hook")]
    kind: String,
    /// Its id, number or name.
    id: String,
    /// Its name for people, if it has one besides.
    name: Option<String>,
}

/// A member that changed. Without `old` and `new`, its values may be secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditChange)]
struct ChangeView {
    #[schema(example = "enabled")]
    member: String,
    /// The old value; null if there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    old: Option<Value>,
    /// The new value; null if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Value, required = false)]
    new: Option<Value>,
}

impl EntryView {
    /// `is_for_operator`: otherwise only the kind is shown of an actor that is an operator.
    fn of(entry: AuditEntry, is_for_operator: bool) -> Self {
        let Actor { kind, id, name, surface, address, request_id } = entry.actor;
        let is_shown = is_for_operator || kind != ActorKind::OperatorKey;
        let AuditObject { kind: object_kind, id: object_id, name: object_name } = entry.object;
        Self {
            id: entry.id.to_string(),
            at: Time(entry.id.created_at()),
            tenant: entry.tenant.map(|tenant| tenant.to_string()),
            actor: ActorView {
                kind: kind.as_str(),
                id: id.filter(|_| is_shown),
                name: name.filter(|_| is_shown),
            },
            surface: surface.map(|surface| surface.as_str()),
            address: address.filter(|_| is_shown).map(|address| address.to_string()),
            request_id: request_id.filter(|_| is_shown),
            action: entry.action,
            object: ObjectView { kind: object_kind, id: object_id, name: object_name },
            changes: entry.changes.into_iter().map(ChangeView::from).collect(),
        }
    }
}

impl From<MemberChange> for ChangeView {
    fn from(change: MemberChange) -> Self {
        // Only times have names of this form.
        let is_time = change.member.ends_with("_at");
        let (old, new) = change.values.unzip();
        let value = |value: Option<MemberValue>| value.map(|value| to_json(value, is_time));
        Self { member: change.member, old: value(old), new: value(new) }
    }
}

fn to_json(value: MemberValue, is_time: bool) -> Value {
    match value {
        MemberValue::Absent => Value::Null,
        MemberValue::Flag(flag) => flag.into(),
        MemberValue::Integer(time) if is_time => Time(UnixMillis(time)).to_string().into(),
        MemberValue::Integer(number) => number.into(),
        MemberValue::Number(number) => number.into(),
        MemberValue::Text(text) => text.into(),
        MemberValue::List(texts) => texts.into(),
    }
}

/// List the audit log
///
/// With a tenant's key: the changes of its configuration; requires `audit:read`. With an operator's key: those
/// of all tenants and of the engine, or of one tenant. Each change of configuration has one entry, and so has
/// each reading of a hook's secret. Entries cannot be changed, and are removed after the setting
/// `retain_audit_log_s`.
///
/// A search that passes over many entries stops early: a page may then have fewer items than `limit`, or none,
/// although more follow. The list is complete when `next` is null.
#[utoipa::path(
    get, path = "/api/v3/audit-log", tag = "audit-log",
    params(
        ("tenant" = Option<schemas::TenantName>, Query, description = "Only entries about this tenant, by id or name; of a tenant's key its own"),
        ("since" = Option<schemas::TimeInput>, Query, description = "Only entries made at this time or later"),
        ("until" = Option<schemas::TimeInput>, Query, description = "Only entries made before this time"),
        ("actor" = Option<schemas::AuditText>, Query, description = "Only entries whose actor has this type, id or name"),
        ("action" = Option<schemas::AuditText>, Query, description = "Only entries with this action, or of all actions that begin with it and a dot, such as `hook`"),
        ("object" = Option<schemas::AuditText>, Query, description = "Only entries about the object with this id or name"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of entries, newest first", body = Page<EntryView>)),
)]
pub(super) async fn list_audit_log(
    State(storage): State<Storage>,
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<EntryView>>, Problem> {
    let params = Params::of(&uri, &PARAMS)?;
    let wanted: PageRequest<AuditId> = PageRequest::of(&params, "audit-log")?;
    let tenant = tenant_of(&caller, &directory, params.get("tenant"))?;
    let (since, until) = params.since_and_until()?;
    let filter = AuditFilter {
        tenant,
        since,
        until,
        actor: text(&params, "actor")?,
        hides_operators: !caller.is_operator(),
        action: text(&params, "action")?,
        object: text(&params, "object")?,
    };
    // One more, to know whether there is a next page.
    let query = AuditQuery { filter, before: wanted.after, limit: wanted.limit + 1 };
    let listed = storage.audit.list(&query).await?;
    let view = |entry| EntryView::of(entry, caller.is_operator());
    Ok(Json(wanted.cut(listed.entries, listed.searched_to, |entry| entry.id, view)))
}

/// The tenant whose entries are listed; `None`: those of all, and of the engine.
fn tenant_of(
    caller: &Caller,
    directory: &Directory,
    named: Option<&str>,
) -> Result<Option<TenantId>, Problem> {
    let own = match caller.tenant() {
        None => None,
        Some(_) => Some(caller.may(Scope::AuditRead)?),
    };
    let Some(name) = named else { return Ok(own) };
    // The log of a tenant that was deleted can still be read, by its id.
    let named = directory.tenant_named(name).map(|tenant| tenant.id).or_else(|| name.parse().ok());
    let visible = named.filter(|id| match own {
        Some(own) => own == *id,
        None => caller.is_operator(),
    });
    visible
        .map(Some)
        .ok_or_else(|| Problem::parameter("tenant", format!("there is no tenant `{}`", shorten(name))))
}

fn text(params: &Params, name: &'static str) -> Result<Option<String>, Problem> {
    let Some(text) = params.get(name) else { return Ok(None) };
    if (1..=MAX_FILTER_LEN).contains(&text.len()) {
        return Ok(Some(text.to_owned()));
    }
    Err(Problem::parameter(name, format!("`{name}` has 1 to {MAX_FILTER_LEN} bytes")))
}
