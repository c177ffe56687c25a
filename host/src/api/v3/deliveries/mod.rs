//! `/deliveries`: the deliveries of a tenant and their attempts.

mod attempt;
mod body;
mod change;
mod counts;
mod filter;
mod include;
mod last_attempt;
mod live_view;
mod read;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;
pub(super) use attempt::{AttemptView, SentRequestView};
pub(super) use filter::each_once;
pub(super) use include::Include;
pub(super) use live_view::ChangeView;
pub(super) use view::{DeliveryView, Details};

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(read::list_deliveries))
        .routes(routes!(counts::count_deliveries))
        .routes(routes!(read::get_delivery))
        .routes(routes!(read::list_attempts))
        .routes(routes!(body::get_sent_body))
        .routes(routes!(change::retry_delivery))
        .routes(routes!(change::cancel_delivery))
}
