//! A project's web hook: its stored settings, its view, and its conversion to a hook of the engine.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use super::envelope::ApiError;
use crate::api::json::Members;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{
    Authorization, Hook, HookId, HookOptions, Origin, Pipeline, RetrySchedule, SecretText, Signing, Step,
    Subscription, Surface, Tenant, TenantId, TypePattern, UnixMillis,
};

/// The event types to which a web hook subscribes. `session.test` is sent to it directly.
const TYPES: [&str; 3] = ["session.create", "session.update", "session.delete"];
/// The plugin that writes the request's body.
const PLUGIN: &str = "project-envelope";

/// The client's settings of a web hook, stored with the engine's hook. The authorization value is stored
/// separately, encrypted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredSettings {
    /// The URL without its scheme.
    pub(super) endpoint: Option<String>,
    pub(super) enable_web_hook: bool,
    pub(super) enable_http_authorization: bool,
    pub(super) custom_parameters: Members<Box<RawValue>>,
}

impl Default for StoredSettings {
    /// Enabled, but without an endpoint.
    fn default() -> Self {
        Self {
            endpoint: None,
            enable_web_hook: true,
            enable_http_authorization: false,
            custom_parameters: Members(Vec::new()),
        }
    }
}

impl StoredSettings {
    /// Reads the settings of `hook`.
    ///
    /// # Errors
    /// Fails if the stored settings cannot be parsed.
    pub(super) fn of(hook: &Hook) -> Result<Self, ApiError> {
        let mut settings: Self = serde_json::from_str(&hook.origin.members)
            .map_err(|error| Problem::internal("reading the settings of a web hook", &error))?;
        if settings.endpoint.is_some() {
            // The engine disables a hook whose receiver responds with 410.
            settings.enable_web_hook = hook.enabled;
        }
        Ok(settings)
    }

    /// Converts the settings to a hook of the engine.
    ///
    /// # Errors
    /// Fails if the endpoint is not a valid URL, or if the custom parameters are too large.
    pub(super) fn into_hook(
        self,
        tenant: &Tenant,
        project: i64,
        authorization: Option<SecretText>,
    ) -> Result<Hook, ApiError> {
        let write =
            |error: serde_json::Error| ApiError::from(Problem::internal("writing a web hook", &error));
        let settings = Settings {
            client_id: client_id(tenant),
            project_id: project,
            custom_parameters: &self.custom_parameters,
        };
        let settings = serde_json::to_string(&settings).map_err(write)?;
        if settings.len() > Pipeline::MAX_SETTINGS_LEN {
            let rule = format!("custom_parameters have at most {} bytes as JSON", Pipeline::MAX_SETTINGS_LEN);
            return Err(ApiError::bad_request(rule));
        }
        let members = serde_json::to_string(&self).map_err(write)?;
        Ok(Hook {
            id: HookId(0),
            tenant: tenant.id,
            origin: Origin { surface: Surface::ProjectWebHook, members: members.into() },
            url: self.url()?,
            subscription: subscription()?,
            project: Some(project),
            enabled: self.enable_web_hook && self.endpoint.is_some(),
            description: String::new(),
            headers: Vec::new(),
            masked_headers: Vec::new(),
            authorization: authorization
                .map(|value| Authorization { value, enabled: self.enable_http_authorization }),
            preflight: Pipeline::default(),
            pipeline: Pipeline(vec![Step { plugin: plugin()?, settings: settings.into() }]),
            timeout: Hook::DEFAULT_TIMEOUT,
            retry: RetrySchedule::default(),
            signing: Signing::None,
            secrets: Vec::new(),
            options: HookOptions::default(),
            unreadable: false,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        })
    }

    fn url(&self) -> Result<Url, ApiError> {
        let text = self
            .endpoint
            .as_ref()
            .map_or(Hook::PLACEHOLDER_URL.to_owned(), |endpoint| format!("https://{endpoint}"));
        Hook::parse_url(&text).map_err(|rule| ApiError::bad_request(format!("endpoint: {rule}")))
    }
}

/// The settings of the plugin `project-envelope`.
#[derive(Serialize)]
struct Settings<'a> {
    client_id: i64,
    project_id: i64,
    custom_parameters: &'a Members<Box<RawValue>>,
}

fn subscription() -> Result<Subscription, ApiError> {
    let patterns = TYPES.iter().map(|text| text.parse::<TypePattern>()).collect::<Result<_, _>>();
    patterns
        .and_then(Subscription::new)
        .map_err(|error| invalid_constant("parsing the types of session events", &error))
}

fn plugin() -> Result<crate::domain::PluginRef, ApiError> {
    PLUGIN.parse().map_err(|error| invalid_constant("parsing the name of a standard plugin", &error))
}

/// The error for an invalid constant of this file. Tests would fail first.
fn invalid_constant(what: &'static str, error: &crate::domain::Invalid) -> ApiError {
    Problem::internal(what, error).into()
}

/// The tenant's client id, by default a number derived from the tenant's id.
pub(super) fn client_id(tenant: &Tenant) -> i64 {
    tenant.client_id.unwrap_or_else(|| tenant.id.short())
}

/// The web hook of a project.
pub(super) fn find(directory: &Directory, tenant: TenantId, project: i64) -> Option<Arc<Hook>> {
    directory.hooks_through(tenant, Surface::ProjectWebHook).into_iter().find(|hook| is_of(hook, project))
}

/// Whether `hook` is the web hook of this project.
pub(super) fn is_of(hook: &Hook, project: i64) -> bool {
    hook.origin.surface == Surface::ProjectWebHook && hook.project == Some(project)
}

/// The view of a web hook.
#[derive(Debug, Serialize)]
pub(super) struct View {
    client_id: i64,
    project_id: i64,
    endpoint: Option<String>,
    enable_http_authorization: bool,
    enable_web_hook: bool,
    /// The spelling in responses of the original API.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_parameters: Option<Box<RawValue>>,
    /// The spelling in requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_parameters: Option<Box<RawValue>>,
}

impl View {
    pub(super) fn of(tenant: &Tenant, project: i64, hook: &Hook) -> Result<Self, ApiError> {
        let settings = StoredSettings::of(hook)?;
        let given =
            (!settings.custom_parameters.0.is_empty()).then(|| to_raw_value(&settings.custom_parameters));
        let given = given.transpose().map_err(|error| Problem::internal("writing a web hook", &error))?;
        Ok(Self {
            client_id: client_id(tenant),
            project_id: project,
            endpoint: settings.endpoint,
            enable_http_authorization: settings.enable_http_authorization,
            enable_web_hook: settings.enable_web_hook,
            customer_parameters: given.clone(),
            custom_parameters: given,
        })
    }
}
