//! The wire format of a hook. Members are validated in the order of the original API and stored unchanged.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use super::pipeline::{self, Auth, Plugin, Shape};
use crate::api::json::Members;
use crate::api::problem::Problem;
use crate::api::v2_webitel::input::{Input, compact};
use crate::api::v2_webitel::response::ApiError;
use crate::directory::Directory;
use crate::domain::{
    EventType, Hook, HookId, HookOptions, Invalid, Origin, Pipeline, PluginRef, RetrySchedule, Role, Signing,
    SigningSecret, Subscription, Surface, TenantId, TypePattern, UnixMillis,
};

/// The stored members of a hook, in the order of responses: first those of the published examples, then later
/// members of the original API and of the engine.
const STORED: [&str; 14] = [
    "event",
    "enable",
    "description",
    "action",
    "fields",
    "map",
    "filter",
    "headers",
    "auth",
    "customBody",
    "rawBody",
    "escapeBody",
    "retries",
    "delay",
];
/// The stored members of `action`. They keep the order of the request.
const STORED_OF_ACTION: [&str; 5] = ["type", "method", "url", "plugin", "settings"];
/// The stored members of `auth`. They keep the order of the request.
const STORED_OF_AUTH: [&str; 6] = ["headers", "map", "enabled", "url", "method", "cookie"];

/// The supported methods.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// The maximum size of a description, in bytes.
const MAX_DESCRIPTION_LEN: usize = 4_096;
/// The maximum size of the stored members of a hook, in bytes: they are held in memory and returned in lists.
const MAX_STORED_LEN: usize = 512 * 1024;
/// The default wait before a retry, in seconds.
const DEFAULT_DELAY: u64 = 60;

/// The validated members of a hook.
#[derive(Debug)]
pub(super) struct HookInput {
    members: Arc<str>,
    event: EventType,
    enabled: bool,
    description: String,
    url: Url,
    retry: RetrySchedule,
    preflight: Pipeline,
    pipeline: Pipeline,
    /// The plugin of `action.plugin`, whose settings the client wrote.
    pub(super) own_plugin: Option<PluginRef>,
}

/// The parts of a hook that the engine assigns.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: HookId,
    pub(super) tenant: TenantId,
    /// Requests are not signed, but a plugin may read the current secret.
    pub(super) secrets: Vec<SigningSecret>,
    pub(super) created_at: UnixMillis,
    pub(super) updated_at: UnixMillis,
}

impl Identity {
    /// The parts that a replacement keeps.
    pub(super) fn of(current: &Hook) -> Self {
        Self {
            id: current.id,
            tenant: current.tenant,
            secrets: current.secrets.clone(),
            created_at: current.created_at,
            updated_at: current.updated_at,
        }
    }
}

impl HookInput {
    /// Parses and validates a body.
    ///
    /// # Errors
    /// Fails with the first invalid member.
    pub(super) fn read(body: &Bytes, tenant: TenantId, directory: &Directory) -> Result<Self, ApiError> {
        let text = compact(body)?;
        let input = Input::read(&text)?;
        let event = read_event(&input)?;
        let action = Action::read(&input, tenant, directory)?;
        let auth = read_auth(&input)?;
        let shape = Shape {
            filter: read_filter(&input)?,
            headers: read_headers(&input)?,
            cookie: auth.as_ref().is_some_and(|auth| auth.cookie),
            fields: input.strings("fields")?.and_then(|_| input.raw("fields")),
            map: input.object_of_strings("map")?.and_then(|_| input.raw("map")),
            method: action.method,
            custom_body: input.boolean("customBody")? == Some(true),
            raw_body: input.string("rawBody")?,
            escape_body: input.boolean("escapeBody")?,
            plugin: action.plugin,
        };
        Ok(Self {
            event,
            enabled: input.boolean("enable")? == Some(true),
            description: read_description(&input)?,
            url: action.url,
            retry: read_retry(&input)?,
            preflight: auth
                .as_ref()
                .map_or_else(|| Ok(Pipeline::default()), |auth| pipeline::preflight(auth, shape.filter))?,
            pipeline: pipeline::shape(&shape)?,
            own_plugin: shape.plugin.map(|plugin| plugin.reference),
            members: stored(&input)?.into(),
        })
    }

