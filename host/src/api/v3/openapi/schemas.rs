//! Schemas of values that requests and responses share, used only for the OpenAPI document.
//!
//! Handlers use them as the `value_type` of a member. Bounds and enumerations come from constants of the
//! domain. JSON Schema counts characters and the engine mostly counts bytes, so a text that exceeds a schema
//! also exceeds the engine's limit.

use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::api::page;
use crate::api::v3::deliveries::Include;
use crate::api::v3::hooks::NO_ORDERING;
use crate::domain::attempt::{FaultKind as Faults, LogLevel as Levels, UnreachableKind};
use crate::domain::header::MAX_HEADER_NAME_LEN;
use crate::domain::hook_tls::{Certificates as Pem, ClientCertificate};
use crate::domain::kept_body::KeptBody;
use crate::domain::oauth::{OAuthAuthentication as OAuthAuthentications, OAuthClient};
use crate::domain::receiver_options::{Handshake, HandshakeState as HandshakeStates, SignatureHeaders};
use crate::domain::{
    ActorKind as ActorKinds, ApiKey as KeyRecord, AttemptId as Attempt, AuditId as Audit,
    BatchFormat as BatchFormats, BatchOptions, DeliveryId as Delivery, DeliveryState as States,
    DisabledWhy as Whys, EventId as Event, EventKey as Key, EventType as Types, Hook, HookId as HookKey,
    HookOrdering, JobId as JobKey, JobRate as JobRates, JobState as JobStates, JobWork, KeyId as ApiKey,
    Login, OperatorKeyId as OperatorKey, OperatorRole as OperatorRoles, OrderingKey as OrderingKeys,
    OrderingScope, Rate, Retention as Retentions, RetrySchedule, Role as Roles, Scope as Scopes,
    Signing as Signings, Surface as Surfaces, Tenant, TenantId as TenantKey, Trigger as Triggers,
};
use crate::services::{CANCELLABLE, HookState, MatchReason as MatchReasons, REPLAYABLE, RETRYABLE};

/// The digits of an id after its prefix: Crockford's base 32 in lower case.
const ID_DIGITS: &str = "[0-9a-hjkmnp-tv-z]{13}";
/// The character class of white space and control characters.
const NO_SPACE: &str = r"\s\u0000-\u001f\u007f-\u009f";
/// The character class of control characters.
const NO_CONTROL: &str = r"\u0000-\u001f\u007f-\u009f";

/// Defines types that exist only as schemas.
macro_rules! schemas {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub(in crate::api) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let description = concat!($($doc),+).trim();
                    $schema.description(Some(description)).into()
                }
            }

            impl ToSchema for $name {}
        )+
    };
}

