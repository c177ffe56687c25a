//! The routes of the admin listener, for monitoring. They need no key: clients that may reach the listener may read them.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::get;

use super::SharedApiState;
use super::problem::Problem;
use crate::services::Readiness;

/// Their paths, and that of the metrics.
pub(super) const PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The routes.
pub(super) fn routes() -> Router<SharedApiState> {
    Router::new().route("/livez", get(live)).route("/readyz", get(ready))
}

/// The process responds. The storage is not checked, because a restart does not mend it.
async fn live() -> &'static str {
    "ok\n"
}

/// The engine accepts events. Unlike the API's listener, this one is still there when the engine stops.
async fn ready(State(readiness): State<Arc<Readiness>>) -> Result<&'static str, Problem> {
    Ok(readiness.check().await.map(|()| "ok\n")?)
}