    /// Converts the members to a hook of the engine.
    ///
    /// # Errors
    /// Does not fail: a subscription to one event is valid.
    pub(super) fn into_hook(self, identity: Identity) -> Result<Hook, ApiError> {
        let subscription = Subscription::new(vec![TypePattern::Exact(self.event)]);
        Ok(Hook {
            id: identity.id,
            tenant: identity.tenant,
            origin: Origin { surface: Surface::Webitel, members: self.members },
            url: self.url,
            subscription: subscription.map_err(|Invalid(rule)| ApiError::bad(rule))?,
            project: None,
            enabled: self.enabled,
            description: self.description,
            // The headers are templates, which a plugin renders.
            headers: Vec::new(),
            masked_headers: Vec::new(),
            authorization: None,
            preflight: self.preflight,
            pipeline: self.pipeline,
            timeout: Hook::DEFAULT_TIMEOUT,
            retry: self.retry,
            // The original API does not sign requests.
            signing: Signing::None,
            secrets: identity.secrets,
            options: HookOptions::default(),
            unreadable: false,
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        })
    }
}

/// The stored text: the known members, without null values.
fn stored(input: &Input<'_>) -> Result<String, ApiError> {
    let mut members: Vec<(&str, Box<RawValue>)> = Vec::new();
    for name in STORED {
        let Some(value) = input.raw(name) else { continue };
        let value = match name {
            "action" => stored_of(input, name, &STORED_OF_ACTION)?,
            "auth" => stored_of(input, name, &STORED_OF_AUTH)?,
            _ => value.to_owned(),
        };
        members.push((name, value));
    }
    let members = Members(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let text = serde_json::to_string(&members).map_err(unwritable)?;
    if text.len() > MAX_STORED_LEN {
        return Err(ApiError::bad(format_args!("a hook has at most {MAX_STORED_LEN} bytes of JSON")));
    }
    Ok(text)
}

fn stored_of(input: &Input<'_>, name: &str, known: &[&str]) -> Result<Box<RawValue>, ApiError> {
    let mut members = input.object(name)?.map(|object| object.members().to_vec()).unwrap_or_default();
    members.retain(|(member, value)| known.contains(&member.as_str()) && value.get() != "null");
    to_raw_value(&Members(members)).map_err(unwritable)
}

/// The error for JSON that cannot be serialized, which does not happen for parsed JSON.
fn unwritable(error: serde_json::Error) -> ApiError {
    Problem::internal("writing a hook as JSON", &error).into()
}

fn read_event(input: &Input<'_>) -> Result<EventType, ApiError> {
    let event = input.string("event")?.filter(|event| !event.is_empty());
    let event = event.ok_or_else(|| ApiError::bad("event name is required"))?;
    event.parse().map_err(|Invalid(rule)| ApiError::bad(format_args!("event: {rule}")))
}

/// The member `action`.
#[derive(Debug)]
struct Action {
    url: Url,
    method: &'static str,
    plugin: Option<Plugin>,
}

impl Action {
    fn read(input: &Input<'_>, tenant: TenantId, directory: &Directory) -> Result<Self, ApiError> {
        let required = || ApiError::bad("action options is required");
        let action = input.object("action")?.ok_or_else(required)?;
        let option =
            |name| action.string(name)?.filter(|text: &String| !text.is_empty()).ok_or_else(required);
        let (kind, url, method) = (option("type")?, option("url")?, option("method")?);
        if kind != "web" {
            return Err(action.wrong("type", "web, the only supported type"));
        }
        Ok(Self {
            url: read_url(&action, &url)?,
            method: read_method(&action, &method)?,
            plugin: read_plugin(&action, tenant, directory)?,
        })
    }
}

fn read_url(input: &Input<'_>, text: &str) -> Result<Url, ApiError> {
    Hook::parse_url(text)
        .map_err(|Invalid(rule)| ApiError::bad(format_args!("{}: {rule}", input.name("url"))))
}

fn read_method(input: &Input<'_>, text: &str) -> Result<&'static str, ApiError> {
    let method = METHODS.into_iter().find(|method| text.eq_ignore_ascii_case(method));
    method.ok_or_else(|| input.wrong("method", "one of GET, POST, PUT and DELETE"))
}

fn read_plugin(
    input: &Input<'_>,
    tenant: TenantId,
    directory: &Directory,
) -> Result<Option<Plugin>, ApiError> {
    let settings = input.object("settings")?.and_then(|_| input.raw("settings"));
    let Some(text) = input.string("plugin")? else {
        return match settings {
            Some(_) => Err(input.wrong("settings", "absent without a plugin")),
            None => Ok(None),
        };
    };
    let reference = text.parse().ok().filter(|reference| !matches!(reference, PluginRef::Digest(_)));
    let reference: PluginRef =
        reference.ok_or_else(|| input.wrong("plugin", "the name of a plugin, or `name@version`"))?;
    let version = directory.plugin(tenant, &reference);
    let version = version.ok_or_else(|| ApiError::bad(format_args!("there is no plugin `{reference}`")))?;
    let settings = settings.map_or("{}", RawValue::get);
    if settings.len() > Pipeline::MAX_SETTINGS_LEN {
        return Err(input.wrong("settings", "at most 262144 bytes of JSON"));
    }
    let writes_requests = version.roles.contains(&Role::Transformer);
    Ok(Some(Plugin { reference, settings: settings.to_owned(), writes_requests }))
}

fn read_description(input: &Input<'_>) -> Result<String, ApiError> {
    let text = input.string("description")?.unwrap_or_default();
    if text.len() > MAX_DESCRIPTION_LEN {
        return Err(input.wrong("description", "at most 4,096 bytes"));
    }
    Ok(text)
}

/// Validates headers. A value that is not a string is stored but not sent, as in the original API.
fn read_headers<'a>(input: &Input<'a>) -> Result<Option<&'a RawValue>, ApiError> {
    let Some(headers) = input.object("headers")? else { return Ok(None) };
    if headers.members().len() > Hook::MAX_HEADERS {
        return Err(input.wrong("headers", "at most 50 headers"));
    }
    for (index, (name, value)) in headers.members().iter().enumerate() {
        let template = headers.string_of(name, value).ok().flatten().unwrap_or_default();
        Hook::check_header(name, &template)
            .map_err(|Invalid(rule)| ApiError::bad(format_args!("{}: {rule}", input.name("headers"))))?;
        if headers.members()[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(headers.wrong(name, "unique; header names are case-insensitive"));
        }
    }
    Ok(input.raw("headers"))
}

