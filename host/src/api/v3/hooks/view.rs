//! A hook as answers show it. Its secrets never stand here.

use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::json;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::v3::report::Headers;
use crate::domain::Hook;

/// A hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hook)]
pub(super) struct HookView {
    #[schema(value_type = schemas::HookId)]
    id: String,
    /// The interface it was made through, which alone changes it: `v3`, `project-web-hook`, `apizee` or `webitel`.
    #[schema(value_type = schemas::Surface)]
    surface: &'static str,
    url: String,
    #[schema(value_type = Vec<schemas::TypePattern>)]
    types: Vec<String>,
    /// The project whose events alone it wants, if any.
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    enabled: bool,
    description: String,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    /// Names of headers of its requests whose values attempts do not show, besides those that carry secrets by their name.
    masked_headers: Vec<String>,
    pipeline: Vec<HookStepView>,
    timeout_ms: u64,
    retry: RetryView,
    /// `standard` or `none`.
    #[schema(value_type = schemas::Signing)]
    signing: &'static str,
    /// True if what is stored encrypted of the hook cannot be decrypted: its URL, headers, settings and secrets are missing
    /// here, and its deliveries wait, until it is replaced as a whole.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unreadable: bool,
    created_at: Time,
    updated_at: Time,
}

/// One plugin of a pipeline.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookStep)]
pub(super) struct HookStepView {
    #[schema(value_type = schemas::PluginRef)]
    plugin: String,
    #[schema(value_type = schemas::PluginSettings)]
    settings: Box<RawValue>,
}

/// When failed attempts are made again.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
pub(super) struct RetryView {
    schedule_s: Vec<u64>,
}

impl From<&Hook> for HookView {
    fn from(hook: &Hook) -> Self {
        let steps = hook.pipeline.0.iter();
        Self {
            id: hook.id.to_string(),
            surface: hook.origin.surface.as_str(),
            project: hook.project,
            url: hook.url.to_string(),
            types: hook.subscription.patterns().iter().map(ToString::to_string).collect(),
            enabled: hook.enabled,
            description: hook.description.clone(),
            headers: Headers::new(&hook.headers),
            masked_headers: hook.masked_headers.iter().map(ToString::to_string).collect(),
            pipeline: steps
                .map(|step| HookStepView {
                    plugin: step.plugin.to_string(),
                    settings: json::raw(&step.settings),
                })
                .collect(),
            timeout_ms: u64::try_from(hook.timeout.as_millis()).unwrap_or(u64::MAX),
            retry: RetryView {
                schedule_s: hook.retry.waits().iter().map(std::time::Duration::as_secs).collect(),
            },
            signing: hook.signing.as_str(),
            unreadable: hook.unreadable,
            created_at: Time(hook.created_at),
            updated_at: Time(hook.updated_at),
        }
    }
}
