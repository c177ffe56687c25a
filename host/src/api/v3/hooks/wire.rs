//! The wire format of a hook and its validation.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use utoipa::ToSchema;

use super::batch::BatchInput;
use super::flow::FlowInput;
use super::options::{read_options, read_ordering};
use super::receiver::{
    ClientCertificateInput, HandshakeResultInput, OAuthInput, ReceiverInput, SignatureHeadersInput,
};
use super::steps::{StepInput, read_pipeline};
use super::types::read_types;
use crate::api::json::{Members, Object};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::header::check_header_name;
use crate::domain::{
    HeaderList, Hook, HookId, HookOptions, Invalid, Origin, Pipeline, PluginRef, RetrySchedule, ShortText,
    Signing, SigningSecret, Subscription, TenantId, UnixMillis, header_list,
};

/// The maximum size of a hook as JSON, in bytes: sixteen steps with settings of the maximum size, and the
/// other members.
pub(in crate::api::v3) const MAX_HOOK_LEN: usize = 5 * 1024 * 1024;
/// The maximum size of a description, in bytes.
const MAX_DESCRIPTION_LEN: usize = 1_000;
/// The maximum size of a header's value, in bytes.
const MAX_HEADER_VALUE_LEN: usize = 4_096;

/// A hook to create, or to replace another. Absent members get their defaults.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HookInput {
    /// The URL to which requests go: absolute, `https` or `http`, at most 2,048 bytes, without credentials or
    /// fragment.
    #[schema(value_type = schemas::HookUrl)]
    url: String,
    /// The event types to which the hook subscribes, 1 to 100 patterns: exact types, prefixes (`session.*`),
    /// or all (`*`).
    #[schema(value_type = Vec<schemas::TypePattern>, min_items = 1, max_items = 100)]
    types: Vec<String>,
    /// Limits the hook to the events of one existing project of the tenant. Default: events of all projects
    /// and of none.
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    /// Whether the hook gets deliveries of new events and its deliveries are attempted. Default: true.
    enabled: Option<bool>,
    /// A description for people, at most 1,000 bytes. Default: empty.
    #[schema(value_type = Option<schemas::Description>)]
    description: Option<String>,
    /// Headers to add to every request before the pipeline runs, at most 50. Every key with `hooks:read` can
    /// read them. Default: none.
    #[schema(value_type = Option<schemas::HeaderFields>)]
    headers: Option<Members<String>>,
    /// The names of further request headers whose values are masked in attempts, at most 50. The values of
    /// `headers`, and of headers whose name indicates a secret, are always masked. Default: none.
    #[schema(value_type = Option<Vec<schemas::HeaderName>>, max_items = 50, example = json!(["x-customer"]))]
    masked_headers: Option<Vec<String>>,
    /// The plugins that shape the requests, in order, at most 16. Default: none.
    #[schema(value_type = Option<Vec<StepInput>>, max_items = 16)]
    pipeline: Option<Vec<Object<StepInput>>>,
    /// The time limit for one attempt as a whole, in milliseconds, 100 to 60,000. Default: 20,000.
    #[schema(value_type = Option<schemas::Timeout>)]
    timeout_ms: Option<u64>,
    /// When failed attempts are repeated. Default: nine retries over three days.
    #[schema(value_type = Option<RetryInput>)]
    retry: Option<Object<RetryInput>>,
    /// How requests are signed by Standard Webhooks: `standard` with a shared secret (`v1`), `ed25519` with a key pair
    /// (`v1a`), `both`, or `none`. Default: `standard`.
    #[schema(value_type = Option<schemas::Signing>)]
    signing: Option<String>,
    /// Whether deliveries are held: events are accepted and matched, and nothing is sent until it is false
    /// again. Default: false.
    pub(super) paused: Option<bool>,
    /// The most requests that the receiver gets at a time, 1 to the setting `max_in_flight_per_hook`. Default: that.
    #[schema(value_type = Option<schemas::MaxInFlight>)]
    max_in_flight: Option<u32>,
    /// The most requests that the receiver gets in a second, 0.01 to 10,000. What is over waits. Default: no limit.
    #[schema(value_type = Option<schemas::MaxPerSecond>)]
    max_per_second: Option<f64>,
    /// In which order deliveries are sent: those of events with the same `ordering_key` one after the other
    /// (`key`), all of the hook (`hook`), or in none (`none`). A change holds for events that are accepted from then
    /// on; between them and what waits there is no order. Default: `none`.
    #[schema(value_type = Option<schemas::Ordering>)]
    ordering: Option<String>,
    /// After so many failed attempts, 1 to 100, those behind a delivery do not wait for it any more. A change acts at
    /// its next attempt. Without `ordering` it has no effect. Default: they wait until it is final.
    #[schema(value_type = Option<schemas::OrderingSkipAfter>)]
    ordering_skip_after: Option<u32>,
    /// How long the bodies of requests are kept, to be read with their attempts: in seconds, up to 30 days. Default:
    /// 0, not at all.
    #[schema(value_type = Option<schemas::Retention>)]
    pub(super) retain_bodies_s: Option<u64>,
    /// Several events in one request. Default: each event has a request of its own.
    #[schema(value_type = Option<BatchInput>)]
    batch: Option<Object<BatchInput>>,
    /// The names of the signature's headers. Default: `webhook-id`, `webhook-timestamp` and `webhook-signature`.
    #[schema(value_type = Option<SignatureHeadersInput>)]
    signature_headers: Option<Object<SignatureHeadersInput>>,
    /// A certificate that the engine shows to the receiver (mTLS). Default: none.
    #[schema(value_type = Option<ClientCertificateInput>)]
    client_certificate: Option<Object<ClientCertificateInput>>,
    /// The certificates in PEM, at most 32 KiB, that are trusted for this receiver instead of the public
    /// authorities: its authorities', or its own. Default: the public authorities.
    #[schema(value_type = Option<schemas::Certificates>)]
    ca_certificates: Option<String>,
    /// How the hook gets access tokens, which requests have as `Authorization: Bearer`. Default: none.
    #[schema(value_type = Option<OAuthInput>)]
    oauth2: Option<Object<OAuthInput>>,
    /// `cloudevents`: the receiver must allow deliveries first (CloudEvents, HTTP Web Hooks, section 4). Until
    /// then they wait. Default: `none`.
    #[schema(value_type = Option<schemas::HandshakeKind>)]
    handshake: Option<String>,
    /// The rate that the handshake asks for, in requests per minute. Default: none.
    #[schema(value_type = Option<schemas::HandshakeRate>)]
    handshake_rate: Option<u32>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only, value_type = Option<HandshakeResultInput>)]
    pub(super) handshake_result: Option<Object<HandshakeResultInput>>,
    /// The signing secret, only at creation: `whsec_` and 24 to 64 bytes in base64. Default: a generated
    /// secret.
    #[schema(value_type = Option<schemas::SigningSecret>, write_only)]
    pub(super) secret: Option<String>,
    /// Accepted in `PUT`, so that a hook can be sent back as it was read; must be the id of the hook.
    #[schema(read_only)]
    pub(super) id: Option<String>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only)]
    pub(super) surface: Option<String>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only, value_type = Option<Object>)]
    pub(super) state: Option<Members<Box<RawValue>>>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only)]
    pub(super) held: Option<u32>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only)]
    pub(super) created_at: Option<String>,
    /// Accepted in `PUT` and ignored.
    #[schema(read_only)]
    pub(super) updated_at: Option<String>,
}