/// Validates the filter. Each rule must have an operation; an unknown operation is accepted and never
/// matches.
fn read_filter<'a>(input: &Input<'a>) -> Result<Option<&'a RawValue>, ApiError> {
    let Some(filter) = input.object("filter")? else { return Ok(None) };
    for (key, value) in filter.members() {
        let rule = filter.object_of(key, value)?;
        if rule.map_or(Ok(None), |rule| rule.string("operation"))?.is_none() {
            return Err(filter.wrong(key, "an object with an operation and a value"));
        }
    }
    Ok(input.raw("filter"))
}

/// Validates the settings of the preflight request; `None` if there is none.
fn read_auth<'a>(input: &Input<'a>) -> Result<Option<Auth<'a>>, ApiError> {
    let Some(auth) = input.object("auth")? else { return Ok(None) };
    let enabled = auth.boolean("enabled")? == Some(true);
    let cookie = auth.boolean("cookie")? == Some(true);
    let method = auth.string("method")?.filter(|method| !method.is_empty());
    let method = method.map(|method| read_method(&auth, &method)).transpose()?;
    let (headers, map) = (read_headers(&auth)?, auth.object_of_strings("map")?.and_then(|_| auth.raw("map")));
    let url = auth.string("url")?.filter(|url| enabled && !url.is_empty());
    let Some(url) = url else { return Ok(None) };
    Ok(Some(Auth { url: read_url(&auth, &url)?, method, headers, map, cookie }))
}

/// The retry schedule: `retries` times after `delay` seconds each. Numbers out of range are ignored, as in
/// the original API.
fn read_retry(input: &Input<'_>) -> Result<RetrySchedule, ApiError> {
    let retries = input.integer("retries")?.and_then(|number| usize::try_from(number).ok());
    let retries = retries.filter(|number| (1..=RetrySchedule::MAX_RETRIES).contains(number)).unwrap_or(0);
    let delay = input.integer("delay")?.and_then(|number| u64::try_from(number).ok());
    let delay = Duration::from_secs(delay.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_DELAY));
    if delay > RetrySchedule::MAX_WAIT {
        // An error, because the default would be much shorter than the wait that the client requested.
        return Err(input.wrong("delay", "at most 604800 seconds"));
    }
    RetrySchedule::new(vec![delay; retries]).map_err(|Invalid(rule)| ApiError::bad(rule))
}
