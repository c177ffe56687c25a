//! A hook as it is sent: its members are checked in the original's order, and kept as they were.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::{RawValue, to_raw_value};
use url::Url;

use super::pipeline::{self, Auth, Plugin, Shape};
use crate::api::json::Members;
use crate::api::problem::Problem;
use crate::api::v2_webitel::answer::Refusal;
use crate::api::v2_webitel::given::{Given, compact};
use crate::directory::Directory;
use crate::domain::{
    EventType, Hook, HookId, Invalid, Origin, Pipeline, PluginRef, RetrySchedule, Role, Signing,
    SigningSecret, Subscription, Surface, TenantId, TypePattern, UnixMillis,
};

/// What is kept of a hook, in the order in which it is echoed: that of the published examples, then what came later,
/// the original's and the engine's own.
const KEPT: [&str; 14] = [
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
/// What is kept of `action`, in the order in which it was sent.
const KEPT_OF_ACTION: [&str; 5] = ["type", "method", "url", "plugin", "settings"];
/// What is kept of `auth`, likewise.
const KEPT_OF_AUTH: [&str; 6] = ["headers", "map", "enabled", "url", "method", "cookie"];

/// The methods that there are.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
/// The greatest size of a description, in bytes.
const MAX_DESCRIPTION_LEN: usize = 4_096;
/// The greatest size of what is kept of a hook, in bytes: hooks are held in memory, and listed by the page.
const MAX_KEPT_LEN: usize = 512 * 1024;
/// The wait before a retry, in seconds, where none is given.
const DEFAULT_DELAY: u64 = 60;

/// What a sender decides about a hook.
#[derive(Debug)]
pub(super) struct Wanted {
    members: Arc<str>,
    event: EventType,
    enabled: bool,
    description: String,
    url: Url,
    retry: RetrySchedule,
    preflight: Pipeline,
    pipeline: Pipeline,
    /// The plugin in the place of the template: the one whose settings the sender wrote.
    pub(super) own_plugin: Option<PluginRef>,
}

/// What the engine keeps about a hook besides.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: HookId,
    pub(super) tenant: TenantId,
    /// Nothing is signed with them, but a plugin may ask for the current one.
    pub(super) secrets: Vec<SigningSecret>,
    pub(super) created_at: UnixMillis,
    pub(super) updated_at: UnixMillis,
}

impl Identity {
    /// What stays of a hook that is replaced.
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

impl Wanted {
    /// Checks what was sent.
    ///
    /// # Errors
    /// Names the first member that is not as it must be.
    pub(super) fn read(body: &Bytes, tenant: TenantId, directory: &Directory) -> Result<Self, Refusal> {
        let text = compact(body)?;
        let given = Given::read(&text)?;
        let event = read_event(&given)?;
        let action = Action::read(&given, tenant, directory)?;
        let auth = read_auth(&given)?;
        let shape = Shape {
            filter: read_filter(&given)?,
            headers: read_headers(&given)?,
            cookie: auth.as_ref().is_some_and(|auth| auth.cookie),
            fields: given.texts("fields")?.and_then(|_| given.raw("fields")),
            map: given.object_of_texts("map")?.and_then(|_| given.raw("map")),
            method: action.method,
            custom_body: given.flag("customBody")? == Some(true),
            raw_body: given.text("rawBody")?,
            escape_body: given.flag("escapeBody")?,
            plugin: action.plugin,
        };
        Ok(Self {
            event,
            enabled: given.flag("enable")? == Some(true),
            description: read_description(&given)?,
            url: action.url,
            retry: read_retry(&given)?,
            preflight: auth
                .as_ref()
                .map_or_else(|| Ok(Pipeline::default()), |auth| pipeline::preflight(auth, shape.filter))?,
            pipeline: pipeline::shape(&shape)?,
            own_plugin: shape.plugin.map(|plugin| plugin.reference),
            members: kept(&given)?.into(),
        })
    }

