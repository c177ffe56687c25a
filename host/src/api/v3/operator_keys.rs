//! `/operator-keys`: named keys of operators, beside the one of the settings.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::key_end::read_end;
use super::limits::MAX_SMALL_BODY;
use super::projects::check_label;
use crate::api::auth::{AdminKeyHash, Caller};
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::{Directory, OperatorKeyChange};
use crate::domain::{Actor, OperatorKey, OperatorKeyId, OperatorRole, UnixMillis};
use crate::sources::Sources;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(create_operator_key, list_operator_keys))
        .routes(routes!(patch_operator_key, delete_operator_key))
}

/// An operator's key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorKeyInput {
    /// A unique name, by which the audit log says who made a change: 1 to 128 bytes without control characters.
    #[schema(value_type = schemas::Label)]
    name: String,
    /// What the key allows: everything (`operator`), or to read all that is not secret (`read`). Default:
    /// `operator`.
    #[schema(value_type = Option<schemas::OperatorRole>)]
    role: Option<String>,
    /// When the key expires, a time in the future. Default: never.
    #[schema(value_type = Option<schemas::TimeInput>)]
    expires_at: Option<String>,
}

/// The members of an operator's key to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OperatorKeyPatch {
    /// A unique name: 1 to 128 bytes without control characters.
    #[schema(value_type = Option<schemas::Label>)]
    name: Option<String>,
    /// What the key allows.
    #[schema(value_type = Option<schemas::OperatorRole>)]
    role: Option<String>,
    /// When the key expires, a time in the future. Null: never.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::TimeInput>)]
    expires_at: Option<Option<String>>,
}

/// A key of an operator.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OperatorKey)]
pub(super) struct OperatorKeyView {
    #[schema(value_type = schemas::OperatorKeyId)]
    id: String,
    #[schema(value_type = schemas::Label)]
    name: String,
    #[schema(value_type = schemas::OperatorRole)]
    role: &'static str,
    /// The first characters of the key, to recognize it by.
    #[schema(example = "hwk_3f9a")]
    prefix: String,
    /// When the key expires; null if it does not.
    expires_at: Option<Time>,
    /// Whether it has expired: requests with it fail with 401.
    expired: bool,
    /// When the key was last used, to the minute; null if it was not.
    last_used_at: Option<Time>,
    created_at: Time,
}

impl OperatorKeyView {
    fn of(key: &OperatorKey, now: UnixMillis, last_used_at: Option<UnixMillis>) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            role: key.role.as_str(),
            prefix: key.prefix.clone(),
            expires_at: key.expires_at.map(Time),
            expired: key.is_expired(now),
            last_used_at: last_used_at.map(Time),
            created_at: Time(key.created_at),
        }
    }
}

/// A new key of an operator, with its secret value.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewOperatorKey {
    #[serde(flatten)]
    about: OperatorKeyView,
    /// The key to send as a bearer token. It is returned only by this response.
    #[schema(example = "hwk_…")]
    key: String,
}

fn read_name(name: &str) -> Result<(), Problem> {
    check_label(name)?;
    if name != Actor::ADMIN_KEY {
        return Ok(());
    }
    let rule = "`admin_key` is the name of the key of the settings; choose another";
    Err(Problem::at(Kind::InvalidValue, Pointer::to("name"), rule))
}

fn read_role(text: &str) -> Result<OperatorRole, Problem> {
    text.parse().map_err(|rule| Problem::invalid(Pointer::to("role"), rule))
}

