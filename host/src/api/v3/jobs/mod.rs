//! `/jobs`, and the requests that start jobs: replays of events, and retries and cancellations in bulk.

mod bulk;
mod change;
mod input;
mod read;
mod replays;
mod samples;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(read::list_jobs))
        .routes(routes!(read::get_job))
        .routes(routes!(change::pause_job))
        .routes(routes!(change::resume_job))
        .routes(routes!(change::cancel_job))
        .routes(routes!(replays::replay_events))
        .routes(routes!(bulk::retry_deliveries))
        .routes(routes!(bulk::cancel_deliveries))
}
