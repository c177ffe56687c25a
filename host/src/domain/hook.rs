//! Hooks: a URL with a subscription, a pipeline, secrets and delivery options.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::attempt::named_enum;
use super::header::{check_header_name, is_reserved_header};
use super::hook_tls::HookTls;
use super::oauth::OAuthClient;
use super::receiver_options::{Handshake, ReceiverOptions, SignatureHeaders};
use super::signing_key::SigningKey;
use super::target_url::{MAX_TARGET_URL_LEN, parse_target_url};
use super::{
    BatchOptions, Disabled, DisabledWhy, Event, EventType, Flow, HeaderList, HookId, HookOptions, Invalid,
    OrderingKey, OrderingScope, Origin, Pipeline, Rate, SecretText, ShortText, SigningSecret, Step,
    Subscription, TenantId, UnixMillis,
};

/// A receiver of a tenant's events.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its id.
    pub id: HookId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The API that created it.
    pub origin: Origin,
    /// Target of its requests: an absolute `http` or `https` URL.
    pub url: Url,
    /// The event types that it receives.
    pub subscription: Subscription,
    /// If set, it receives only events of this project.
    pub project: Option<i64>,
    /// Whether events are matched and deliveries attempted. Deliveries of a disabled hook are kept.
    pub enabled: bool,
    /// Free text for people.
    pub description: String,
    /// Headers that are added to every request before the pipeline runs.
    pub headers: HeaderList,
    /// Names of request headers whose values are masked in attempts, besides names that imply a secret.
    pub masked_headers: Vec<ShortText>,
    /// A write-only `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Plugins that write a preflight request before each attempt; empty: no preflight. The response must have the
    /// status 200 and is passed to the pipeline.
    pub preflight: Pipeline,
    /// Plugins that write its requests.
    pub pipeline: Pipeline,
    /// Timeout of an attempt, from connecting to the last byte of the response's body.
    pub timeout: Duration,
    /// When failed attempts are retried.
    pub retry: RetrySchedule,
    /// How requests are signed.
    pub signing: Signing,
    /// The current secret, then previous ones that still sign too.
    pub secrets: Vec<SigningSecret>,
    /// Options that most hooks leave at their defaults.
    pub options: HookOptions,
    /// Whether its encrypted values cannot be decrypted: URL, headers, settings and secrets are missing. Events are
    /// still matched, and its deliveries wait on disk until the hook is replaced as a whole. Not stored.
    pub unreadable: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

impl Hook {
    /// Default timeout. Standard Webhooks recommends 15 to 30 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
    /// Minimum timeout.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(100);
    /// Maximum timeout.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
    /// Maximum length of a URL, in bytes.
    pub const MAX_URL_LEN: usize = MAX_TARGET_URL_LEN;
    /// Maximum number of headers.
    pub const MAX_HEADERS: usize = 50;

    /// URL of a hook that a compatibility API created without one. Such a hook is disabled, and names under `.invalid`
    /// never resolve (RFC 6761, section 6.4).
    pub const PLACEHOLDER_URL: &str = "https://endpoint.invalid/";

    /// Message for an [unreadable](Self::unreadable) hook.
    pub const UNREADABLE: &str = "the hook's stored URL, headers, settings and secrets cannot be decrypted: replace the hook \
        as a whole (PUT), after which it signs with a new secret, or have the operator start the engine with the key that \
        they were encrypted with";

    /// Parses a hook's URL.
    ///
    /// # Errors
    /// If `text` is not an absolute `http` or `https` URL with a host, has a user name or a fragment, or is too long.
    pub fn parse_url(text: &str) -> Result<Url, Invalid> {
        parse_target_url("a hook's URL", text)
    }

    /// Checks a timeout.
    ///
    /// # Errors
    /// If `timeout` is not from 100 ms to 60 s.
    pub fn check_timeout(timeout: Duration) -> Result<(), Invalid> {
        if (Self::MIN_TIMEOUT..=Self::MAX_TIMEOUT).contains(&timeout) {
            return Ok(());
        }
        Err(Invalid::new("a timeout must be from 100 ms to 60,000 ms"))
    }

    /// Whether its deliveries may be attempted, as far as the hook decides.
    #[must_use]
    pub fn is_sent_to(&self) -> bool {
        self.enabled && !self.unreadable && !self.options.paused && !self.awaits_permission()
    }

