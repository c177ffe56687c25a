//! `/tenants`: the operator creates tenants and sees all of them; a key sees its own tenant.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::limits::MAX_SMALL_BODY;
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
use crate::domain::Tenant;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(create_tenant, list_tenants)).routes(routes!(get_tenant))
}

/// A tenant to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantInput {
    /// A unique name, often a domain: 1 to 128 bytes without white space.
    #[schema(value_type = schemas::TenantName)]
    name: String,
    /// The number by which clients of API v1 know the tenant: at least 1, unique.
    #[schema(value_type = Option<schemas::ClientId>)]
    client_id: Option<i64>,
}

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(super) struct TenantView {
    #[schema(value_type = schemas::TenantId)]
    id: String,
    #[schema(value_type = schemas::TenantName)]
    name: String,
    #[schema(value_type = Option<schemas::ClientId>)]
    client_id: Option<i64>,
    created_at: Time,
}

impl From<Arc<Tenant>> for TenantView {
    fn from(tenant: Arc<Tenant>) -> Self {
        Self {
            id: tenant.id.to_string(),
            name: tenant.name.clone(),
            client_id: tenant.client_id,
            created_at: Time(tenant.created_at),
        }
    }
}

/// Create a tenant
///
/// Requires the operator's key.
#[utoipa::path(
    post, path = "/api/v3/tenants", tag = "tenants", request_body = TenantInput,
    responses(
        (status = 201, description = "The tenant was created", body = TenantView),
        (status = 409, description = "Another tenant has this name or client id", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn create_tenant(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    _: NoParams,
    payload: Payload,
) -> Result<impl IntoResponse, Problem> {
    caller.must_be_operator()?;
    let body = payload.read(ContentType::Json, MAX_SMALL_BODY).await?;
    let TenantInput { name, client_id } = json::parse(&body)?;
    Tenant::check_name(&name).map_err(|rule| Problem::invalid(Pointer::to("name"), rule))?;
    if client_id.is_some_and(|number| number < 1) {
        return Err(Problem::at(Kind::InvalidValue, Pointer::to("client_id"), "a client id is at least 1"));
    }
    let tenant = directory.create_tenant(name, client_id).await?;
    Ok((StatusCode::CREATED, Json(TenantView::from(tenant))))
}

/// List tenants
///
/// The operator's key lists all tenants, any other key its own tenant.
#[utoipa::path(
    get, path = "/api/v3/tenants", tag = "tenants",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of tenants, oldest first", body = Page<TenantView>)),
)]
pub(super) async fn list_tenants(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<TenantView>>, Problem> {
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "tenants")?;
    let visible = directory.tenants().into_iter().filter(|tenant| caller.may_see(tenant.id));
    Ok(Json(wanted.select(visible, |tenant| tenant.id, TenantView::from)))
}

/// Get a tenant by id or name
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}", tag = "tenants",
    params(("id" = schemas::TenantName, Path, description = "The tenant's id or name")),
    responses((status = 200, description = "The tenant", body = TenantView)),
)]
pub(super) async fn get_tenant(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<String>,
    _: NoParams,
) -> Result<Json<TenantView>, Problem> {
    let tenant = directory.tenant_named(&name).filter(|tenant| caller.may_see(tenant.id));
    Ok(Json(tenant.ok_or_else(|| Problem::not_found("tenant", &name))?.into()))
}
