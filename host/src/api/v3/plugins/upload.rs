//! `PUT /plugins/{name}`: uploads a plugin; the body is the WebAssembly binary.

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
use crate::api::author::Author;
use crate::api::body::Payload;
use crate::api::params::{Params, Segment};
use crate::api::problem::{Kind, Problem};
use crate::api::uploads::{Upload, Uploads};
use crate::api::v3::openapi::schemas;
use crate::directory::{Directory, STANDARD_PLUGINS, Uploaded};
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Invalid, PluginName, PluginRef, PluginVersion, Scope, TenantId};
use crate::presence::ClientPresence;
use crate::sandbox::{Inspected, Sandbox, UploadError};
use crate::services::{HookService, RequestLimits, SettingsTrial};

/// An uploaded version and its effect on hooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UploadedPlugin)]
pub(super) struct UploadView {
    #[serde(flatten)]
    plugin: PluginView,
    /// The hooks that run this version from now on, because they name the plugin without a version.
    hooks: AffectedHooks,
    /// Likely mistakes, for people: an export that the engine does not call and whose name resembles one that
    /// it calls, a failure of a trial call, or settings of hooks that the version rejects.
    #[schema(example = json!([]))]
    warnings: Vec<String>,
}

/// Upload a plugin
///
/// Requires `plugins:write`. The body is a component, or a core module that embeds its component type. An
/// upload with the same bytes as the newest version does not create a version. The uploads of a tenant are
/// processed one at a time.
///
/// Hooks that name the plugin without a version run the newest. The engine does not store a version that
/// lacks a role that they rely on, or that rejects their settings. `force` overrides the check of settings.
#[utoipa::path(
    put, path = "/api/v3/plugins/{name}", tag = "plugins",
    request_body(
        content((schemas::Wasm = "application/wasm"), (schemas::Wasm = "application/octet-stream")),
        description = "The WebAssembly binary, at most 32 MiB",
    ),
    params(
        ("name" = schemas::PluginName, Path, description = "The plugin's name: 1 to 64 characters of `a-z 0-9 - _ .`, beginning with a letter or digit"),
        ("force" = Option<bool>, Query, description = "`true`: store the version even if it rejects the settings of hooks, whose deliveries then fail. Default: `false`"),
    ),
    responses(
        (status = 201, description = "A new version was created", body = UploadView),
        (status = 200, description = "The newest version already has these bytes", body = UploadView),
        (status = 409, description = "The name is that of a standard plugin, a limit of the tenant is reached, or the version is incompatible with hooks that would run it", content_type = "application/problem+json", body = inline(crate::api::problem::ProblemBody)),
    ),
)]
#[expect(clippy::too_many_arguments, reason = "each argument is an extractor")]
pub(super) async fn put_plugin(
    State(directory): State<Arc<Directory>>,
    State(trial): State<SettingsTrial>,
    State(sandbox): State<Sandbox>,
    State(limits): State<Arc<RequestLimits>>,
    State(uploads): State<Arc<Uploads>>,
    State(hooks): State<HookService>,
    presence: ClientPresence,
    caller: Author,
    Segment(name): Segment<String>,
    uri: Uri,
    payload: Payload,
) -> Result<Response, Problem> {
    let tenant = caller.may(Scope::PluginsWrite)?;
    // The request chooses the name, so an invalid one is 400 and not 404.
    let name: PluginName = name.parse().map_err(|Invalid(rule)| Problem::parameter("name", rule))?;
    let force = Params::of(&uri, &["force"])?.flag("force")?;
    if is_standard(&name) {
        let detail = format!("`{name}` is the name of a standard plugin; choose another name");
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let examination =
        Examination { directory: &directory, trial: &trial, sandbox: &sandbox, tenant, name: &name, force };
    let examining = async {
        // Waits before the body is read.
        let permit = limits.uploads.acquire(tenant).await?;
        let upload = uploads.receive(payload).await?;
        let examined = examination.examine(&upload).await?;
        Ok::<_, Problem>((permit, examined))
    };
    let gone = || Problem::new(Kind::RequestTimeout, "the client closed the connection");
    let (_permit, examined) = presence.or_gone(examining).await.ok_or_else(gone)??;
    let (status, plugin, warnings) = match examined {
        Examined::Same(version) => (StatusCode::OK, version, Vec::new()),
        Examined::New(inspected, warnings, wasm) => {
            let actor = caller.actor();
            let editor = directory.by(&actor);
            match editor.add_plugin_version(tenant, name.clone(), inspected, &wasm).await? {
                Uploaded::New(version) => (StatusCode::CREATED, version, warnings),
                Uploaded::Same(version) => (StatusCode::OK, version, warnings),
            }
        }
    };
    hooks.tell_quotas(tenant);
    let hooks = AffectedHooks::of(&directory.hooks_by_name(tenant, &name));
    let view = UploadView { plugin: PluginView::from(&*plugin), hooks, warnings };
    Ok((status, Json(view)).into_response())
}

/// The examination of an upload.
struct Examination<'a> {
    directory: &'a Directory,
    trial: &'a SettingsTrial,
    sandbox: &'a Sandbox,
    tenant: TenantId,
    name: &'a PluginName,
    force: bool,
}

enum Examined {
    /// The newest version has the same bytes.
    Same(Arc<PluginVersion>),
    /// The version can be stored, with these warnings.
    New(Inspected, Vec<String>, Bytes),
}

impl Examination<'_> {
    /// Checks the upload without storing anything, so that dropping the future is safe.
    async fn examine(&self, upload: &Upload) -> Result<Examined, Problem> {
        let directory = self.directory;
        let newest = directory.plugin(self.tenant, &PluginRef::Latest(self.name.clone()));
        let wasm = upload.load().await?;
        let digest = Sandbox::digest(&wasm).await?;
        if let Some(same) = newest.filter(|newest| newest.digest == digest) {
            return Ok(Examined::Same(same));
        }
        // Frees the memory before the trial calls, which do not need the bytes.
        let inspected = self.sandbox.inspect(self.tenant, wasm).await.map_err(refused)?;
        directory.check_roles(self.tenant, self.name, &inspected.roles)?;
        let hooks = directory.hooks_by_name(self.tenant, self.name);
        // The expected version number, only for the trial calls: plugins do not see it.
        let number =
            directory.plugin_versions(self.tenant, self.name).last().map_or(1, |last| last.version + 1);
        let version = ResolvedPlugin { name: self.name.clone(), version: number, digest };
        let tried = affected::try_settings(self.trial, &hooks, &version).await?;
        let mut warnings = inspected.warnings.clone();
        warnings.extend(tried.warnings(self.force)?);
        warnings.extend(self.trial.plain_call(self.tenant, &version).await?);
        Ok(Examined::New(inspected, warnings, upload.load().await?))
    }
}

/// Whether a standard plugin has this name.
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
