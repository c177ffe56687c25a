//! `GET /health`: whether the engine lives and reaches its storage.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::domain::{DeliveryId, TenantId};
use crate::storage::Storage;

/// How long storage may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(health_v3))
}

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// The engine's version.
    version: &'static str,
}

/// Whether the engine lives and reaches its storage
#[utoipa::path(get, path = "/health", tag = "engine", responses((status = 200, description = "It does", body = Health)), security(()))]
pub(super) async fn health(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

/// Whether the engine lives and reaches its storage
#[utoipa::path(get, path = "/api/v3/health", tag = "engine", responses((status = 200, description = "It does", body = Health)), security(()))]
pub(super) async fn health_v3(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

async fn check(storage: &Storage) -> Result<Json<Health>, Problem> {
    // The cheapest question there is: one key, which no delivery has.
    let question = storage.deliveries.delivery(TenantId(0), DeliveryId(0));
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(answer) => answer?,
        Err(elapsed) => return Err(Problem::unavailable("asking storage for a sign of life", &elapsed)),
    };
    Ok(Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") }))
}
