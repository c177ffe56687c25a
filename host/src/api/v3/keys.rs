//! `/keys`: the API keys of a tenant. A key is returned only when it is created; the engine stores its hash.

use std::sync::Arc;
use std::time::Duration;

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
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::{Directory, KeyChange, KeyRotation};
use crate::domain::{ApiKey, KeyId, Scope, Scopes, TenantId, UnixMillis};
use crate::sources::Sources;

/// How long a replaced key is accepted if the request does not say, in seconds.
const OLD_EXPIRES_IN_S: u64 = 24 * 3600;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(create_key, list_keys))
        .routes(routes!(patch_key, delete_key))
        .routes(routes!(rotate_key))
}

/// A key to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyInput {
    /// A display name: 1 to 128 bytes without control characters.
    #[schema(value_type = schemas::Label)]
    name: String,
    /// The scopes of the key, at least one. Default: the scopes of the key that sends the request.
    #[schema(value_type = Option<Vec<schemas::Scope>>, min_items = 1, example = json!(["events:write", "deliveries:read"]))]
    scopes: Option<Vec<String>>,
    /// When the key expires, a time in the future. Default: never.
    #[schema(value_type = Option<schemas::TimeInput>)]
    expires_at: Option<String>,
}

/// The members of a key to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyPatch {
    /// A display name: 1 to 128 bytes without control characters.
    #[schema(value_type = Option<schemas::Label>)]
    name: Option<String>,
    /// When the key expires, a time in the future. Null: never.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::TimeInput>)]
    expires_at: Option<Option<String>>,
}

/// How to replace a key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyRotationInput {
    /// The name of the new key. Default: that of the old one.
    #[schema(value_type = Option<schemas::Label>)]
    name: Option<String>,
    /// When the new key expires, a time in the future. Default: never.
    #[schema(value_type = Option<schemas::TimeInput>)]
    expires_at: Option<String>,
    /// In how many seconds the old key expires, 0 to 2,592,000. Default: 86,400, a day.
    #[schema(value_type = Option<schemas::OldExpiresIn>)]
    old_expires_in_s: Option<u64>,
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    #[schema(value_type = schemas::KeyId)]
    id: String,
    #[schema(value_type = schemas::Label)]
    name: String,
    /// The first characters of the key, to recognize it by; null for a key of an older version.
    #[schema(example = "hwk_3f9a")]
    prefix: Option<String>,
    #[schema(value_type = Vec<schemas::Scope>)]
    scopes: Vec<&'static str>,
    /// When the key expires; null if it does not.
    expires_at: Option<Time>,
    /// Whether it has expired: requests with it fail with 401.
    expired: bool,
    /// When the key was last used, to the minute; null if it was not.
    last_used_at: Option<Time>,
    created_at: Time,
}

impl KeyView {
    pub(super) fn of(key: &ApiKey, now: UnixMillis, last_used_at: Option<UnixMillis>) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            prefix: key.prefix.clone(),
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
            expires_at: key.expires_at.map(Time),
            expired: key.is_expired(now),
            last_used_at: last_used_at.map(Time),
            created_at: Time(key.created_at),
        }
    }
}

/// A new key, with its secret value.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewKey {
    #[serde(flatten)]
    about: KeyView,
    /// The API key to send as a bearer token. It is returned only by this response.
    #[schema(example = "hwk_…")]
    key: String,
}

/// The response that shows a new key.
fn shown((about, key): (Arc<ApiKey>, String), now: UnixMillis) -> impl IntoResponse {
    let response = Json(NewKey { about: KeyView::of(&about, now, None), key });
    (StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], response)
}

/// Create a key
///
/// Requires `keys:write`. A key can grant only scopes that it has itself.
#[utoipa::path(
    post, path = "/api/v3/keys", tag = "keys", request_body = KeyInput,
    responses((status = 201, description = "The key was created; only this response contains its value", body = NewKey)),
)]
pub(super) async fn create_key(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let KeyInput { name, scopes, expires_at } = json::parse(&body)?;
    check_label(&name)?;
    let scopes = scopes.map_or(Ok(caller.scopes()), |texts| read_scopes(&texts))?;
    if let Some(beyond) = scopes.iter().find(|scope| !caller.scopes().contains(*scope)) {
        let detail = format!("the key lacks the scope `{beyond}` and cannot grant it to another key");
        return Err(Problem::at(Kind::Forbidden, Pointer::to("scopes"), detail));
    }
    let now = sources.now();
    let end = read_end(expires_at.as_deref(), now)?;
    let created = directory.by(&caller.actor()).create_key(tenant, name, scopes, end).await?;
    Ok(shown(created, now))
}

pub(super) fn read_scopes(texts: &[String]) -> Result<Scopes, Problem> {
    if texts.is_empty() {
        let rule = "a key has at least one scope; omit `scopes` to grant all scopes of your own key";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("scopes"), rule));
    }
    let read = |(index, text): (usize, &String)| {
        text.parse::<Scope>().map_err(|rule| Problem::invalid(Pointer::to("scopes").index(index), rule))
    };
    texts.iter().enumerate().map(read).collect()
}

