//! The settings in requests, in storage and in responses.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::api::json::Members;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::hooks::check_headers;
use crate::api::v3::openapi::schemas;
use crate::domain::{
    EventType, Hook, HookId, HookOptions, Invalid, Origin, Pipeline, RetrySchedule, Signing, Step,
    Subscription, Surface, TenantId, TypePattern, UnixMillis,
};
use crate::services::new_secret;

/// The objects and events of Apizee. Their combinations are the event types.
const OBJECTS: [&str; 4] = ["ticket", "media", "conversation", "smsmessage"];
const EVENTS: [&str; 3] = ["create", "update", "delete"];
/// The plugin that writes the request's body.
const PLUGIN: &str = "apizee-envelope";

/// The settings of a tenant's Apizee web hook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookInput {
    /// The URL to which requests go: absolute, `https` or `http`, at most 2,048 bytes. Required unless
    /// `enabled` is false.
    #[schema(value_type = Option<schemas::HookUrl>)]
    url: Option<String>,
    /// Whether events are delivered: the *Activate* checkbox of the console. Default: true.
    enabled: Option<bool>,
    /// Additional request headers, at most 50. They may replace `Content-Type` and `User-Agent`. Default:
    /// none.
    #[schema(value_type = Option<schemas::HeaderFields>)]
    headers: Option<Members<String>>,
    /// The filter on event types, as in the console: `ticket.update`, `media.*` or `*`, 1 to 100 patterns.
    /// Default: all types.
    #[schema(value_type = Option<Vec<schemas::TypePattern>>, min_items = 1, max_items = 100, example = json!(["ticket.update", "conversation.*"]))]
    types: Option<Vec<String>>,
    /// How requests are signed: `none`, or `standard` (Standard Webhooks), which Apizee does not have.
    /// Default: `none`.
    #[schema(value_type = Option<schemas::Signing>)]
    signing: Option<String>,
}

/// Validated settings.
#[derive(Debug)]
pub(super) struct Webhook {
    settings: StoredSettings,
    enabled: bool,
    url: Url,
    subscription: Subscription,
    signing: Signing,
}

/// The settings that are stored with the engine's hook.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSettings {
    url: Option<String>,
    headers: Members<String>,
    types: Vec<String>,
}

/// The settings of a tenant's Apizee web hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApizeeWebhook)]
pub(super) struct WebhookView {
    /// The URL to which requests go; null if none is set.
    url: Option<String>,
    /// Whether events are delivered.
    enabled: bool,
    /// Additional request headers.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Members<String>,
    /// The filter on event types.
    #[schema(value_type = Vec<schemas::TypePattern>)]
    types: Vec<String>,
    /// How requests are signed: `none` or `standard`.
    #[schema(value_type = schemas::Signing)]
    signing: &'static str,
    /// The id of the engine's hook, for its deliveries (`GET /deliveries?hook=…`) and its secret (`GET
    /// /hooks/{id}/secret`).
    #[schema(value_type = schemas::HookId)]
    hook: String,
    created_at: Time,
    updated_at: Time,
}

impl WebhookInput {
    /// Validates all members.
    ///
    /// # Errors
    /// Fails with the first member that breaks a rule.
    pub(super) fn check(self) -> Result<Webhook, Problem> {
        let at = |member| move |rule| Problem::invalid(Pointer::to(member), rule);
        let enabled = self.enabled.unwrap_or(true);
        if enabled && self.url.is_none() {
            let rule = "missing member `url`, which an enabled web hook requires";
            return Err(Problem::at(Kind::MissingMember, Pointer::to("url"), rule));
        }
        let url = Hook::parse_url(self.url.as_deref().unwrap_or(Hook::PLACEHOLDER_URL)).map_err(at("url"))?;
        let types = self.types.unwrap_or_else(|| vec!["*".to_owned()]);
        let subscription = subscription(&types)?;
        let headers = Members(self.headers.map_or(Ok(Vec::new()), check_headers)?);
        let signing =
            self.signing.map_or(Ok(Signing::None), |text| read_signing(&text)).map_err(at("signing"))?;
        Ok(Webhook {
            settings: StoredSettings { url: self.url, headers, types },
            enabled,
            url,
            subscription,
            signing,
        })
    }
}

