//! `PUT /plugins/{name}`: the Wasm itself is the body.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::read::PluginView;
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::params::{NoParams, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::turns::Turns;
use crate::directory::{Directory, STANDARD_PLUGINS, Uploaded};
use crate::domain::{Invalid, PluginName, Scope};
use crate::presence::ClientPresence;
use crate::sandbox::{Sandbox, UploadError};

/// The greatest size of an upload, in bytes.
const MAX_UPLOAD_LEN: usize = 32 * 1024 * 1024;

/// Upload a plugin
///
/// Needs `plugins:write`. A component, or a core module that carries its component type. The same bytes as the newest
/// version's make no new one. A tenant's uploads are taken one after the other.
#[utoipa::path(
    put, path = "/api/v3/plugins/{name}", tag = "plugins",
    request_body(content = Vec<u8>, content_type = "application/wasm", description = "The Wasm, at most 32 MiB"),
    params(("name" = String, Path, description = "Its name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`")),
    responses(
        (status = 201, description = "A new version", body = PluginView),
        (status = 200, description = "The newest version has these bytes", body = PluginView),
        (status = 409, description = "It is a standard plugin's name, or the tenant has as many plugins as it may", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
pub(super) async fn put_plugin(
    State(directory): State<Arc<Directory>>,
    State(sandbox): State<Sandbox>,
    State(turns): State<Arc<Turns>>,
    presence: ClientPresence,
    caller: Caller,
    Segment(name): Segment<String>,
    _: NoParams,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    // Here the name is one to be given: a bad one is no matter of what is there.
    let name: PluginName = name.parse().map_err(|Invalid(rule)| Problem::parameter("name", rule))?;
    if is_standard(&name) {
        let detail = format!("`{name}` is a standard plugin's name; choose another");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    // Before the body is in memory.
    let _turn = turns.uploads.turn(tenant).await?;
    let wasm = payload.read(Takes::Wasm, MAX_UPLOAD_LEN).await?;
    let Some(inspected) = presence.or_gone(sandbox.inspect(tenant, wasm.clone())).await else {
        return Err(Problem::new(Kind::RequestTimeout, "the client closed the connection"));
    };
    let inspected = inspected.map_err(refused)?;
    let (status, version) = match directory.add_plugin_version(tenant, name, inspected, &wasm).await? {
        Uploaded::New(version) => (StatusCode::CREATED, version),
        Uploaded::Same(version) => (StatusCode::OK, version),
    };
    Ok((status, Json(PluginView::from(&*version))).into_response())
}

/// Whether the engine ships a plugin of that name.
pub(super) fn is_standard(name: &PluginName) -> bool {
    STANDARD_PLUGINS.iter().any(|plugin| plugin.name == name.as_str())
}

fn refused(error: UploadError) -> Problem {
    match error {
        UploadError::Sandbox(error) => error.into(),
        UploadError::TooLarge { .. } => Problem::new(Kind::TooLarge, error.to_string()),
        _ => Problem::new(Kind::InvalidPlugin, error.to_string()),
    }
}
