//! `DELETE /tenants/{id}`, which begins a deletion, and how far it is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{StatusCode, Uri, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::author::Author;
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{RemovedRows, TenantDeletion, TenantId};
use crate::services::TenantService;

/// The parameter that names the tenant once more.
const CONFIRM: &str = "confirm";

/// How far the deletion of a tenant is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TenantDeletion)]
pub(super) struct DeletionView {
    /// The id of the tenant, which is never used again.
    #[schema(value_type = schemas::TenantId)]
    tenant: String,
    /// The name that the tenant had. Another tenant may have it by now.
    #[schema(value_type = schemas::TenantName)]
    name: String,
    /// `running` or `completed`.
    #[schema(value_type = schemas::DeletionState)]
    state: &'static str,
    requested_at: Time,
    /// When everything was removed; null while it is running.
    finished_at: Option<Time>,
    /// How much was removed so far.
    removed: RemovedView,
}

/// How much was removed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RemovedRows)]
struct RemovedView {
    events: u64,
    deliveries: u64,
    attempts: u64,
}

impl From<TenantDeletion> for DeletionView {
    fn from(deletion: TenantDeletion) -> Self {
        let RemovedRows { events, deliveries, attempts } = deletion.removed;
        Self {
            tenant: deletion.tenant.to_string(),
            name: deletion.name,
            state: if deletion.finished_at.is_some() { "completed" } else { "running" },
            requested_at: Time(deletion.requested_at),
            finished_at: deletion.finished_at.map(Time),
            removed: RemovedView { events, deliveries, attempts },
        }
    }
}

/// Delete a tenant
///
/// Requires the operator's key. This cannot be undone, so `confirm` must be the tenant's name. From the response
/// on, the tenant's keys are unknown, nothing is accepted for it, nothing of it is sent, and its name is free.
/// Then everything that belongs to it is removed in the background, in small steps, also across restarts:
/// `GET /api/v3/tenants/{id}/deletion` shows how far that is. Its id is never used again.
#[utoipa::path(
    delete, path = "/api/v3/tenants/{id}", tag = "tenants",
    params(
        ("id" = schemas::TenantName, Path, description = "The tenant's id or name"),
        ("confirm" = schemas::TenantName, Query, description = "The tenant's name"),
    ),
    responses((status = 202, description = "The tenant is being deleted", body = DeletionView)),
)]
pub(super) async fn delete_tenant(
    State(directory): State<Arc<Directory>>,
    State(tenants): State<TenantService>,
    caller: Author,
    Segment(name): Segment<String>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    caller.must_be_operator()?;
    let params = Params::of(&uri, &[CONFIRM])?;
    let no_tenant = || Problem::not_found("tenant", &name);
    let tenant = directory.tenant_named(&name).ok_or_else(no_tenant)?;
    if params.get(CONFIRM) != Some(tenant.name.as_str()) {
        let detail = format!(
            "deleting a tenant removes everything that belongs to it and cannot be undone; repeat the request with ?confirm={}",
            tenant.name
        );
        return Err(Problem::parameter(CONFIRM, detail));
    }
    let deletion = tenants.delete(&caller.actor(), tenant.id).await?.ok_or_else(no_tenant)?;
    let location = format!("/api/v3/tenants/{}/deletion", tenant.id);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(DeletionView::from(deletion))))
}

/// Get how far the deletion of a tenant is
///
/// Requires the operator's key. What is shown stays after the end.
#[utoipa::path(
    get, path = "/api/v3/tenants/{id}/deletion", tag = "tenants",
    params(("id" = schemas::TenantId, Path, description = "The tenant's id")),
    responses((status = 200, description = "How far it is", body = DeletionView)),
)]
pub(super) async fn get_deletion(
    State(tenants): State<TenantService>,
    caller: Caller,
    Segment(id): Segment<TenantId>,
    _: NoParams,
) -> Result<Json<DeletionView>, Problem> {
    caller.must_read_as_operator()?;
    let deletion = tenants.deletion(id).await?;
    let deletion = deletion.ok_or_else(|| Problem::not_found("deletion of the tenant", &id.to_string()))?;
    Ok(Json(deletion.into()))
}
