//! The view of a hook. It never contains signing secrets.

use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::batch::BatchView;
use super::flow::rate_number;
use super::receiver::{
    CLOUDEVENTS, ClientCertificateView, HandshakeResultView, OAuthView, SignatureHeadersView,
};
use super::state::StateView;
use super::steps::HookStepView;
use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::v3::report::Headers;
use crate::domain::hook_tls::HookTls;
use crate::domain::{Hook, OrderingScope};
use crate::services::HookState;

/// A hook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Hook)]
pub(in crate::api::v3) struct HookView {
    #[schema(value_type = schemas::HookId)]
    id: String,
    /// The API through which the hook was created and can be changed: `v3`, `project-web-hook`, `apizee` or
    /// `webitel`.
    #[schema(value_type = schemas::Surface)]
    surface: &'static str,
    /// The URL to which requests go.
    url: String,
    #[schema(value_type = Vec<schemas::TypePattern>)]
    types: Vec<String>,
    /// The project to which the hook is limited; null if it gets events of all projects and of none.
    #[schema(value_type = Option<schemas::ProjectNumber>)]
    project: Option<i64>,
    /// Whether the hook gets deliveries of new events and its deliveries are attempted.
    enabled: bool,
    /// A description for people.
    description: String,
    /// Headers that are added to every request before the pipeline runs.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    /// The names of further request headers whose values are masked in attempts.
    masked_headers: Vec<String>,
    /// The plugins that shape the requests, in order.
    pipeline: Vec<HookStepView>,
    /// The time limit for one attempt as a whole, in milliseconds.
    timeout_ms: u64,
    /// When failed attempts are repeated.
    retry: RetryView,
    /// How requests are signed by Standard Webhooks: `standard` with a shared secret (`v1`), `ed25519` with a key pair
    /// (`v1a`), `both`, or `none`.
    #[schema(value_type = schemas::Signing)]
    signing: &'static str,
    /// Whether deliveries are held: events are accepted and matched, and nothing is sent.
    paused: bool,
    /// The most requests that the receiver gets at a time; absent if only the engine's limit holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::MaxInFlight)]
    max_in_flight: Option<u32>,
    /// The most requests that the receiver gets in a second; absent if there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::MaxPerSecond)]
    max_per_second: Option<Number>,
    /// In which order deliveries are sent: those of events with the same `ordering_key` one after the other
    /// (`key`), or all of the hook (`hook`); absent if in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::Ordering)]
    ordering: Option<&'static str>,
    /// After so many failed attempts, those behind a delivery do not wait for it any more; absent if they wait
    /// until it is final.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::OrderingSkipAfter)]
    ordering_skip_after: Option<u32>,
    /// How long the bodies of requests are kept, in seconds; absent if they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::Retention)]
    retain_bodies_s: Option<u64>,
    /// Several events in one request; absent if each event has a request of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = BatchView)]
    batch: Option<BatchView>,
    /// The names of the signature's headers; absent if they are those of Standard Webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = SignatureHeadersView)]
    signature_headers: Option<SignatureHeadersView>,
    /// A certificate that the engine shows to the receiver; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = ClientCertificateView)]
    client_certificate: Option<ClientCertificateView>,
    /// The certificates that are trusted for this receiver, in PEM; absent if they are the public authorities'.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    ca_certificates: Option<String>,
    /// How the hook gets access tokens; absent if it needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = OAuthView)]
    oauth2: Option<OAuthView>,
    /// The handshake by which the receiver must allow deliveries; absent if it need not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = schemas::HandshakeKind)]
    handshake: Option<&'static str>,
    /// The rate that the handshake asks for, in requests per minute; absent if it asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    handshake_rate: Option<u32>,
    /// What has come of the handshake; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = HandshakeResultView)]
    handshake_result: Option<HandshakeResultView>,
    /// What has become of its last attempts, or why nothing is sent.
    state: StateView,
    /// How many deliveries wait, up to 10,000. Only in the response for a single hook that is paused or
    /// disabled, whose circuit is open, or that keeps an order or has a limit (`max_per_second`, `max_in_flight`, or
    /// its tenant's).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    held: Option<u32>,
    /// True if the encrypted settings of the hook cannot be decrypted: the view then lacks its URL, headers
    /// and plugin settings, and its deliveries wait. Replace the hook with `PUT`, or delete it. Absent
    /// otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    unreadable: bool,
    created_at: Time,
    updated_at: Time,
}

/// When failed attempts are repeated.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Retry)]
pub(super) struct RetryView {
    /// The wait before each retry, in seconds.
    schedule_s: Vec<u64>,
}

impl HookView {
    /// The view with the number of deliveries that are held.
    pub(super) fn with_held(self, held: Option<u32>) -> Self {
        Self { held, ..self }
    }

    /// The view of a hook in this state.
    pub(in crate::api::v3) fn new(hook: &Hook, state: HookState) -> Self {
        let flow = hook.options.flow.as_deref();
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
            pipeline: hook.pipeline.0.iter().map(HookStepView::from).collect(),
            timeout_ms: u64::try_from(hook.timeout.as_millis()).unwrap_or(u64::MAX),
            retry: RetryView {
                schedule_s: hook.retry.waits().iter().map(std::time::Duration::as_secs).collect(),
            },
            signing: hook.signing.as_str(),
            paused: hook.options.paused,
            max_in_flight: flow.and_then(|flow| flow.max_in_flight),
            max_per_second: flow.and_then(|flow| flow.max_per_second).and_then(rate_number),
            ordering: hook.ordering().map(OrderingScope::as_str),
            ordering_skip_after: hook.options.ordering.and_then(|ordering| ordering.skip_after),
            retain_bodies_s: Some(hook.options.retain_bodies.as_secs()).filter(|seconds| *seconds > 0),
            batch: BatchView::of(hook),
            signature_headers: hook.signature_headers().map(SignatureHeadersView::from),
            client_certificate: hook.tls().and_then(HookTls::client).map(ClientCertificateView::from),
            ca_certificates: hook.tls().and_then(HookTls::authorities).map(|it| it.pem().to_owned()),
            oauth2: hook.oauth().map(OAuthView::from),
            handshake: hook.handshake().map(|_| CLOUDEVENTS),
            handshake_rate: hook.handshake().and_then(|handshake| handshake.requested_rate),
            handshake_result: hook.handshake().map(HandshakeResultView::from),
            state: state.into(),
            held: None,
            unreadable: hook.unreadable,
            created_at: Time(hook.created_at),
            updated_at: Time(hook.updated_at),
        }
    }
}
