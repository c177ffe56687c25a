//! `/keys`: the API keys of a tenant. A key is returned only when it is created; the engine stores its hash.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::MAX_SMALL_BODY;
use super::projects::check_label;
use crate::api::auth::Caller;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::Directory;
use crate::domain::{ApiKey, KeyId, Scope, Scopes};

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(create_key, list_keys)).routes(routes!(delete_key))
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
}

/// An API key.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Key)]
pub(super) struct KeyView {
    #[schema(value_type = schemas::KeyId)]
    id: String,
    #[schema(value_type = schemas::Label)]
    name: String,
    #[schema(value_type = Vec<schemas::Scope>)]
    scopes: Vec<&'static str>,
    created_at: Time,
}

impl From<Arc<ApiKey>> for KeyView {
    fn from(key: Arc<ApiKey>) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            scopes: key.scopes.iter().map(Scope::as_str).collect(),
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

/// Create a key
///
/// Requires `keys:write`. A key can grant only scopes that it has itself.
#[utoipa::path(
    post, path = "/api/v3/keys", tag = "keys", request_body = KeyInput,
    responses((status = 201, description = "The key was created; only this response contains its value", body = NewKey)),
)]
pub(super) async fn create_key(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let KeyInput { name, scopes } = json::parse(&body)?;
    check_label(&name)?;
    let scopes = scopes.map_or(Ok(caller.scopes()), |texts| read_scopes(&texts))?;
    if let Some(beyond) = scopes.iter().find(|scope| !caller.scopes().contains(*scope)) {
        let detail = format!("the key lacks the scope `{beyond}` and cannot grant it to another key");
        return Err(Problem::at(Kind::Forbidden, Pointer::to("scopes"), detail));
    }
    let (about, key) = directory.create_key(tenant, name, scopes).await?;
    let response = Json(NewKey { about: about.into(), key });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], response))
}

fn read_scopes(texts: &[String]) -> Result<Scopes, Problem> {
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
/// Requires `keys:read`. The response does not contain the values of the keys.
#[utoipa::path(
    get, path = "/api/v3/keys", tag = "keys",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of keys, oldest first", body = Page<KeyView>)),
)]
pub(super) async fn list_keys(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<KeyView>>, Problem> {
    let tenant = caller.may(Scope::KeysRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "keys")?;
    Ok(Json(wanted.select(directory.keys(tenant), |key| key.id, KeyView::from)))
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
    caller: Caller,
    Segment(id): Segment<KeyId>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    if !directory.delete_key(tenant, id).await? {
        return Err(Problem::not_found("key", &id.to_string()));
    }
    Ok(StatusCode::NO_CONTENT)
}
