//! A project's web hook: what is kept of it, how it is shown, and the engine's hook that it is.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use super::envelope::Refusal;
use crate::api::json::Members;
use crate::api::problem::Problem;
use crate::directory::Directory;
use crate::domain::{
    Authorization, Hook, HookId, Origin, Pipeline, RetrySchedule, SecretText, Signing, Step, Subscription,
    Surface, Tenant, TenantId, TypePattern, UnixMillis,
};

/// The event types that a web hook is called for. `session.test` is sent to it directly.
const TYPES: [&str; 3] = ["session.create", "session.update", "session.delete"];
/// The plugin that writes what is posted.
const PLUGIN: &str = "project-envelope";

/// What a client decided about a web hook, as it is kept beside the engine's hook. Not the authorization's value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Without the protocol.
    pub(super) endpoint: Option<String>,
    pub(super) enable_web_hook: bool,
    pub(super) enable_http_authorization: bool,
    pub(super) custom_parameters: Members<Box<RawValue>>,
}

impl Default for Kept {
    /// A web hook of which nothing has been said: on, as soon as there is an endpoint to call.
    fn default() -> Self {
        Self {
            endpoint: None,
            enable_web_hook: true,
            enable_http_authorization: false,
            custom_parameters: Members(Vec::new()),
        }
    }
}

impl Kept {
    /// What is kept of `hook`.
    ///
    /// # Errors
    /// Where it cannot be read back.
    pub(super) fn of(hook: &Hook) -> Result<Self, Refusal> {
        let mut kept: Self = serde_json::from_str(&hook.origin.members)
            .map_err(|error| Problem::internal("reading what is kept of a web hook", &error))?;
        if kept.endpoint.is_some() {
            // A receiver's 410 disables the hook itself.
            kept.enable_web_hook = hook.enabled;
        }
        Ok(kept)
    }

    /// The engine's hook that this is, for a project.
    ///
    /// # Errors
    /// Where the endpoint makes no URL.
    pub(super) fn into_hook(
        self,
        tenant: &Tenant,
        project: i64,
        authorization: Option<SecretText>,
    ) -> Result<Hook, Refusal> {
        let write = |error: serde_json::Error| Refusal::from(Problem::internal("writing a web hook", &error));
        let settings = Settings {
            client_id: client_id(tenant),
            project_id: project,
            custom_parameters: &self.custom_parameters,
        };
        let settings = serde_json::to_string(&settings).map_err(write)?;
        if settings.len() > Pipeline::MAX_SETTINGS_LEN {
            let rule = format!("custom_parameters have at most {} bytes as JSON", Pipeline::MAX_SETTINGS_LEN);
            return Err(Refusal::bad_request(rule));
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
            unreadable: false,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        })
    }

    fn url(&self) -> Result<Url, Refusal> {
        let text =
            self.endpoint.as_ref().map_or(Hook::NOWHERE.to_owned(), |endpoint| format!("https://{endpoint}"));
        Hook::parse_url(&text).map_err(|rule| Refusal::bad_request(format!("endpoint: {rule}")))
    }
}

/// What `project-envelope` is given.
#[derive(Serialize)]
struct Settings<'a> {
    client_id: i64,
    project_id: i64,
    custom_parameters: &'a Members<Box<RawValue>>,
}

fn subscription() -> Result<Subscription, Refusal> {
    let patterns = TYPES.iter().map(|text| text.parse::<TypePattern>()).collect::<Result<_, _>>();
    patterns.and_then(Subscription::new).map_err(|error| own("the types of session events", &error))
}

fn plugin() -> Result<crate::domain::PluginRef, Refusal> {
    PLUGIN.parse().map_err(|error| own("the name of a standard plugin", &error))
}

/// A constant of this file that breaks a rule; tests would show it.
fn own(what: &'static str, error: &crate::domain::Invalid) -> Refusal {
    Problem::internal(what, error).into()
}

/// The number by which clients know a tenant: its own, or else one that its id makes.
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

/// A web hook as answers show it.
#[derive(Debug, Serialize)]
pub(super) struct View {
    client_id: i64,
    project_id: i64,
    endpoint: Option<String>,
    enable_http_authorization: bool,
    enable_web_hook: bool,
    /// The original's own spelling in answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_parameters: Option<Box<RawValue>>,
    /// The spelling of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    custom_parameters: Option<Box<RawValue>>,
}

impl View {
    pub(super) fn of(tenant: &Tenant, project: i64, hook: &Hook) -> Result<Self, Refusal> {
        let kept = Kept::of(hook)?;
        let given = (!kept.custom_parameters.0.is_empty()).then(|| to_raw_value(&kept.custom_parameters));
        let given = given.transpose().map_err(|error| Problem::internal("writing a web hook", &error))?;
        Ok(Self {
            client_id: client_id(tenant),
            project_id: project,
            endpoint: kept.endpoint,
            enable_http_authorization: kept.enable_http_authorization,
            enable_web_hook: kept.enable_web_hook,
            customer_parameters: given.clone(),
            custom_parameters: given,
        })
    }
}
