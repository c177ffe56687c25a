//! `/logins`: what clients of the project web hook's API show who they are with.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::MAX_SMALL_BODY;
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::page::{self, Page, Wanted};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{Shared, json};
use crate::directory::Directory;
use crate::domain::{Login, Scope, SecretText};

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create_login, list_logins)).routes(routes!(delete_login))
}

/// A login to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginInput {
    /// Its name, unique within the tenant: 1 to 128 bytes without colons and semicolons.
    #[schema(value_type = schemas::LoginName)]
    name: String,
    /// The API secret that passwords are made with, 8 to 256 bytes: the one that clients have, if they are to go on
    /// unchanged. Absent: a new one is made, and shown this once.
    #[schema(value_type = Option<schemas::LoginSecret>, write_only)]
    secret: Option<String>,
}

/// A login. Its secret is not shown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Login)]
pub(super) struct LoginView {
    #[schema(value_type = schemas::LoginName)]
    name: String,
    /// True if its stored secret cannot be decrypted: delete the login and make it again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unreadable: bool,
    created_at: Time,
}

impl From<Arc<Login>> for LoginView {
    fn from(login: Arc<Login>) -> Self {
        let (name, unreadable) = (login.name.clone(), login.is_unreadable());
        Self { name, unreadable, created_at: Time(login.created_at) }
    }
}

/// A new login, with its secret if the engine made that.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewLogin {
    #[serde(flatten)]
    about: LoginView,
    /// The secret: shown this once, and only if it was made here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    secret: Option<String>,
}

/// Make a login
///
/// For clients of the project web hook, API v1. Needs `keys:write` and what a login may do: `hooks:read`,
/// `hooks:write` and `deliveries:read`.
#[utoipa::path(
    post, path = "/api/v3/logins", tag = "logins", request_body = LoginInput,
    responses(
        (status = 201, description = "It is made", body = NewLogin),
        (status = 409, description = "The name is taken, or another login of the engine has the same name and secret", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_login(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    // A key cannot make a login that may do more than itself.
    for scope in Login::SCOPES {
        caller.may(scope)?;
    }
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read(Takes::Json, MAX_SMALL_BODY).await?;
    let LoginInput { name, secret } = json::parse(&body)?;
    Login::check_name(&name).map_err(|rule| Problem::invalid(Pointer::to("name"), rule))?;
    if let Some(secret) = &secret {
        Login::check_secret(secret).map_err(|rule| Problem::invalid(Pointer::to("secret"), rule))?;
    }
    let made = secret.is_none().then(|| hex::encode(rand::random::<[u8; 32]>()));
    let text = made.clone().or(secret).unwrap_or_default();
    let login = directory.create_login(tenant, name, SecretText::new(text)).await?;
    let answer = Json(NewLogin { about: login.into(), secret: made });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], answer))
}

/// List logins
///
/// Needs `keys:read`.
#[utoipa::path(
    get, path = "/api/v3/logins", tag = "logins",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page, by name", body = Page<LoginView>)),
)]
pub(super) async fn list_logins(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<LoginView>>, Problem> {
    let tenant = caller.may(Scope::KeysRead)?;
    let wanted = Wanted::of(&Params::of(&uri, &page::PARAMS)?, "logins")?;
    Ok(Json(wanted.select(directory.logins(tenant), |login| login.name.clone(), LoginView::from)))
}

/// Delete a login
///
/// Needs `keys:write`. It is refused from then on.
#[utoipa::path(
    delete, path = "/api/v3/logins/{name}", tag = "logins",
    params(("name" = schemas::LoginName, Path, description = "Its name")),
    responses((status = 204, description = "It is gone")),
)]
pub(super) async fn delete_login(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<String>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    if !directory.delete_login(tenant, &name).await? {
        return Err(Problem::not_found("login", &name));
    }
    Ok(StatusCode::NO_CONTENT)
}