/// List keys
///
/// Requires `keys:read`. The response does not contain the values of the keys. Keys that have expired are
/// listed until they are deleted.
#[utoipa::path(
    get, path = "/api/v3/keys", tag = "keys",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of keys, oldest first", body = Page<KeyView>)),
)]
pub(super) async fn list_keys(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<KeyView>>, Problem> {
    let tenant = caller.may(Scope::KeysRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "keys")?;
    let (uses, now) = (directory.key_uses(tenant).await?, sources.now());
    let view = |key: Arc<ApiKey>| KeyView::of(&key, now, uses.get(&key.id).copied());
    Ok(Json(wanted.select(directory.keys(tenant), |key| key.id, view)))
}

/// The key `id`, if the caller may hand it on: it has all scopes of the key itself.
fn find_to_grant(
    directory: &Directory,
    caller: &Caller,
    (tenant, id): (TenantId, KeyId),
) -> Result<Arc<ApiKey>, Problem> {
    let key = directory.key(tenant, id).ok_or_else(|| no_key(id))?;
    match key.scopes.iter().find(|scope| !caller.scopes().contains(*scope)) {
        None => Ok(key),
        Some(beyond) => {
            let detail = format!(
                "the key of this request lacks the scope `{beyond}` of the key `{id}`, and cannot extend or replace that"
            );
            Err(Problem::new(Kind::Forbidden, detail))
        }
    }
}

fn no_key(id: KeyId) -> Problem {
    Problem::not_found("key", &id.to_string())
}

/// Change a key
///
/// Requires `keys:write`, and for another `expires_at` all scopes of the key. To end a key at once, delete it.
#[utoipa::path(
    patch, path = "/api/v3/keys/{id}", tag = "keys",
    request_body(content = KeyPatch, content_type = "application/merge-patch+json", description = "The members of the key to change"),
    params(("id" = schemas::KeyId, Path, description = "The key's id")),
    responses((status = 200, description = "The changed key", body = KeyView)),
)]
pub(super) async fn patch_key(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Author,
    Segment(id): Segment<KeyId>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<KeyView>, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read(ContentType::MergePatch, MAX_SMALL_BODY).await?;
    let KeyPatch { name, expires_at } = json::parse(&body)?;
    if let Some(name) = &name {
        check_label(name)?;
    }
    let now = sources.now();
    let expires_at = expires_at.map(|text| read_end(text.as_deref(), now)).transpose()?;
    if expires_at.is_some() {
        find_to_grant(&directory, &caller, (tenant, id))?;
    }
    let change = KeyChange { name, expires_at };
    let changed = directory.by(&caller.actor()).change_key(tenant, id, change).await?;
    let key = changed.ok_or_else(|| no_key(id))?;
    let uses = directory.key_uses(tenant).await?;
    Ok(Json(KeyView::of(&key, now, uses.get(&id).copied())))
}

/// Replace a key
///
/// Requires `keys:write` and all scopes of the key. Creates a key with the same scopes, and lets the old one
/// expire after some time, in which clients can change to the new one. An earlier end of the old key stays.
/// The body is optional.
#[utoipa::path(
    post, path = "/api/v3/keys/{id}/rotate", tag = "keys", request_body = Option<KeyRotationInput>,
    params(("id" = schemas::KeyId, Path, description = "The id of the old key")),
    responses((status = 201, description = "The new key; only this response contains its value", body = NewKey)),
)]
pub(super) async fn rotate_key(
    State(directory): State<Arc<Directory>>,
    State(sources): State<Sources>,
    caller: Author,
    Segment(id): Segment<KeyId>,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read_optional(ContentType::Json, MAX_SMALL_BODY).await?;
    let input: KeyRotationInput = body.map(|body| json::parse(&body)).transpose()?.unwrap_or_default();
    if let Some(name) = &input.name {
        check_label(name)?;
    }
    let now = sources.now();
    let old_expires_in_s = input.old_expires_in_s.unwrap_or(OLD_EXPIRES_IN_S);
    if old_expires_in_s > ApiKey::MAX_OVERLAP.as_secs() {
        let rule = "`old_expires_in_s` is 0 to 2,592,000 seconds (30 days)";
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("old_expires_in_s"), rule));
    }
    let rotation = KeyRotation {
        name: input.name,
        expires_at: read_end(input.expires_at.as_deref(), now)?,
        old_expires_at: now.plus(Duration::from_secs(old_expires_in_s)),
    };
    find_to_grant(&directory, &caller, (tenant, id))?;
    let rotated = directory.by(&caller.actor()).rotate_key(tenant, id, rotation).await?;
    Ok(shown(rotated.ok_or_else(|| no_key(id))?, now))
}

/// Delete a key
///
/// Requires `keys:write`. Requests with the key fail with 401 from then on.
#[utoipa::path(
    delete, path = "/api/v3/keys/{id}", tag = "keys",
    params(("id" = schemas::KeyId, Path, description = "The key's id")),
    responses((status = 204, description = "The key was deleted")),
)]
pub(super) async fn delete_key(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(id): Segment<KeyId>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    if !directory.by(&caller.actor()).delete_key(tenant, id).await? {
        return Err(no_key(id));
    }
    Ok(StatusCode::NO_CONTENT)
}
