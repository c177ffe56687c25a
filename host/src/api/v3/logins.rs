//! `/logins`: the credentials of clients of API v1, the project web hook.

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
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::Directory;
use crate::domain::{Login, Scope, SecretText};
use crate::random;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(create_login, list_logins)).routes(routes!(delete_login))
}

/// A login to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginInput {
    /// The login's name: 1 to 128 bytes without colons, semicolons and control characters, unique within the
    /// tenant.
    #[schema(value_type = schemas::LoginName)]
    name: String,
    /// The API secret from which clients derive passwords, 8 to 256 bytes. Send the secret that existing
    /// clients have, so that they work unchanged. Default: a new secret, returned only by this response.
    #[schema(value_type = Option<schemas::LoginSecret>, write_only)]
    secret: Option<String>,
}

/// A login, without its secret.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Login)]
pub(super) struct LoginView {
    #[schema(value_type = schemas::LoginName)]
    name: String,
    /// True if the stored secret cannot be decrypted; delete the login and create it again. Absent otherwise.
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

/// A new login, with its secret if the engine generated it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NewLogin {
    #[serde(flatten)]
    about: LoginView,
    /// The generated secret, returned only by this response. Absent if the request gave a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    secret: Option<String>,
}

/// Create a login
///
/// For clients of API v1, the project web hook. Requires `keys:write` and the scopes of a login:
/// `hooks:read`, `hooks:write` and `deliveries:read`.
#[utoipa::path(
    post, path = "/api/v3/logins", tag = "logins", request_body = LoginInput,
    responses(
        (status = 201, description = "The login was created", body = NewLogin),
        (status = 409, description = "The name is taken, or a login of another tenant has the same name and secret", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_login(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    // A key can grant only scopes that it has itself.
    for scope in Login::SCOPES {
        caller.may(scope)?;
    }
    let tenant = caller.may(Scope::KeysWrite)?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let LoginInput { name, secret } = json::parse(&body)?;
    Login::check_name(&name).map_err(|rule| Problem::invalid(Pointer::to("name"), rule))?;
    if let Some(secret) = &secret {
        Login::check_secret(secret).map_err(|rule| Problem::invalid(Pointer::to("secret"), rule))?;
    }
    let made = secret.is_none().then(|| hex::encode(random::secret_bytes::<32>()));
    let text = made.clone().or(secret).unwrap_or_default();
    let login = directory.by(&caller.actor()).create_login(tenant, name, SecretText::new(text)).await?;
    let response = Json(NewLogin { about: login.into(), secret: made });
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], response))
}

/// List logins
///
/// Requires `keys:read`.
#[utoipa::path(
    get, path = "/api/v3/logins", tag = "logins",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of logins, ordered by name", body = Page<LoginView>)),
)]
pub(super) async fn list_logins(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<LoginView>>, Problem> {
    let tenant = caller.may(Scope::KeysRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "logins")?;
    Ok(Json(wanted.select(directory.logins(tenant), |login| login.name.clone(), LoginView::from)))
}

/// Delete a login
///
/// Requires `keys:write`. Requests with the login fail from then on.
#[utoipa::path(
    delete, path = "/api/v3/logins/{name}", tag = "logins",
    params(("name" = schemas::LoginName, Path, description = "The login's name")),
    responses((status = 204, description = "The login was deleted")),
)]
pub(super) async fn delete_login(
    State(directory): State<Arc<Directory>>,
    caller: Author,
    Segment(name): Segment<String>,
    _: NoParams,
) -> Result<StatusCode, Problem> {
    let tenant = caller.may(Scope::KeysWrite)?;
    if !directory.by(&caller.actor()).delete_login(tenant, &name).await? {
        return Err(Problem::not_found("login", &name));
    }
    Ok(StatusCode::NO_CONTENT)
}