    /// Among which of its deliveries it keeps an order.
    #[must_use]
    pub fn ordering(&self) -> Option<OrderingScope> {
        self.options.ordering.map(|ordering| ordering.scope)
    }

    /// The key under which a delivery of `event` is in order; `None` if it is in none.
    #[must_use]
    pub fn ordering_key(&self, event: &Event) -> Option<OrderingKey> {
        self.ordering()?.key_of(event.ordering_key.as_ref())
    }

    /// Whether deliveries do not wait any more for one before them that has failed so often.
    #[must_use]
    pub fn skips_in_order(&self, failures: u32) -> bool {
        let skip_after = self.options.ordering.and_then(|ordering| ordering.skip_after);
        skip_after.is_some_and(|most| failures >= most)
    }

    /// Value of the `Authorization` header that is added when a request is sent.
    #[must_use]
    pub fn secret_authorization(&self) -> Option<&SecretText> {
        self.authorization.as_ref().filter(|authorization| authorization.enabled).map(|it| &it.value)
    }

    /// Whether it receives events of `project`.
    #[must_use]
    pub fn wants_project(&self, project: Option<i64>) -> bool {
        self.project.is_none() || self.project == project
    }

    /// Whether it receives events of this type and project while it is enabled.
    #[must_use]
    pub fn wants(&self, event_type: &EventType, project: Option<i64>) -> bool {
        self.subscription.selects(event_type) && self.wants_project(project)
    }

    /// Sets since when the hook is paused and disabled, and why, after a change of `before` at `now`; a new hook has no
    /// `before`.
    pub fn note_stops(&mut self, before: Option<&Self>, now: UnixMillis) {
        let options = &mut self.options;
        options.paused_since = match (options.paused, before) {
            (false, _) => None,
            (true, Some(before)) if before.options.paused => before.options.paused_since,
            (true, _) => Some(now),
        };
        options.disabled = match (self.enabled, before) {
            (true, _) => None,
            (false, Some(before)) if !before.enabled => before.options.disabled,
            // The engine has said why it disables the hook; for a change by hand nothing is said.
            (false, Some(before)) if options.disabled != before.options.disabled => options.disabled,
            (false, _) => Some(Disabled { why: DisabledWhy::ByHand, since: now }),
        };
    }

    /// All steps of its pipelines, also of those that do not run for each event.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        self.pipeline.0.iter().chain(&self.options.batch_pipeline.0).chain(&self.preflight.0)
    }

    /// How its events are sent together, if they are.
    #[must_use]
    pub fn batch(&self) -> Option<&BatchOptions> {
        self.options.flow.as_ref()?.batch.as_ref()
    }

    /// What its receiver needs beyond a signed request.
    #[must_use]
    pub fn receiver(&self) -> Option<&ReceiverOptions> {
        self.options.receiver.as_deref()
    }

    /// Certificates of its own.
    #[must_use]
    pub fn tls(&self) -> Option<&HookTls> {
        self.receiver()?.tls.as_ref()
    }

    /// How it gets access tokens.
    #[must_use]
    pub fn oauth(&self) -> Option<&OAuthClient> {
        self.receiver()?.oauth.as_ref()
    }

    /// The handshake that its receiver must have answered.
    #[must_use]
    pub fn handshake(&self) -> Option<&Handshake> {
        self.receiver()?.handshake.as_ref()
    }

    /// Its flow control, with the rate that its receiver allows in a handshake.
    #[must_use]
    pub fn flow(&self) -> Option<Arc<Flow>> {
        let own = self.options.flow.as_ref();
        let allowed = self.handshake().and_then(|handshake| handshake.allowed_rate).map(Rate::per_minute);
        let Some(allowed) = allowed else { return own.cloned() };
        let mut flow = own.map(|flow| Flow::clone(flow)).unwrap_or_default();
        flow.max_per_second = Some(flow.max_per_second.map_or(allowed, |rate| rate.min(allowed)));
        Some(Arc::new(flow))
    }

    /// Whether its receiver must allow requests first.
    #[must_use]
    pub fn awaits_permission(&self) -> bool {
        self.handshake().is_some_and(|handshake| !handshake.is_allowed())
    }

    /// The names of the signature's headers, if not those of Standard Webhooks.
    #[must_use]
    pub fn signature_headers(&self) -> Option<&SignatureHeaders> {
        self.receiver()?.signature_headers.as_ref()
    }

    /// The key pairs of `v1a` signatures.
    #[must_use]
    pub fn signing_keys(&self) -> &[SigningKey] {
        self.receiver().map_or(&[], |receiver| &receiver.signing_keys)
    }

    /// Whether requests are signed with a key pair.
    #[must_use]
    pub fn signs_asymmetrically(&self) -> bool {
        matches!(self.signing, Signing::Ed25519 | Signing::Both)
    }

    /// Whether `url` has the origin of the hook's URL, so that the hook's credentials may go there.
    #[must_use]
    pub fn has_origin_of(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| url.origin() == self.url.origin())
    }

    /// Checks a header.
    ///
    /// # Errors
    /// If the header cannot be sent, or the engine sets it itself.
    pub fn check_header(name: &str, value: &str) -> Result<(), Invalid> {
        let parsed = check_header_name(name)?;
        if http::HeaderValue::from_str(value).is_err() {
            return Err(Invalid::new(format!(
                "the value of the header `{name}` has characters that are not allowed"
            )));
        }
        if is_reserved_header(parsed.as_str()) {
            return Err(Invalid::new(format!(
                "the header `{name}` is set by the engine and cannot be changed"
            )));
        }
        Ok(())
    }
}