/// When failed attempts are repeated.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryInput {
    /// The wait before each retry, in seconds: at most 100 entries of 1 to 604,800 (seven days). Empty: no
    /// retries.
    #[schema(value_type = Vec<schemas::Wait>, max_items = 100, example = json!([5, 300, 1800]))]
    schedule_s: Vec<u64>,
}

/// The validated settings of a hook.
#[derive(Debug)]
pub(super) struct HookSettings {
    url: Url,
    subscription: Subscription,
    project: Option<i64>,
    enabled: bool,
    description: String,
    headers: HeaderList,
    masked_headers: Vec<ShortText>,
    pipeline: Pipeline,
    timeout: Duration,
    retry: RetrySchedule,
    signing: Signing,
    options: HookOptions,
}

/// The parts of a hook that the engine assigns.
#[derive(Debug)]
pub(super) struct HookIdentity {
    pub(super) id: HookId,
    pub(super) tenant: TenantId,
    pub(super) secrets: Vec<SigningSecret>,
    pub(super) created_at: UnixMillis,
    pub(super) updated_at: UnixMillis,
}

impl HookSettings {
    /// Builds the hook with these settings.
    pub(super) fn into_hook(self, identity: HookIdentity) -> Hook {
        Hook {
            id: identity.id,
            tenant: identity.tenant,
            origin: Origin::default(),
            url: self.url,
            subscription: self.subscription,
            project: self.project,
            enabled: self.enabled,
            description: self.description,
            headers: self.headers,
            masked_headers: self.masked_headers,
            authorization: None,
            preflight: Pipeline::default(),
            pipeline: self.pipeline,
            timeout: self.timeout,
            retry: self.retry,
            signing: self.signing,
            secrets: identity.secrets,
            options: self.options,
            unreadable: false,
            created_at: identity.created_at,
            updated_at: identity.updated_at,
        }
    }
}

impl HookInput {
    /// Validates all members.
    ///
    /// # Errors
    /// Fails with the first member that breaks a rule.
    pub(super) fn check(self, tenant: TenantId, directory: &Directory) -> Result<HookSettings, Problem> {
        self.check_with(|plugin| directory.plugin(tenant, plugin).is_some())
    }

    /// The members about flow control, which are validated with the hook as a whole.
    pub(super) fn flow(&self) -> FlowInput {
        let (max_in_flight, max_per_second) = (self.max_in_flight, self.max_per_second);
        FlowInput { max_in_flight, max_per_second, batch: self.batch.clone() }
    }

