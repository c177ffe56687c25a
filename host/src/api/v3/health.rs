//! `GET /health` (readiness): the engine can read and write its storage. `GET /health/live` (liveness): the
//! process responds.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
use crate::api::params::NoParams;
use crate::api::problem::Problem;
use crate::services::Readiness;
use crate::storage::Storage;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(health_live)).routes(routes!(health_v3))
}

/// The state of the engine.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// Always `ok`: any other state is a problem response.
    status: &'static str,
    /// The version of the engine.
    version: &'static str,
    /// What the operator should mend although the engine works.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
}

/// Check readiness
///
/// Responds with 503 if the storage cannot be read or written, if the disk is full, if the node is fenced, or if the engine is
/// shutting down. For load balancers and alerts. Process supervisors that restart the engine should use `/health/live` instead.
#[utoipa::path(get, path = "/health", tag = "engine", responses((status = 200, description = "The engine is ready", body = Health)), security(()))]
pub(super) async fn health(
    State(readiness): State<Arc<Readiness>>,
    State(storage): State<Storage>,
    _: NoParams,
) -> Result<Json<Health>, Problem> {
    check(&readiness, &storage).await
}

/// Check readiness
///
/// The same as `/health`.
#[utoipa::path(get, path = "/api/v3/health", tag = "engine", responses((status = 200, description = "The engine is ready", body = Health)), security(()))]
pub(super) async fn health_v3(
    State(readiness): State<Arc<Readiness>>,
    State(storage): State<Storage>,
    _: NoParams,
) -> Result<Json<Health>, Problem> {
    check(&readiness, &storage).await
}

/// Check liveness
///
/// Does not check the storage, because a restart does not fix a full disk.
#[utoipa::path(get, path = "/health/live", tag = "engine", responses((status = 200, description = "The process responds", body = Health)), security(()))]
pub(super) async fn health_live(_: NoParams) -> Json<Health> {
    alive(Vec::new())
}

async fn check(readiness: &Readiness, storage: &Storage) -> Result<Json<Health>, Problem> {
    readiness.check().await?;
    Ok(alive(storage.nodes.warnings()))
}

fn alive(warnings: Vec<String>) -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), warnings })
}
