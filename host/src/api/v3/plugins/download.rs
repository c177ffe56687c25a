//! `GET /plugins/{name}/wasm`: the bytes of a plugin as they were uploaded.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Uri, header};

use super::read::{find, no_plugin, version_of};
use crate::api::auth::Caller;
use crate::api::downloads::Downloads;
use crate::api::params::Segment;
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::clients::Client;
use crate::directory::Directory;
use crate::domain::{PluginName, Scope};

/// Download a plugin
///
/// Requires `plugins:read`. Returns the bytes as they were uploaded. `ETag` is their digest.
#[utoipa::path(
    get, path = "/api/v3/plugins/{name}/wasm", tag = "plugins",
    params(
        ("name" = schemas::PluginName, Path, description = "The plugin's name"),
        ("version" = Option<schemas::VersionNumber>, Query, description = "The version. Default: the newest"),
    ),
    responses((status = 200, description = "The WebAssembly binary", content_type = "application/wasm", body = schemas::Wasm)),
)]
pub(super) async fn get_plugin_wasm(
    State(directory): State<Arc<Directory>>,
    State(downloads): State<Arc<Downloads>>,
    client: Option<Extension<Arc<Client>>>,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    uri: Uri,
) -> Result<impl IntoResponse, Problem> {
    let tenant = caller.may(Scope::PluginsRead)?;
    let version = find(&directory, tenant, name, version_of(&uri)?)?;
    let client = client.as_ref().map(|Extension(client)| Arc::as_ref(client));
    let download = downloads.start(&directory, tenant, &version.digest, client).await?;
    // The version may have been deleted since it was found.
    let download = download.ok_or_else(|| no_plugin(&version.name))?;
    let file = format!("attachment; filename=\"{}-v{}.wasm\"", version.name, version.version);
    let headers = [
        (header::CONTENT_TYPE, "application/wasm".to_owned()),
        (header::CONTENT_LENGTH, download.len.to_string()),
        (header::ETAG, format!("\"{}\"", version.digest)),
        (header::CONTENT_DISPOSITION, file),
    ];
    Ok((headers, download.body))
}
