//! The routes of the admin listener, for monitoring. They need no key: clients that may reach the listener may read them.

use axum::Router;
use axum::routing::get;

use super::SharedApiState;

/// Their paths, and that of the metrics.
pub(super) const PATHS: [&str; 2] = ["/livez", "/metrics"];

/// The routes.
pub(super) fn routes() -> Router<SharedApiState> {
    Router::new().route("/livez", get(live))
}

/// The process responds. The storage is not checked, because a restart does not mend it.
async fn live() -> &'static str {
    "ok\n"
}
