//! The settings as they are sent, kept and shown.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use crate::api::json::Members;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::time::Time;
use crate::api::v3::hooks::{check_headers, new_secret};
use crate::api::v3::openapi::schemas;
use crate::domain::{
    EventType, Hook, HookId, Invalid, Origin, Pipeline, RetrySchedule, Signing, Step, Subscription, Surface,
    TenantId, TypePattern, UnixMillis,
};

/// The objects that make web hooks, and what happens to them.
const OBJECTS: [&str; 4] = ["ticket", "media", "conversation", "smsmessage"];
const EVENTS: [&str; 3] = ["create", "update", "delete"];
/// The plugin that writes what is posted.
const PLUGIN: &str = "apizee-envelope";

/// The settings of a tenant's Apizee web hook.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookInput {
    /// Where requests go: absolute, `https` or `http`, at most 2,048 bytes. Wanted while the web hook is enabled.
    #[schema(value_type = Option<schemas::HookUrl>)]
    url: Option<String>,
    /// The console's *Activate* checkbox. Default: true.
    enabled: Option<bool>,
    /// HTTP headers of one's own, at most 50; they may replace `Content-Type` and `User-Agent`. Default: none.
    #[schema(value_type = Option<schemas::HeaderFields>)]
    headers: Option<Members<String>>,
    /// The console's filter on event type: `ticket.update`, `media.*` or `*`. Default: all.
    #[schema(value_type = Option<Vec<schemas::TypePattern>>, min_items = 1, max_items = 100, example = json!(["ticket.update", "conversation.*"]))]
    types: Option<Vec<String>>,
    /// `none`, or `standard` (Standard Webhooks), which the original does not have. Default: `none`.
    #[schema(value_type = Option<schemas::Signing>)]
    signing: Option<String>,
}

/// Settings that have been checked.
#[derive(Debug)]
pub(super) struct Webhook {
    kept: Kept,
    enabled: bool,
    url: Url,
    subscription: Subscription,
    signing: Signing,
}

/// What is kept beside the engine's hook.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    url: Option<String>,
    headers: Members<String>,
    types: Vec<String>,
}

/// The settings as they are now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApizeeWebhook)]
pub(super) struct WebhookView {
    url: Option<String>,
    enabled: bool,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Members<String>,
    #[schema(value_type = Vec<schemas::TypePattern>)]
    types: Vec<String>,
    /// `none` or `standard`.
    #[schema(value_type = schemas::Signing)]
    signing: &'static str,
    /// The engine's hook that it is: its deliveries and its secret are found by it.
    #[schema(value_type = schemas::HookId)]
    hook: String,
    created_at: Time,
    updated_at: Time,
}

impl WebhookInput {
    /// Checks every member.
    ///
    /// # Errors
    /// Names the first that breaks a rule.
    pub(super) fn check(self) -> Result<Webhook, Problem> {
        let at = |member| move |rule| Problem::invalid(Pointer::to(member), rule);
        let enabled = self.enabled.unwrap_or(true);
        if enabled && self.url.is_none() {
            let rule = "`url` is wanted while the web hook is enabled";
            return Err(Problem::at(Kind::MissingMember, Pointer::to("url"), rule));
        }
        let url = Hook::parse_url(self.url.as_deref().unwrap_or(Hook::NOWHERE)).map_err(at("url"))?;
        let types = self.types.unwrap_or_else(|| vec!["*".to_owned()]);
        let subscription = subscription(&types)?;
        let headers = Members(self.headers.map_or(Ok(Vec::new()), check_headers)?);
        let signing = self.signing.map_or(Ok(Signing::None), |text| text.parse()).map_err(at("signing"))?;
        Ok(Webhook { kept: Kept { url: self.url, headers, types }, enabled, url, subscription, signing })
    }
}

/// The types that these patterns cover: the original has no others.
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
                "`{}` is none of Apizee's events; there are {}, or beginnings of these with an asterisk",
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

/// What `apizee-envelope` is given.
#[derive(Serialize)]
struct Settings<'a> {
    headers: &'a Members<String>,
}

impl Webhook {
    /// The engine's hook that this is, in the place of `current`.
    pub(super) fn into_hook(self, tenant: TenantId, current: Option<&Hook>) -> Result<Hook, Problem> {
        let write = |error: serde_json::Error| Problem::internal("writing an Apizee web hook", &error);
        let settings = serde_json::to_string(&Settings { headers: &self.kept.headers }).map_err(write)?;
        let plugin =
            PLUGIN.parse().map_err(|error: Invalid| Problem::internal("naming a standard plugin", &error))?;
        let secrets = match current {
            Some(hook) => hook.secrets.clone(),
            None => vec![new_secret()?],
        };
        Ok(Hook {
            id: HookId(0),
            tenant,
            origin: Origin {
                surface: Surface::Apizee,
                members: serde_json::to_string(&self.kept).map_err(write)?.into(),
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
            unreadable: false,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
        })
    }
}

impl WebhookView {
    /// # Errors
    /// Where what is kept cannot be read back.
    pub(super) fn of(hook: &Hook) -> Result<Self, Problem> {
        let kept: Kept = serde_json::from_str(&hook.origin.members)
            .map_err(|error| Problem::internal("reading what is kept of an Apizee web hook", &error))?;
        Ok(Self {
            url: kept.url,
            // A receiver's 410 disables the hook itself.
            enabled: hook.enabled,
            headers: kept.headers,
            types: kept.types,
            signing: hook.signing.as_str(),
            hook: hook.id.to_string(),
            created_at: Time(hook.created_at),
            updated_at: Time(hook.updated_at),
        })
    }
}