/// A subscription to the event types of Apizee that match the patterns.
fn subscription(patterns: &[String]) -> Result<Subscription, Problem> {
    let mut wanted = Vec::new();
    for (index, text) in patterns.iter().enumerate() {
        let invalid = |rule| Problem::invalid(Pointer::to("types").index(index), rule);
        let pattern: TypePattern = text.parse().map_err(invalid)?;
        let before = wanted.len();
        for event_type in every_type() {
            let event_type: EventType = event_type.parse().map_err(invalid)?;
            if pattern.matches(&event_type) {
                wanted.push(TypePattern::Exact(event_type));
            }
        }
        if wanted.len() == before {
            let all: Vec<_> = every_type().collect();
            return Err(invalid(Invalid::new(format!(
                "`{}` matches no event of Apizee; expected one of {}, a prefix of these followed by `*`, or `*`",
                crate::api::problem::shorten(text),
                all.join(", ")
            ))));
        }
    }
    Subscription::new(wanted).map_err(|rule| Problem::invalid(Pointer::to("types"), rule))
}

fn every_type() -> impl Iterator<Item = String> {
    OBJECTS.iter().flat_map(|object| EVENTS.iter().map(move |event| format!("{object}.{event}")))
}

/// The settings of the plugin `apizee-envelope`.
#[derive(Serialize)]
struct Settings<'a> {
    headers: &'a Members<String>,
}

impl Webhook {
    /// Converts the settings to a hook of the engine, which replaces `current`.
    pub(super) fn into_hook(self, tenant: TenantId, current: Option<&Hook>) -> Result<Hook, Problem> {
        let write = |error: serde_json::Error| Problem::internal("writing an Apizee web hook", &error);
        let settings = serde_json::to_string(&Settings { headers: &self.settings.headers }).map_err(write)?;
        let plugin = PLUGIN
            .parse()
            .map_err(|error: Invalid| Problem::internal("parsing the name of a standard plugin", &error))?;
        let secrets = match current {
            Some(hook) => hook.secrets.clone(),
            None => vec![new_secret()],
        };
        Ok(Hook {
            id: HookId(0),
            tenant,
            origin: Origin {
                surface: Surface::Apizee,
                members: serde_json::to_string(&self.settings).map_err(write)?.into(),
            },
            url: self.url,
            subscription: self.subscription,
            project: None,
            enabled: self.enabled,
            description: String::new(),
            headers: Vec::new(),
            masked_headers: Vec::new(),
            authorization: None,
            preflight: Pipeline::default(),
            pipeline: Pipeline(vec![Step { plugin, settings: settings.into() }]),
            timeout: Hook::DEFAULT_TIMEOUT,
            retry: RetrySchedule::default(),
            signing: self.signing,
            secrets,
            options: HookOptions::default(),
            unreadable: false,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        })
    }
}

impl WebhookView {
    /// Reads the settings of `hook`.
    ///
    /// # Errors
    /// Fails if the stored settings cannot be parsed.
    pub(super) fn of(hook: &Hook) -> Result<Self, Problem> {
        let settings: StoredSettings = serde_json::from_str(&hook.origin.members)
            .map_err(|error| Problem::internal("reading the settings of an Apizee web hook", &error))?;
        Ok(Self {
            url: settings.url,
            // The engine disables a hook whose receiver responds with 410.
            enabled: hook.enabled,
            headers: settings.headers,
            types: settings.types,
            signing: hook.signing.as_str(),
            hook: hook.id.to_string(),
            created_at: Time(hook.created_at),
            updated_at: Time(hook.updated_at),
        })
    }
}

/// Webhooks of this API have a secret, but no key pair.
fn read_signing(text: &str) -> Result<Signing, Invalid> {
    match text.parse()? {
        signing @ (Signing::Standard | Signing::None) => Ok(signing),
        Signing::Ed25519 | Signing::Both => Err(Invalid::new("expected one of standard, none")),
    }
}
