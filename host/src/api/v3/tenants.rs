//! `/tenants`: the operator creates tenants and sees all of them; a key sees its own tenant.

mod delete;
mod export;
mod limits;
mod view;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::limits::LimitsPatch;
use self::view::TenantView;
pub(super) use self::view::find_tenant;
use super::hooks::read_rate;
use super::limits::MAX_SMALL_BODY;
use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::body::{ContentType, Payload};
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::api::{SharedApiState, json};
use crate::directory::Directory;
use crate::domain::{Retention, Tenant};
use crate::ingest::Ingest;
use crate::services::{TenantChange, TenantService};

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(create_tenant, list_tenants))
        .routes(routes!(get_tenant, patch_tenant, delete::delete_tenant))
        .routes(routes!(delete::get_deletion))
        .routes(routes!(export::export_tenant))
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

/// The members of a tenant to change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantPatch {
    /// A unique name, often a domain: 1 to 128 bytes without white space.
    #[schema(value_type = Option<schemas::TenantName>)]
    name: Option<String>,
    /// Whether its keys are refused, nothing is accepted for it, and its deliveries are held.
    suspended: Option<bool>,
    /// Whether the deliveries of all its hooks are held.
    paused: Option<bool>,
    /// The most requests in a second to the receivers of all its hooks together, on all nodes, 0.01 to 10,000. What
    /// is over waits. Null: no limit.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::MaxPerSecond>)]
    max_per_second: Option<Option<f64>>,
    /// The limits to change. Null: all are as the settings say.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<LimitsPatch>)]
    limits: Option<Option<json::Object<LimitsPatch>>>,
    /// For how many seconds its events are kept. Null: as the settings say.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_events_s: Option<Option<u64>>,
    /// For how many seconds attempts are kept. Null: as the settings say.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_attempts_s: Option<Option<u64>>,
    /// For how many seconds bodies of requests are kept. Null: as the settings say.
    #[serde(default, deserialize_with = "json::nullable")]
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_bodies_s: Option<Option<u64>>,
}

impl TenantPatch {
    fn read(self) -> Result<TenantChange, Problem> {
        if let Some(name) = &self.name {
            Tenant::check_name(name).map_err(|rule| Problem::invalid(Pointer::to("name"), rule))?;
        }
        let retention = |name: &str, seconds: Option<Option<u64>>| {
            let read = |seconds| {
                Retention::seconds(seconds).map_err(|rule| Problem::invalid(Pointer::to(name), rule))
            };
            seconds.map(|seconds| seconds.map(read).transpose()).transpose()
        };
        Ok(TenantChange {
            name: self.name,
            paused: self.paused,
            suspended: self.suspended,
            max_per_second: self.max_per_second.map(read_rate).transpose()?,
            limits: self.limits.map_or(Ok(Vec::new()), limits::read)?,
            retain_events: retention("retain_events_s", self.retain_events_s)?,
            retain_attempts: retention("retain_attempts_s", self.retain_attempts_s)?,
            retain_bodies: retention("retain_bodies_s", self.retain_bodies_s)?,
        })
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
    caller: Author,
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
    let tenant = directory.by(&caller.actor()).create_tenant(name, client_id).await?;
    Ok((StatusCode::CREATED, Json(TenantView::of(&tenant, &directory))))
}

/// Change a tenant
///
/// Requires the operator's key. While a tenant is paused, its events are accepted and matched, and nothing is
/// sent. Resuming sends what was held, in the order of acceptance. What is over its rate waits. While a tenant is
/// suspended, its keys are refused with 403 and nothing is accepted, either. A new name holds at once, on all
/// nodes within seconds; the former one is free.
#[utoipa::path(
    patch, path = "/api/v3/tenants/{id}", tag = "tenants",
    request_body(content = TenantPatch, content_type = "application/merge-patch+json", description = "The members of the tenant to change"),
    params(("id" = schemas::TenantName, Path, description = "The tenant's id or name")),
    responses(
        (status = 200, description = "The changed tenant", body = TenantView),
        (status = 409, description = "Another tenant has this name", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn patch_tenant(
    State(directory): State<Arc<Directory>>,
    State(tenants): State<TenantService>,
    caller: Author,
    Segment(name): Segment<String>,
    _: NoParams,
    payload: Payload,
) -> Result<Json<TenantView>, Problem> {
    caller.must_be_operator()?;
    let body = payload.read(ContentType::MergePatch, MAX_SMALL_BODY).await?;
    let change = json::parse::<TenantPatch>(&body)?.read()?;
    let no_tenant = || Problem::not_found("tenant", &name);
    let tenant = directory.tenant_named(&name).ok_or_else(no_tenant)?;
    if change == TenantChange::default() {
        return Ok(Json(TenantView::of(&tenant, &directory)));
    }
    let changed = tenants.change(&caller.actor(), tenant.id, change).await?.ok_or_else(no_tenant)?;
    Ok(Json(TenantView::of(&changed, &directory)))
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
    let view = |tenant: Arc<Tenant>| TenantView::of(&tenant, &directory);
    Ok(Json(wanted.select(visible, |tenant| tenant.id, view)))
}

/// Get a tenant by id or name
///
/// The operator's key sees every tenant, any other key its own. The response shows how much of its limits the
/// tenant uses. What is counted in a time is that of the node that responds.
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}", tag = "tenants",
    params(("id" = schemas::TenantName, Path, description = "The tenant's id or name")),
    responses((status = 200, description = "The tenant", body = TenantView)),
)]
pub(super) async fn get_tenant(
    State(directory): State<Arc<Directory>>,
    State(ingest): State<Arc<Ingest>>,
    State(tenants): State<TenantService>,
    caller: Caller,
    Segment(name): Segment<String>,
    _: NoParams,
) -> Result<Json<TenantView>, Problem> {
    let tenant = find_tenant(&directory, &caller, &name)?;
    let usage = limits::usage(&tenants, &ingest, tenant.id).await?;
    Ok(Json(TenantView::of(&tenant, &directory).with_usage(usage)))
}