/// The `Authorization` header of a hook's requests. It is added when a request is sent, so plugins do not see it and
/// attempts do not record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The header's value.
    pub value: SecretText,
    /// Whether it is sent.
    pub enabled: bool,
}

named_enum! {
    /// How a hook's requests are signed.
    Signing {
        /// Standard Webhooks 1.0 with a shared secret (`v1`): `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        Standard = "standard",
        /// The same with a key pair (`v1a`).
        Ed25519 = "ed25519",
        /// The same with both.
        Both = "both",
        /// No signature.
        None = "none",
    }
}

/// The delays before the retries of a failed attempt, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// Maximum number of retries.
    pub const MAX_RETRIES: usize = 100;
    /// Number of attempts after which a delivery can no longer be retried by hand. All attempts are stored and shown
    /// together.
    pub const MAX_ATTEMPTS_FOR_MANUAL_RETRY: u32 = 200;
    /// Longest delay between two attempts.
    pub const MAX_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

    /// Creates a schedule.
    ///
    /// # Errors
    /// If there are more than 100 delays, or one is zero or longer than seven days.
    pub fn new(waits: Vec<Duration>) -> Result<Self, Invalid> {
        if waits.len() > Self::MAX_RETRIES {
            return Err(Invalid::new("a retry schedule must have at most 100 retries"));
        }
        if waits.iter().any(|wait| wait.is_zero() || *wait > Self::MAX_WAIT) {
            return Err(Invalid::new(
                "the delay before a retry must be from 1 to 604,800 seconds (seven days)",
            ));
        }
        Ok(Self(waits))
    }

    /// Returns the delay after this number of consecutive failures, or `None` if no retry is left.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Option<Duration> {
        self.0.get(failures.checked_sub(1)? as usize).copied()
    }

    /// The delays.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }
}

impl Default for RetrySchedule {
    /// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h: the schedule that Standard Webhooks suggests, over three
    /// days.
    fn default() -> Self {
        Self([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(Duration::from_secs).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::{self, NOW};

    #[test]
    fn a_hook_knows_since_when_and_why_it_sends_nothing() {
        let later = UnixMillis(NOW.0 + 5);
        let well = testing::hook("https://example.com/");
        let mut off = Hook { enabled: false, ..well.clone() };
        off.options.paused = true;
        off.note_stops(Some(&well), NOW);
        let by_hand = Disabled { why: DisabledWhy::ByHand, since: NOW };
        assert_eq!((off.options.paused_since, off.options.disabled), (Some(NOW), Some(by_hand)));
        let mut still_off = off.clone();
        still_off.note_stops(Some(&off), later);
        assert_eq!(still_off, off);
        let mut on = Hook { enabled: true, ..off.clone() };
        on.options.paused = false;
        on.note_stops(Some(&off), later);
        assert_eq!(on.options, HookOptions::default());
        let gone = Disabled { why: DisabledWhy::Gone, since: later };
        let mut disabled = Hook { enabled: false, ..well.clone() };
        disabled.options.disabled = Some(gone);
        disabled.note_stops(Some(&well), NOW);
        assert_eq!(disabled.options.disabled, Some(gone));
    }
}
