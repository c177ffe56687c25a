//! `/events`: publishing and reading events.

mod batch;
mod erase;
mod get;
mod list;
mod matches;
mod post;
mod redeliver;
pub(super) mod wire;

pub(super) use get::EventView;
pub(in crate::api) use wire::{MAX_DATA_LEN, refused};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(post::post_event))
        .routes(routes!(batch::post_events))
        .routes(routes!(get::get_event, erase::erase_event))
        .routes(routes!(list::list_events))
        .routes(routes!(get::list_event_deliveries))
        .routes(routes!(redeliver::redeliver_event))
        .routes(routes!(matches::list_matches))
}