    /// The hook that is so.
    ///
    /// # Errors
    /// Never: a subscription to one event is within the rules.
    pub(super) fn into_hook(self, identity: Identity) -> Result<Hook, Refusal> {
        let subscription = Subscription::new(vec![TypePattern::Exact(self.event)]);
        Ok(Hook {
            id: identity.id,
            tenant: identity.tenant,
            origin: Origin { surface: Surface::Webitel, members: self.members },
            url: self.url,
            subscription: subscription.map_err(|Invalid(rule)| Refusal::bad(rule))?,
            project: None,
            enabled: self.enabled,
            description: self.description,
            // Those of the members are templates, which a plugin renders.
            headers: Vec::new(),
            masked_headers: Vec::new(),
            authorization: None,
            preflight: self.preflight,
            pipeline: self.pipeline,
            timeout: Hook::DEFAULT_TIMEOUT,
            retry: self.retry,
            // Receivers that came from the original know no signature.
            signing: Signing::None,
            secrets: identity.secrets,
            unreadable: false,
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        })
    }
}

/// The text that is kept: the members that are known, without what is null.
fn kept(given: &Given<'_>) -> Result<String, Refusal> {
    let mut members: Vec<(&str, Box<RawValue>)> = Vec::new();
    for name in KEPT {
        let Some(value) = given.raw(name) else { continue };
        let value = match name {
            "action" => kept_of(given, name, &KEPT_OF_ACTION)?,
            "auth" => kept_of(given, name, &KEPT_OF_AUTH)?,
            _ => value.to_owned(),
        };
        members.push((name, value));
    }
    let members = Members(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let text = serde_json::to_string(&members).map_err(unwritable)?;
    if text.len() > MAX_KEPT_LEN {
        return Err(Refusal::bad(format_args!("a hook has at most {MAX_KEPT_LEN} bytes of JSON")));
    }
    Ok(text)
}

fn kept_of(given: &Given<'_>, name: &str, known: &[&str]) -> Result<Box<RawValue>, Refusal> {
    let mut members = given.object(name)?.map(|object| object.members().to_vec()).unwrap_or_default();
    members.retain(|(member, value)| known.contains(&member.as_str()) && value.get() != "null");
    to_raw_value(&Members(members)).map_err(unwritable)
}

/// What was read as JSON can be written as such.
fn unwritable(error: serde_json::Error) -> Refusal {
    Problem::internal("writing a hook as JSON", &error).into()
}

fn read_event(given: &Given<'_>) -> Result<EventType, Refusal> {
    let event = given.text("event")?.filter(|event| !event.is_empty());
    let event = event.ok_or_else(|| Refusal::bad("event name is required"))?;
    event.parse().map_err(|Invalid(rule)| Refusal::bad(format_args!("event: {rule}")))
}

/// What `action` says.
#[derive(Debug)]
struct Action {
    url: Url,
    method: &'static str,
    plugin: Option<Plugin>,
}

impl Action {
    fn read(given: &Given<'_>, tenant: TenantId, directory: &Directory) -> Result<Self, Refusal> {
        let required = || Refusal::bad("action options is required");
        let action = given.object("action")?.ok_or_else(required)?;
        let option = |name| action.text(name)?.filter(|text: &String| !text.is_empty()).ok_or_else(required);
        let (kind, url, method) = (option("type")?, option("url")?, option("method")?);
        if kind != "web" {
            return Err(action.wrong("type", "web: nothing else is done here"));
        }
        Ok(Self {
            url: read_url(&action, &url)?,
            method: read_method(&action, &method)?,
            plugin: read_plugin(&action, tenant, directory)?,
        })
    }
}

fn read_url(given: &Given<'_>, text: &str) -> Result<Url, Refusal> {
    Hook::parse_url(text).map_err(|Invalid(rule)| Refusal::bad(format_args!("{}: {rule}", given.name("url"))))
}

fn read_method(given: &Given<'_>, text: &str) -> Result<&'static str, Refusal> {
    let method = METHODS.into_iter().find(|method| text.eq_ignore_ascii_case(method));
    method.ok_or_else(|| given.wrong("method", "one of GET, POST, PUT and DELETE"))
}

fn read_plugin(
    given: &Given<'_>,
    tenant: TenantId,
    directory: &Directory,
) -> Result<Option<Plugin>, Refusal> {
    let settings = given.object("settings")?.and_then(|_| given.raw("settings"));
    let Some(text) = given.text("plugin")? else {
        return match settings {
            Some(_) => Err(given.wrong("settings", "left out where there is no plugin")),
            None => Ok(None),
        };
    };
    let reference = text.parse().ok().filter(|reference| !matches!(reference, PluginRef::Digest(_)));
    let reference: PluginRef =
        reference.ok_or_else(|| given.wrong("plugin", "the name of a plugin, or `name@version`"))?;
    let version = directory.plugin(tenant, &reference);
    let version = version.ok_or_else(|| Refusal::bad(format_args!("there is no plugin `{reference}`")))?;
    let settings = settings.map_or("{}", RawValue::get);
    if settings.len() > Pipeline::MAX_SETTINGS_LEN {
        return Err(given.wrong("settings", "at most 262144 bytes of JSON"));
    }
    let writes_requests = version.roles.contains(&Role::Transformer);
    Ok(Some(Plugin { reference, settings: settings.to_owned(), writes_requests }))
}

fn read_description(given: &Given<'_>) -> Result<String, Refusal> {
    let text = given.text("description")?.unwrap_or_default();
    if text.len() > MAX_DESCRIPTION_LEN {
        return Err(given.wrong("description", "at most 4,096 bytes"));
    }
    Ok(text)
}

/// The headers, if they can be sent. A value that is no string is kept and not sent, as in the original.
fn read_headers<'a>(given: &Given<'a>) -> Result<Option<&'a RawValue>, Refusal> {
    let Some(headers) = given.object("headers")? else { return Ok(None) };
    if headers.members().len() > Hook::MAX_HEADERS {
        return Err(given.wrong("headers", "at most 50 headers"));
    }
    for (index, (name, value)) in headers.members().iter().enumerate() {
        let template = headers.text_of(name, value).ok().flatten().unwrap_or_default();
        Hook::check_header(name, &template)
            .map_err(|Invalid(rule)| Refusal::bad(format_args!("{}: {rule}", given.name("headers"))))?;
        if headers.members()[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            return Err(headers.wrong(name, "named once: case makes no difference in the name of a header"));
        }
    }
    Ok(given.raw("headers"))
}

/// The filter. An operation that is not known never holds; that there is one is all that is checked.
fn read_filter<'a>(given: &Given<'a>) -> Result<Option<&'a RawValue>, Refusal> {
    let Some(filter) = given.object("filter")? else { return Ok(None) };
    for (key, value) in filter.members() {
        let rule = filter.object_of(key, value)?;
        if rule.map_or(Ok(None), |rule| rule.text("operation"))?.is_none() {
            return Err(filter.wrong(key, "an object with an operation and a value"));
        }
    }
    Ok(given.raw("filter"))
}

