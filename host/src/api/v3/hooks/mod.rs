//! `/hooks`: the hooks of a tenant.

mod batch;
mod change;
mod compare;
mod create;
mod flow;
mod handshake;
mod missed;
mod options;
mod preview;
mod read;
mod receiver;
mod secret;
mod signing_keys;
mod state;
mod steps;
mod test;
mod types;
mod view;
mod wire;

pub(super) use flow::{rate_number, read_rate};
pub(super) use options::NO_ORDERING;
pub(super) use read::{find as find_hook, find_readable as find_readable_hook};
pub(super) use secret::SecretsView;
pub(super) use state::StateView;
pub(super) use steps::{StepInput, check_settings, read_pipeline};
pub(super) use types::read_patterns;
pub(super) use view::HookView;
pub(super) use wire::MAX_HOOK_LEN;
pub(in crate::api) use wire::check_headers;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(create::create_hook, read::list_hooks))
        .routes(routes!(read::get_hook, change::replace_hook, change::patch_hook, change::delete_hook))
        .routes(routes!(secret::get_hook_secret))
        .routes(routes!(secret::rotate_hook_secret))
        .routes(routes!(signing_keys::get_hook_signing_keys))
        .routes(routes!(signing_keys::rotate_hook_signing_key))
        .routes(routes!(handshake::make_handshake))
        .routes(routes!(missed::list_missed))
        .routes(routes!(missed::recover_missed))
        .routes(routes!(preview::preview_hook))
        .routes(routes!(compare::compare_pipelines))
        .routes(routes!(test::test_hook))
}
