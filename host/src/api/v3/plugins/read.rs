//! `GET /plugins`, `GET /plugins/{name}`, `GET /plugins/{name}/versions`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::auth::Caller;
use crate::api::page::{self, Page, PageRequest};
use crate::api::params::{NoParams, Params, Segment};
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{PluginName, PluginRef, PluginVersion, Role, Scope, TenantId};

/// One immutable version of a plugin.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Plugin)]
pub(in crate::api::v3) struct PluginView {
    #[schema(value_type = schemas::PluginName)]
    name: String,
    #[schema(value_type = schemas::VersionNumber)]
    version: u32,
    /// The SHA-256 digest of the uploaded bytes.
    #[schema(value_type = schemas::Digest)]
    digest: String,
    /// The roles that the plugin exports: `filter`, `mapper`, `transformer`.
    #[schema(value_type = Vec<schemas::Role>)]
    roles: Vec<&'static str>,
    /// The WIT interfaces that the plugin imports.
    imports: Vec<String>,
    /// The size of the uploaded bytes.
    size_bytes: u64,
    /// Whether this is a standard plugin, which ships with the engine.
    standard: bool,
    /// The time of the upload; null for a standard plugin.
    created_at: Option<Time>,
}

impl From<&PluginVersion> for PluginView {
    fn from(version: &PluginVersion) -> Self {
        Self {
            name: version.name.to_string(),
            version: version.version,
            digest: version.digest.to_string(),
            roles: version.roles.iter().map(|role: &Role| role.as_str()).collect(),
            imports: version.imports.clone(),
            size_bytes: version.size_bytes,
            standard: version.tenant.is_none(),
            created_at: version.tenant.map(|_| Time(version.created_at)),
        }
    }
}

/// List plugins
///
/// Requires `plugins:read`. Lists the newest version of each plugin, including the standard plugins.
#[utoipa::path(
    get, path = "/api/v3/plugins", tag = "plugins",
    params(("limit" = Option<schemas::Limit>, Query), ("cursor" = Option<schemas::Cursor>, Query)),
    responses((status = 200, description = "A page of plugins, ordered by name", body = Page<PluginView>)),
)]
pub(super) async fn list_plugins(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    uri: Uri,
) -> Result<Json<Page<PluginView>>, Problem> {
    let tenant = caller.may(Scope::PluginsRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "plugins")?;
    let plugins = directory.plugins(tenant);
    Ok(Json(wanted.select(plugins, |version| version.name.clone(), |version| PluginView::from(&*version))))
}

/// Get the newest version of a plugin
///
/// Requires `plugins:read`.
#[utoipa::path(
    get, path = "/api/v3/plugins/{name}", tag = "plugins",
    params(("name" = schemas::PluginName, Path, description = "The plugin's name")),
    responses((status = 200, description = "The newest version", body = PluginView)),
)]
pub(super) async fn get_plugin(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    _: NoParams,
) -> Result<Json<PluginView>, Problem> {
    let tenant = caller.may(Scope::PluginsRead)?;
    Ok(Json(PluginView::from(&*find(&directory, tenant, name, None)?)))
}

/// List the versions of a plugin
///
/// Requires `plugins:read`.
#[utoipa::path(
    get, path = "/api/v3/plugins/{name}/versions", tag = "plugins",
    params(
        ("name" = schemas::PluginName, Path, description = "The plugin's name"),
        ("limit" = Option<schemas::Limit>, Query),
        ("cursor" = Option<schemas::Cursor>, Query),
    ),
    responses((status = 200, description = "A page of versions, oldest first", body = Page<PluginView>)),
)]
pub(super) async fn list_plugin_versions(
    State(directory): State<Arc<Directory>>,
    caller: Caller,
    Segment(name): Segment<PluginName>,
    uri: Uri,
) -> Result<Json<Page<PluginView>>, Problem> {
    let tenant = caller.may(Scope::PluginsRead)?;
    let wanted = PageRequest::of(&Params::of(&uri, &page::PARAMS)?, "plugin-versions")?;
    let versions = directory.plugin_versions(tenant, &name);
    if versions.is_empty() {
        return Err(no_plugin(&name));
    }
    Ok(Json(wanted.select(versions, |version| version.version, |version| PluginView::from(&*version))))
}

/// Finds a version of a plugin, by default the newest.
///
/// # Errors
/// Fails if there is no such plugin or version.
pub(super) fn find(
    directory: &Directory,
    tenant: TenantId,
    name: PluginName,
    version: Option<u32>,
) -> Result<Arc<PluginVersion>, Problem> {
    let reference = match version {
        Some(number) => PluginRef::Version(name, number),
        None => PluginRef::Latest(name),
    };
    let found = directory.plugin(tenant, &reference);
    found.ok_or_else(|| Problem::not_found("plugin", &reference.to_string()))
}

/// Parses the query parameter `version`.
///
/// # Errors
/// Fails if the value is not a number, or if there are other parameters.
pub(super) fn version_of(uri: &Uri) -> Result<Option<u32>, Problem> {
    let params = Params::of(uri, &["version"])?;
    let number = params.get("version").map(str::parse::<u32>).transpose();
    number.map_err(|_| Problem::parameter("version", "`version` is an integer from 1"))
}

pub(super) fn no_plugin(name: &PluginName) -> Problem {
    Problem::not_found("plugin", name.as_str())
}
