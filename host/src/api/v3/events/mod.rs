//! `/events`: publishing and reading events.

mod batch;
mod get;
mod post;
pub(super) mod wire;

pub(in crate::api) use wire::{MAX_DATA_LEN, refused};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(post::post_event))
        .routes(routes!(batch::post_events))
        .routes(routes!(get::get_event))
        .routes(routes!(get::list_event_deliveries))
}