/// The request before the request, if there is to be one.
fn read_auth<'a>(given: &Given<'a>) -> Result<Option<Auth<'a>>, Refusal> {
    let Some(auth) = given.object("auth")? else { return Ok(None) };
    let enabled = auth.flag("enabled")? == Some(true);
    let cookie = auth.flag("cookie")? == Some(true);
    let method = auth.text("method")?.filter(|method| !method.is_empty());
    let method = method.map(|method| read_method(&auth, &method)).transpose()?;
    let (headers, map) = (read_headers(&auth)?, auth.object_of_texts("map")?.and_then(|_| auth.raw("map")));
    let url = auth.text("url")?.filter(|url| enabled && !url.is_empty());
    let Some(url) = url else { return Ok(None) };
    Ok(Some(Auth { url: read_url(&auth, &url)?, method, headers, map, cookie }))
}

/// `retries` times after `delay` seconds each. A number that makes no sense is passed over, as in the original.
fn read_retry(given: &Given<'_>) -> Result<RetrySchedule, Refusal> {
    let retries = given.whole("retries")?.and_then(|number| usize::try_from(number).ok());
    let retries = retries.filter(|number| (1..=RetrySchedule::MAX_RETRIES).contains(number)).unwrap_or(0);
    let delay = given.whole("delay")?.and_then(|number| u64::try_from(number).ok());
    let delay = Duration::from_secs(delay.filter(|seconds| *seconds > 0).unwrap_or(DEFAULT_DELAY));
    if delay > RetrySchedule::MAX_WAIT {
        // A client that wants to wait longer must not find it sixty seconds.
        return Err(given.wrong("delay", "at most 604800 seconds"));
    }
    RetrySchedule::new(vec![delay; retries]).map_err(|Invalid(rule)| Refusal::bad(rule))
}
