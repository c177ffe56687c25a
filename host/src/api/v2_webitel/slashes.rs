//! Routes with an optional slash at the end.

use axum::Router;
use axum::routing::MethodRouter;

use crate::api::SharedApiState;

/// Routes `path` with and without a trailing slash.
pub(super) fn with_and_without_slash(
    path: &str,
    methods: MethodRouter<SharedApiState>,
) -> Router<SharedApiState> {
    Router::new().route(path, methods.clone()).route(&format!("{path}/"), methods)
}
