//! `/plugins`: the plugins that tenants upload, and the standard plugins.

mod affected;
mod delete;
mod download;
mod read;
mod run;
mod upload;

pub(super) use read::PluginView;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::SharedApiState;

pub(super) fn routes() -> OpenApiRouter<SharedApiState> {
    OpenApiRouter::new()
        .routes(routes!(read::list_plugins))
        .routes(routes!(upload::put_plugin, read::get_plugin, delete::delete_plugin))
        .routes(routes!(read::list_plugin_versions))
        .routes(routes!(download::get_plugin_wasm))
        .routes(routes!(run::run_plugin))
}
