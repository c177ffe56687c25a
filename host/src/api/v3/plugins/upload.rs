//! `PUT /plugins/{name}`: the Wasm itself is the body.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{StatusCode, Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::affected::{self, AffectedHooks};
use super::read::PluginView;
use crate::api::auth::Caller;
use crate::api::body::{Payload, Takes};
use crate::api::params::{Params, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::turns::Turns;
use crate::api::v3::hooks::Trial;
use crate::api::v3::openapi::schemas;
use crate::directory::{STANDARD_PLUGINS, Uploaded};
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Invalid, PluginName, PluginRef, PluginVersion, Scope, TenantId};
use crate::presence::ClientPresence;
use crate::sandbox::{Inspected, Sandbox, UploadError};

/// The greatest size of an upload, in bytes.
const MAX_UPLOAD_LEN: usize = 32 * 1024 * 1024;

/// A version that was uploaded, and what it means for hooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadedPlugin)]
pub(super) struct UploadView {
    #[serde(flatten)]
    plugin: PluginView,
    /// The hooks that run this version from now on, since they name the plugin without a version.
    hooks: AffectedHooks,
    /// What is probably not as its author means it: an export that is never called and whose name is near one that is, a failure of
    /// a first call, settings of hooks that are refused.
    #[schema(example = json!([]))]
    warnings: Vec<String>,
}

/// Upload a plugin
///
/// Needs `plugins:write`. A component, or a core module that carries its component type. The same bytes as the newest
/// version's make no new one. A tenant's uploads are taken one after the other.
///
/// Hooks that name the plugin without a version run the newest. If the new version has other roles than they rely on, or refuses their
/// settings, it is not stored; settings that are refused can be put up with by `force`.
#[utoipa::path(
    put, path = "/api/v3/plugins/{name}", tag = "plugins",
    request_body(
        content((schemas::Wasm = "application/wasm"), (schemas::Wasm = "application/octet-stream")),
        description = "The Wasm, at most 32 MiB",
    ),
    params(
        ("name" = schemas::PluginName, Path, description = "Its name: 1 to 64 of a-z, 0-9, `-`, `_` and `.`"),
        ("force" = Option<bool>, Query, description = "`true`: store it although it refuses the settings of hooks, whose deliveries then fail"),
    ),
    responses(
        (status = 201, description = "A new version", body = UploadView),
        (status = 200, description = "The newest version has these bytes", body = UploadView),
        (status = 409, description = "It is a standard plugin's name, the tenant has as many plugins as it may, or the version does not suit the hooks that would run it", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
#[expect(clippy::too_many_arguments, reason = "an extractor each")]
pub(super) async fn put_plugin(
    State(trial): State<Trial>,
    State(sandbox): State<Sandbox>,
    State(turns): State<Arc<Turns>>,
    presence: ClientPresence,
    caller: Caller,
    Segment(name): Segment<String>,
    uri: Uri,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    // Here the name is one to be given: a bad one is no matter of what is there.
    let name: PluginName = name.parse().map_err(|Invalid(rule)| Problem::parameter("name", rule))?;
    let force = force(&uri)?;
    if is_standard(&name) {
        let detail = format!("`{name}` is a standard plugin's name; choose another");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let upload = Upload { trial: &trial, sandbox: &sandbox, tenant, name: &name, force };
    let examining = async {
        // Before the body is in memory.
        let turn = turns.uploads.turn(tenant).await?;
        let wasm = payload.read(Takes::Wasm, MAX_UPLOAD_LEN).await?;
        let examined = upload.examine(&wasm).await?;
        Ok::<_, Problem>((turn, wasm, examined))
    };
    let gone = || Problem::new(Kind::RequestTimeout, "the client closed the connection");
    let (_turn, wasm, examined) = presence.or_gone(examining).await.ok_or_else(gone)??;
    let (status, plugin, warnings) = match examined {
        Examined::Same(version) => (StatusCode::OK, version, Vec::new()),
        Examined::New(inspected, warnings) => {
            match trial.directory.add_plugin_version(tenant, name.clone(), inspected, &wasm).await? {
                Uploaded::New(version) => (StatusCode::CREATED, version, warnings),
                Uploaded::Same(version) => (StatusCode::OK, version, warnings),
            }
        }
    };
    let hooks = AffectedHooks::of(&trial.directory.hooks_by_name(tenant, &name));
    let view = UploadView { plugin: PluginView::from(&*plugin), hooks, warnings };
    Ok((status, Json(view)).into_response())
}

fn force(uri: &Uri) -> Result<bool, Problem> {
    match Params::of(uri, &["force"])?.get("force") {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::parameter("force", "it is `true` or `false`")),
    }
}

/// An upload whose bytes have arrived.
struct Upload<'a> {
    trial: &'a Trial,
    sandbox: &'a Sandbox,
    tenant: TenantId,
    name: &'a PluginName,
    force: bool,
}

enum Examined {
    /// The newest version has the same bytes.
    Same(Arc<PluginVersion>),
    /// It can be stored, with these warnings.
    New(Inspected, Vec<String>),
}

impl Upload<'_> {
    /// Everything that comes before the upload is stored; nothing has changed if this is dropped.
    async fn examine(&self, wasm: &Bytes) -> Result<Examined, Problem> {
        let directory = &self.trial.directory;
        let newest = directory.plugin(self.tenant, &PluginRef::Latest(self.name.clone()));
        let digest = Sandbox::digest(wasm).await?;
        if let Some(same) = newest.filter(|newest| newest.digest == digest) {
            return Ok(Examined::Same(same));
        }
        let inspected = self.sandbox.inspect(self.tenant, wasm.clone()).await.map_err(refused)?;
        directory.check_roles(self.tenant, self.name, &inspected.roles)?;
        let hooks = directory.hooks_by_name(self.tenant, self.name);
        // The number that it will have unless another upload comes first; plugins do not see it.
        let number =
            directory.plugin_versions(self.tenant, self.name).last().map_or(1, |last| last.version + 1);
        let version = ResolvedPlugin { name: self.name.clone(), version: number, digest };
        let tried = affected::try_settings(self.trial, &hooks, &version).await?;
        let mut warnings = inspected.warnings.clone();
        warnings.extend(tried.warnings(self.force)?);
        warnings.extend(self.trial.plain_call(self.tenant, &version).await?);
        Ok(Examined::New(inspected, warnings))
    }
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