/// Create an operator's key
///
/// Requires an operator's key with the role `operator`. All nodes accept the new key. The key of the setting
/// `admin_key` stays valid, too.
#[utoipa::path(
    post, path = "/api/v3/operator-keys", tag = "operator-keys", request_body = OperatorKeyInput,
    responses(
        (status = 201, description = "The key was created; only this response contains its value", body = NewOperatorKey),
        (status = 409, description = "Another key has this name, or there are too many", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_operator_key(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    caller.must_be_operator()?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let OperatorKeyInput { name, role, expires_at } = json::parse(&body)?;
    read_name(&name)?;
    let role = role.as_deref().map_or(Ok(OperatorRole::Operator), read_role)?;
    let now = sources.now();
    let end = read_end(expires_at.as_deref(), now)?;
    let (about, key) = directory.by(&caller.actor()).create_operator_key(name, role, end).await?;
    let response = Json(NewOperatorKey { about: OperatorKeyView::of(&about, now, None), key });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], response))
}

/// List operators' keys
///
/// Requires an operator's key. The list does not have the key of the setting `admin_key`.
#[utoipa::path(
    get, path = "/api/v3/operator-keys", tag = "operator-keys",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of keys, oldest first", body = Page<OperatorKeyView>)),
)]
pub(super) async fn list_operator_keys(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<OperatorKeyView>>, Problem> {
    caller.must_read_as_operator()?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "operator-keys")?;
    let (uses, now) = (directory.operator_key_uses().await?, sources.now());
    let view = |key: Arc<OperatorKey>| OperatorKeyView::of(&key, now, uses.get(&key.id).copied());
    Ok(Json(wanted.select(directory.operator_keys(), |key| key.id, view)))
}

/// Change an operator's key
///
/// Requires an operator's key with the role `operator`. To end a key at once, delete it.
#[utoipa::path(
    patch, path = "/api/v3/operator-keys/{id}", tag = "operator-keys",
    request_body(content = OperatorKeyPatch, content_type = "application/merge-patch+json", description = "The members of the key to change"),
    params(("id" = schemas::OperatorKeyId, Path, description = "The key's id")),
    responses(
        (status = 200, description = "The changed key", body = OperatorKeyView),
        (status = 409, description = "Another key has this name, or no key that allows changes would be left", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn patch_operator_key(
    State(directory): State<Arc<Directory>>,
    (State(sources), State(admin_key)): (State<Sources>, State<AdminKeyHash>),
    caller: Author,
    Segment(id): Segment<OperatorKeyId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<OperatorKeyView>, Problem> {
    caller.must_be_operator()?;
    let body = payload.read(ContentType::MergePatch, MAX_SMALL_BODY).await?;
    let OperatorKeyPatch { name, role, expires_at } = json::parse(&body)?;
    if let Some(name) = &name {
        read_name(name)?;
    }
    let now = sources.now();
    let change = OperatorKeyChange {
        name,
        role: role.as_deref().map(read_role).transpose()?,
        expires_at: expires_at.map(|text| read_end(text.as_deref(), now)).transpose()?,
    };
    let changed = directory.by(&caller.actor()).change_operator_key(id, change, admin_key.is_set).await?;
    let key = changed.ok_or_else(|| no_key(id))?;
    let uses = directory.operator_key_uses().await?;
    Ok(Json(OperatorKeyView::of(&key, now, uses.get(&id).copied())))
}

/// Delete an operator's key
///
/// Requires an operator's key with the role `operator`. Requests with the key fail with 401 from then on. A
/// key cannot delete itself if no other one is left that allows changes.
#[utoipa::path(
    delete, path = "/api/v3/operator-keys/{id}", tag = "operator-keys",
    params(("id" = schemas::OperatorKeyId, Path, description = "The key's id")),
    responses(
        (status = 204, description = "The key was deleted"),
        (status = 409, description = "No key that allows changes would be left", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn delete_operator_key(
    State(directory): State<Arc<Directory>>,
    State(admin_key): State<AdminKeyHash>,
    caller: Author,
    Segment(id): Segment<OperatorKeyId>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    caller.must_be_operator()?;
    if !directory.by(&caller.actor()).delete_operator_key(id, admin_key.is_set).await? {
        return Err(no_key(id));
    }
    Ok(StatusCode::NO_CONTENT)
}

fn no_key(id: OperatorKeyId) -> Problem {
    Problem::not_found("operator's key", &id.to_string())
}
