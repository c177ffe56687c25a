//! `GET /health` (readiness): the engine can read and write its storage. `GET /health/live` (liveness): the
//! process responds.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::storage::{Storage, StorageError};

/// How long the check of storage may take.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(2);

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
/// Responds with 503 if the storage cannot be read or written, or if the disk is full. For load balancers and
/// alerts. Process supervisors that restart the engine should use `/health/live` instead.
#[utoipa::path(get, path = "/health", tag = "engine", responses((status = 200, description = "The engine is ready", body = Health)), security(()))]
pub(super) async fn health(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

/// Check readiness
///
/// The same as `/health`.
#[utoipa::path(get, path = "/api/v3/health", tag = "engine", responses((status = 200, description = "The engine is ready", body = Health)), security(()))]
pub(super) async fn health_v3(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

/// Check liveness
///
/// Does not check the storage, because a restart does not fix a full disk.
#[utoipa::path(get, path = "/health/live", tag = "engine", responses((status = 200, description = "The process responds", body = Health)), security(()))]
pub(super) async fn health_live(_: NoParams) -> Json<Health> {
    alive(Vec::new())
}

async fn check(storage: &Storage) -> Result<Json<Health>, Problem> {
    match tokio::time::timeout(STORAGE_TIMEOUT, storage.deliveries.check()).await {
        Ok(Ok(())) => Ok(alive(storage.nodes.warnings())),
        // These messages describe only the state of the disk, which monitoring may see.
        Ok(Err(error @ (StorageError::NoSpace | StorageError::CannotWrite(_)))) => {
            Err(Problem::new(Kind::Unavailable, error.to_string()))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(elapsed) => Err(Problem::unavailable("checking the storage", &elapsed)),
    }
}

fn alive(warnings: Vec<String>) -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION"), warnings })
}