    /// The members about the receiver, which are validated together with the hook's others.
    pub(super) fn receiver(&self) -> ReceiverInput {
        ReceiverInput {
            signature_headers: self.signature_headers.clone(),
            client_certificate: self.client_certificate.clone(),
            ca_certificates: self.ca_certificates.clone(),
            oauth2: self.oauth2.clone(),
            handshake: self.handshake.clone(),
            handshake_rate: self.handshake_rate,
        }
    }

    fn check_with(self, resolves: impl Fn(&PluginRef) -> bool) -> Result<HookSettings, Problem> {
        let at = |member| move |rule| Problem::invalid(Pointer::to(member), rule);
        Ok(HookSettings {
            options: HookOptions {
                ordering: read_ordering(self.ordering.as_deref(), self.ordering_skip_after)?,
                ..read_options(self.paused, self.retain_bodies_s)?
            },
            url: Hook::parse_url(&self.url).map_err(at("url"))?,
            subscription: read_types(&self.types)?,
            project: self.project,
            enabled: self.enabled.unwrap_or(true),
            description: check_description(self.description.unwrap_or_default())
                .map_err(at("description"))?,
            headers: header_list(self.headers.map_or(Ok(Vec::new()), check_headers)?),
            masked_headers: read_masked_headers(&self.masked_headers.unwrap_or_default())?,
            pipeline: read_pipeline(Pointer::to("pipeline"), self.pipeline.unwrap_or_default(), resolves)?,
            timeout: read_timeout(self.timeout_ms).map_err(at("timeout_ms"))?,
            retry: self.retry.map_or(Ok(RetrySchedule::default()), |Object(retry)| read_retry(&retry))?,
            signing: self
                .signing
                .map_or(Ok(Signing::Standard), |text| text.parse())
                .map_err(at("signing"))?,
        })
    }
}

/// Parses the member `secret`.
///
/// # Errors
/// Fails if the text is not a signing secret.
pub(super) fn read_secret(text: &str) -> Result<SigningSecret, Problem> {
    text.parse().map_err(|rule| Problem::invalid(Pointer::to("secret"), rule))
}

fn check_description(text: String) -> Result<String, Invalid> {
    let fits = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    if text.len() > MAX_DESCRIPTION_LEN || !text.chars().all(fits) {
        return Err(Invalid::new("a description has at most 1,000 bytes without control characters"));
    }
    Ok(text)
}

/// Validates the headers of a hook.
///
/// # Errors
/// Fails with the first header that is invalid, reserved for the engine, or duplicated.
pub(in crate::api) fn check_headers(
    Members(headers): Members<String>,
) -> Result<Vec<(String, String)>, Problem> {
    let root = || Pointer::to("headers");
    if headers.len() > Hook::MAX_HEADERS {
        let rule = format!("a hook has at most {} headers", Hook::MAX_HEADERS);
        return Err(Problem::at(Kind::InvalidValue, root(), rule));
    }
    for (index, (name, value)) in headers.iter().enumerate() {
        let here = || root().member(name);
        Hook::check_header(name, value).map_err(|rule| Problem::invalid(here(), rule))?;
        if value.len() > MAX_HEADER_VALUE_LEN {
            let rule = format!("a header's value has at most {MAX_HEADER_VALUE_LEN} bytes");
            return Err(Problem::at(Kind::InvalidValue, here(), rule));
        }
        if headers[..index].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            let rule = format!("duplicate header `{name}`; header names are case-insensitive");
            return Err(Problem::at(Kind::InvalidValue, here(), rule));
        }
    }
    Ok(headers)
}

/// Validates the names of headers and converts them to lower case.
fn read_masked_headers(names: &[String]) -> Result<Vec<ShortText>, Problem> {
    let root = || Pointer::to("masked_headers");
    if names.len() > Hook::MAX_HEADERS {
        let rule = format!("a hook masks at most {} headers", Hook::MAX_HEADERS);
        return Err(Problem::at(Kind::InvalidValue, root(), rule));
    }
    let read = |(index, name): (usize, &String)| {
        let checked = check_header_name(name);
        checked.map(|name| name.as_str().into()).map_err(|rule| Problem::invalid(root().index(index), rule))
    };
    names.iter().enumerate().map(read).collect()
}

fn read_timeout(timeout_ms: Option<u64>) -> Result<Duration, Invalid> {
    let timeout = timeout_ms.map_or(Hook::DEFAULT_TIMEOUT, Duration::from_millis);
    Hook::check_timeout(timeout).map(|()| timeout)
}

fn read_retry(retry: &RetryInput) -> Result<RetrySchedule, Problem> {
    let here = || Pointer::to("retry").member("schedule_s");
    let waits: Vec<_> = retry.schedule_s.iter().copied().map(Duration::from_secs).collect();
    for (index, wait) in waits.iter().enumerate().take(RetrySchedule::MAX_RETRIES) {
        RetrySchedule::new(vec![*wait]).map_err(|rule| Problem::invalid(here().index(index), rule))?;
    }
    RetrySchedule::new(waits).map_err(|rule| Problem::invalid(here(), rule))
}

#[cfg(test)]
mod tests;