schemas! {
    /// The type of an event: 1 to 256 bytes without white space, control characters, commas or `*`.
    EventType = text(1, Types::MAX_LEN, &format!("^[^{NO_SPACE}*,]+$")).examples(["session.update"]);
    /// A pattern of a subscription: an event type, a prefix followed by `*`, or `*` for all types.
    TypePattern = text(1, Types::MAX_LEN + 1, &format!(r"^([^{NO_SPACE}*,]+\*?|\*)$")).examples(["session.*"]);
    /// The id of an event that receivers see as `webhook-id`: the sender's if it gave one, else the engine's.
    EventId = text(1, Event::MAX_LEN, "^[A-Za-z0-9._:-]+$").examples(["gh-40"]);
    /// A sender's id of an event. The prefix `evt_` is reserved for the engine's ids.
    SenderEventId = text(1, Event::MAX_LEN, "^(?!evt_)[A-Za-z0-9._:-]+$").examples(["gh-40"]);
    /// The engine's id of an event, which every event has.
    EngineEventId = id(Key::PREFIX);
    /// By which deliveries of a hook are kept in order: 1 to 128 bytes without control characters.
    OrderingKey = text(1, OrderingKeys::MAX_LEN, &format!("^[^{NO_CONTROL}]+$")).examples(["customer-17"]);
    /// In which order deliveries of a hook are sent.
    Ordering = words(&[&[NO_ORDERING], OrderingScope::NAMES].concat());
    /// A number of failed attempts.
    OrderingSkipAfter = whole(1, HookOrdering::MAX_SKIP_AFTER as usize).examples([5]);
    /// A key that identifies retries of the same request: 1 to 255 visible ASCII characters.
    IdempotencyKey = text(1, 255, "^[!-~]+$").examples(["9b2d7c1e"]);
    /// Events as NDJSON: one `EventInput` per line.
    EventLines = ObjectBuilder::new().schema_type(Type::String)
        .examples(["{\"type\":\"a.b\",\"data\":1}\n{\"type\":\"a.b\",\"data\":2}\n"]);
    /// What belongs to a tenant as NDJSON: one object with one member per line.
    ExportLines = ObjectBuilder::new().schema_type(Type::String);
    /// Server-sent events; the data of those called `delivery` is a `DeliveryChange`.
    EventStream = ObjectBuilder::new().schema_type(Type::String);
    /// Events as NDJSON, as bytes.
    EventLinesBinary = ObjectBuilder::new().schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));
    /// The id of a hook.
    HookId = id(HookKey::PREFIX);
    /// The id of a delivery.
    DeliveryId = id(Delivery::PREFIX);
    /// The id of an attempt.
    AttemptId = id(Attempt::PREFIX);
    /// The id of a tenant.
    TenantId = id(TenantKey::PREFIX);
    /// A limit of a tenant, or how much it uses of one. Each limit has bounds of its own.
    LimitValue = ObjectBuilder::new().schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64))).minimum(Some(0)).examples([1_000]);
    /// For how long data is kept, in seconds: up to a hundred years.
    RetentionSeconds = ObjectBuilder::new().schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(Retentions::MIN.as_secs() as usize)).maximum(Some(Retentions::MAX.as_secs() as usize))
        .examples([2_592_000]);
    /// How far a deletion is.
    DeletionState = words(&["running", "completed"]);
    /// The id of an API key. It is not the key's value.
    KeyId = id(ApiKey::PREFIX);
    /// The id of an operator's key. It is not the key's value.
    OperatorKeyId = id(OperatorKey::PREFIX);
    /// The id of an entry of the audit log.
    AuditId = id(Audit::PREFIX);

    /// The name of a plugin: 1 to 64 characters of `a-z 0-9 - _ .`, beginning with a letter or digit.
    PluginName = text(1, 64, "^[a-z0-9][a-z0-9._-]*$").examples(["my-filter"]);
    /// A reference to a plugin: `name` for its newest version, `name@3` for that version, or `sha256:…` for
    /// the version with that digest.
    PluginRef = text(1, 75, r"^(sha256:[0-9a-f]{64}|[a-z0-9][a-z0-9._-]{0,63}(@0*[1-9][0-9]{0,9})?)$")
        .examples(["field-map"]);
    /// The SHA-256 digest of a plugin's bytes.
    Digest = text(71, 71, "^sha256:[0-9a-f]{64}$");
    /// The number of a plugin's version, counted from 1.
    VersionNumber = whole(1, u32::MAX as usize).examples([3]);
    /// A WebAssembly component, or a core module that embeds its component type.
    Wasm = ObjectBuilder::new().schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)));

    /// The URL to which requests go: absolute, `https` or `http`, without credentials or fragment.
    HookUrl = text(1, Hook::MAX_URL_LEN, r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s/\\#][^\s#]*$")
        .examples(["https://example.com/hook"]);
    /// The name of a header.
    HeaderName = text(1, MAX_HEADER_NAME_LEN, "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$").examples(["x-customer"]);
    /// Headers by name.
    HeaderFields = ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(Hook::MAX_HEADERS))
        .property_names(Some(text(1, MAX_HEADER_NAME_LEN, "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")))
        .additional_properties(Some(text(0, 4_096, r"^[^\u0000-\u0008\u000a-\u001f\u007f]*$")));
    /// The members of a hook to change. `null` resets a member to its default.
    HookPatch = ObjectBuilder::new().schema_type(Type::Object);
    /// A signing secret of Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.
    SigningSecret = text(38, 94, "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$").examples(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    /// A private key of Standard Webhooks: `whsk_` and an Ed25519 key of 32 or 64 bytes in base64.
    SigningKey = text(49, 93, "^whsk_[A-Za-z0-9+/]{43,86}={0,2}$");
    /// The name of a header of the signature.
    SignatureHeaderName = text(1, SignatureHeaders::MAX_NAME_LEN, "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$");
    /// Certificates in PEM.
    Certificates = text(1, Pem::MAX_LEN, "-----BEGIN CERTIFICATE-----");
    /// A private key in PEM, unencrypted.
    PrivateKey = text(1, ClientCertificate::MAX_KEY_LEN, "");
    /// An id, a secret or a parameter's value: 1 to 1,024 bytes without control characters.
    OAuthText = text(1, OAuthClient::MAX_TEXT_LEN, &format!("^[^{NO_CONTROL}]+$"));
    /// A scope (RFC 6749, section 3.3).
    OAuthScope = text(1, 256, r"^[!#-\[\]-~]+$");
    /// Parameters of a request for a token, by name.
    OAuthParameters = ObjectBuilder::new()
        .schema_type(Type::Object)
        .max_properties(Some(OAuthClient::MAX_PARAMETERS))
        .additional_properties(Some(text(1, OAuthClient::MAX_TEXT_LEN, &format!("^[^{NO_CONTROL}]+$"))));
    /// Where a request for a token has the client's id and secret.
    OAuthAuthentication = words(OAuthAuthentications::NAMES);
    /// The handshake by which a receiver allows deliveries.
    HandshakeKind = words(&["cloudevents", "none"]);
    /// What has come of a handshake.
    HandshakeState = words(HandshakeStates::NAMES);
    /// The rate that a handshake asks for, in requests per minute.
    HandshakeRate = whole(1, Handshake::MAX_RATE as usize).examples([600]);
    /// The most requests in flight to the receiver of one hook.
    MaxInFlight = whole(1, 65_536).examples([4]);
    /// The most requests in a second, rounded to millionths.
    MaxPerSecond = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(Rate::MIN)).maximum(Some(Rate::MAX)).examples([50]);
    /// The time limit for one attempt as a whole, in milliseconds.
    Timeout = whole(Hook::MIN_TIMEOUT.as_millis() as usize, Hook::MAX_TIMEOUT.as_millis() as usize);
    /// How long the bodies of requests are kept, in seconds.
    Retention = whole(0, KeptBody::MAX_RETENTION.as_secs() as usize).examples([86_400]);
    /// How many events a request has at most.
    BatchEvents = whole(BatchOptions::MIN_EVENTS, BatchOptions::MAX_EVENTS).examples([100]);
    /// How long an event waits for others at most, in milliseconds.
    BatchWait = whole(0, BatchOptions::MAX_WAIT.as_millis() as usize).examples([1_000]);
    /// What a request with several events is: a JSON array, or a batch of CloudEvents.
    BatchFormat = words(BatchFormats::NAMES);
    /// The wait before a retry, in seconds.
    Wait = whole(1, RetrySchedule::MAX_WAIT.as_secs() as usize);

    /// A display name.
    Label = text(1, 128, &format!("^[^{NO_CONTROL}]+$"));
    /// A description for people.
    Description = text(0, 1_000, r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$");
    /// The name of a tenant; often a domain.
    TenantName = text(1, Tenant::MAX_NAME_LEN, &format!("^[^{NO_SPACE}]+$")).examples(["shop.example"]);
    /// The number by which clients of API v1 know a tenant.
    ClientId = number().examples([19_817_472]);
    /// The number of a project, unique within its tenant.
    ProjectNumber = number().examples([1_249_918]);
    /// The name of a login.
    LoginName = text(1, Login::MAX_NAME_LEN, &format!("^[^:;{NO_CONTROL}]+$")).examples(["username"]);
    /// The API secret from which the passwords of a login are derived.
    LoginSecret = text(Login::MIN_SECRET_LEN, Login::MAX_SECRET_LEN, "").examples(["some-api-secret"]);
    /// The settings of a plugin, at most 256 KiB of JSON.
    PluginSettings = ObjectBuilder::new().schema_type(Type::Object).additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));

    /// The maximum number of items on the page.
    Limit = whole(1, page::MAX_LIMIT).default(Some(page::DEFAULT_LIMIT.into()));
    /// The `next` of the previous page, unchanged.
    Cursor = text(1, 1_024, "^[A-Za-z0-9_-]+$");
    /// A time with an offset (RFC 3339, section 5.6), from 1970 to 9999.
    TimeInput = text(20, 35, "").format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
        .examples(["2026-06-01T09:30:00.250Z"]);

    /// The state of a delivery.
    DeliveryState = words(States::NAMES);
    /// What created a delivery.
    Trigger = words(Triggers::NAMES);
    /// Why a hook does not get an event.
    MatchReason = words(MatchReasons::NAMES);
    /// One or several states of deliveries, separated by commas.
    DeliveryStates = text(1, 128, &format!("^({0})(,({0}))*$", States::NAMES.join("|"))).examples(["waiting,exhausted"]);
    /// What a list of deliveries shows besides their own members.
    DeliveryInclude = words(&Include::NAMES);
    /// The API through which a hook was created and can be changed.
    Surface = words(Surfaces::NAMES);
    /// How requests are signed by Standard Webhooks: with a shared secret (`v1`), a key pair (`v1a`), both, or neither.
    Signing = words(Signings::NAMES);
    /// How an attempt ended.
    Outcome = words(&["response", "timed-out", "unreachable", "faulted", "dropped"]);
    /// Why there was no response, or an incomplete one.
    ErrorKind = words(&[&["timeout"], UnreachableKind::NAMES].concat());
    /// How a plugin failed.
    FaultKind = words(Faults::NAMES);
    /// The level of a line in a plugin's log.
    LogLevel = words(Levels::NAMES);
    /// The role of a plugin in a pipeline.
    Role = words(&Roles::ALL.map(Roles::as_str));
    /// A permission of a key.
    Scope = words(&Scopes::ALL.iter().map(|scope| scope.as_str()).collect::<Vec<_>>());
    /// What an operator's key allows.
    OperatorRole = words(OperatorRoles::NAMES);
    /// In how many seconds a replaced key expires.
    OldExpiresIn = whole(0, KeyRecord::MAX_OVERLAP.as_secs() as usize).examples([86_400]);
    /// What identified the sender of a change.
    ActorType = words(ActorKinds::NAMES);
    /// What entries of the audit log are searched by.
    AuditText = text(1, 256, "").examples(["hook"]);
    /// The state of a hook.
    HookStateName = words(&["ok", "failing", "circuit_open", "awaiting_permission", "paused", "disabled"]);
    /// One or several states of hooks that are not in order, separated by commas.
    UnwellStates = text(1, 64, &format!("^({0})(,({0}))*$", HookState::UNWELL.join("|"))).examples(["failing,circuit_open"]);
    /// What is paused.
    Paused = words(&["hook", "tenant", "engine"]);
    /// Why a hook is disabled.
    DisabledWhy = words(Whys::NAMES);
    /// The id of a job.
    JobId = id(JobKey::PREFIX);
    /// What a job does.
    JobKind = words(JobWork::KINDS);
    /// The state of a job.
    JobState = words(JobStates::NAMES);
    /// The state of a delivery that can be retried in bulk.
    RetryableState = words(&RETRYABLE.map(States::as_str));
    /// The state of a delivery that can be cancelled in bulk.
    CancellableState = words(&CANCELLABLE.map(States::as_str));
    /// A final state of a delivery.
    FinalState = words(&REPLAYABLE.map(States::as_str));
    /// How many deliveries a job makes due in a second, at most.
    JobRate = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(JobRates::MIN)).maximum(Some(JobRates::MAX)).examples([50]);
    /// A part of a request.
    RequestPart = words(&["method", "url", "headers", "body"]);
    /// The verdict of a pipeline on an event.
    Verdict = words(&["keep", "drop", "fault"]);
}

fn text(min: usize, max: usize, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length((min > 0).then_some(min))
        .max_length(Some(max))
        .pattern((!pattern.is_empty()).then_some(pattern))
}

fn id(prefix: &str) -> ObjectBuilder {
    let len = prefix.len() + 13;
    text(len, len, &format!("^{prefix}{ID_DIGITS}$")).examples([format!("{prefix}01m8rz4g3k2v7")])
}

fn whole(min: usize, max: usize) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max))
}

/// A 64-bit integer from 1.
fn number() -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(1_usize))
}

fn words(words: &[&str]) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words.iter().copied()))
}
