//! `GET /health`: whether the engine lives, reaches its storage and can write there; `GET /health/live`: whether it lives.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::Shared;
use crate::api::params::NoParams;
use crate::api::problem::{Kind, Problem};
use crate::storage::{Storage, StorageError};

/// How long storage may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(health_live)).routes(routes!(health_v3))
}

/// A sign of life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
    /// The engine's version.
    version: &'static str,
}

/// Whether the engine can do its work
///
/// 503 if its storage cannot be read or written, or its disk is full. For load balancers and alarms; what restarts the engine
/// should ask `/health/live`.
#[utoipa::path(get, path = "/health", tag = "engine", responses((status = 200, description = "It does", body = Health)), security(()))]
pub(super) async fn health(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

/// Whether the engine can do its work
///
/// As `/health`.
#[utoipa::path(get, path = "/api/v3/health", tag = "engine", responses((status = 200, description = "It does", body = Health)), security(()))]
pub(super) async fn health_v3(State(storage): State<Storage>, _: NoParams) -> Result<Json<Health>, Problem> {
    check(&storage).await
}

/// Whether the engine lives
///
/// Says nothing of its storage: a restart does not mend a full disk.
#[utoipa::path(get, path = "/health/live", tag = "engine", responses((status = 200, description = "It does", body = Health)), security(()))]
pub(super) async fn health_live(_: NoParams) -> Json<Health> {
    alive()
}

async fn check(storage: &Storage) -> Result<Json<Health>, Problem> {
    match tokio::time::timeout(PATIENCE, storage.deliveries.check()).await {
        Ok(Ok(())) => Ok(alive()),
        // Its words are for whoever watches the engine, and tell nothing but the state of its disk.
        Ok(Err(error @ (StorageError::NoSpace | StorageError::CannotWrite(_)))) => {
            Err(Problem::new(Kind::Unavailable, error.to_string()))
        }
        Ok(Err(error)) => Err(error.into()),
        Err(elapsed) => Err(Problem::unavailable("asking storage for a sign of life", &elapsed)),
    }
}

fn alive() -> Json<Health> {
    Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") })
}
