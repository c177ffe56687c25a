//! Hooks: a URL with a subscription, a pipeline, secrets and a policy.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use url::Url;

use super::attempt::words;
use super::{
    HeaderList, HookId, Invalid, Origin, Pipeline, SecretText, ShortText, SigningSecret, Subscription,
    TenantId, UnixMillis,
};

/// Where a tenant's events go, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its id.
    pub id: HookId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Which interface it was made through.
    pub origin: Origin,
    /// Where requests go: absolute, `http` or `https`.
    pub url: Url,
    /// Which event types it wants.
    pub subscription: Subscription,
    /// The numbered project whose events alone it wants, if any.
    pub project: Option<i64>,
    /// Whether events are matched and deliveries attempted. Deliveries of a disabled hook are kept.
    pub enabled: bool,
    /// For people.
    pub description: String,
    /// Added to every request before the pipeline runs.
    pub headers: HeaderList,
    /// Names of headers of its requests whose values attempts do not show, besides those that carry secrets by their name.
    pub masked_headers: Vec<ShortText>,
    /// A header whose value nobody can read again.
    pub authorization: Option<Authorization>,
    /// The plugins that write a request which goes before each attempt's own; empty: there is none. It must be
    /// answered with 200, and the pipeline is shown the answer.
    pub preflight: Pipeline,
    /// The plugins that shape its requests.
    pub pipeline: Pipeline,
    /// For one attempt as a whole, from connecting to the last byte of the answer's body.
    pub timeout: Duration,
    /// When failed attempts are made again.
    pub retry: RetrySchedule,
    /// How requests are signed.
    pub signing: Signing,
    /// The current secret first, then those that still sign beside it.
    pub secrets: Vec<SigningSecret>,
    /// Whether what is stored encrypted of it cannot be decrypted: URL, headers, settings and secrets are missing. Events
    /// are matched still, and its deliveries wait on disk until it is replaced as a whole. Never stored.
    pub unreadable: bool,
    /// When it was created.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

impl Hook {
    /// The timeout where none is given. Standard Webhooks recommends 15 to 30 seconds.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);
    /// The shortest timeout.
    pub const MIN_TIMEOUT: Duration = Duration::from_millis(100);
    /// The longest timeout.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(60);
    /// The greatest length of a URL, in bytes.
    pub const MAX_URL_LEN: usize = 2048;
    /// The greatest length of a header's name, in bytes.
    pub const MAX_HEADER_NAME_LEN: usize = 256;
    /// The greatest number of headers.
    pub const MAX_HEADERS: usize = 50;

    /// The URL of a hook that other systems let be made without one. It is disabled, and no name resolves under
    /// `.invalid` (RFC 6761, section 6.4).
    pub const NOWHERE: &str = "https://endpoint.invalid/";

    /// Why an [unreadable](Self::unreadable) hook is not used.
    pub const UNREADABLE: &str = "the hook's stored URL, headers, settings and secrets cannot be decrypted: replace the hook \
        as a whole (PUT), after which it signs with a new secret, or have the operator start the engine with the key that \
        they were encrypted with";

    /// # Errors
    /// Where `text` is no absolute `http` or `https` URL with a host, has a user name or a fragment, or is too long.
    pub fn parse_url(text: &str) -> Result<Url, Invalid> {
        let too_long = |text: &str| text.len() > Self::MAX_URL_LEN;
        let rule = || Invalid::new("a hook's URL has at most 2,048 bytes, with what must be escaped in it");
        if too_long(text) {
            return Err(rule());
        }
        let url = Url::parse(text).map_err(|error| Invalid::new(format!("not an absolute URL: {error}")))?;
        if too_long(url.as_str()) {
            return Err(rule());
        }
        // The parser mends more than is wise: `https:///path` would go to the host `path`.
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        let names_host = !authority.is_empty() && !authority.starts_with(['/', '\\']);
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() || !names_host {
            return Err(Invalid::new("a hook's URL begins with https:// or http:// and a host"));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Invalid::new("a hook's URL has no white space or control characters; write %20"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Invalid::new("a hook's URL must not hold a user name; use an Authorization header"));
        }
        if url.fragment().is_some() {
            return Err(Invalid::new("a hook's URL must not have a fragment: it would not be sent"));
        }
        Ok(url)
    }

    /// # Errors
    /// Where `timeout` is not within 100 ms to 60 s.
    pub fn check_timeout(timeout: Duration) -> Result<(), Invalid> {
        if (Self::MIN_TIMEOUT..=Self::MAX_TIMEOUT).contains(&timeout) {
            return Ok(());
        }
        Err(Invalid::new("a timeout is between 100 ms and 60,000 ms"))
    }

    /// Whether its deliveries may be attempted.
    #[must_use]
    pub fn is_sent_to(&self) -> bool {
        self.enabled && !self.unreadable
    }

    /// The value of the `Authorization` header that is put on when a request is sent.
    #[must_use]
    pub fn secret_authorization(&self) -> Option<&SecretText> {
        self.authorization.as_ref().filter(|authorization| authorization.enabled).map(|it| &it.value)
    }

    /// Whether an event that belongs to `project` may go to it.
    #[must_use]
    pub fn wants_project(&self, project: Option<i64>) -> bool {
        self.project.is_none() || self.project == project
    }

    /// A header's name, in lower case.
    ///
    /// # Errors
    /// If it is none, or has more than 256 bytes.
    pub fn check_header_name(name: &str) -> Result<http::HeaderName, Invalid> {
        let Ok(parsed) = http::HeaderName::from_bytes(name.as_bytes()) else {
            let shown: String = name.chars().take(100).collect();
            return Err(Invalid::new(format!("`{shown}` is not a header name (RFC 9110, section 5.1)")));
        };
        if name.len() > Self::MAX_HEADER_NAME_LEN {
            return Err(Invalid::new("the name of a header has at most 256 bytes"));
        }
        Ok(parsed)
    }

    /// # Errors
    /// Where a header cannot be sent, or is one that the engine itself writes.
    pub fn check_header(name: &str, value: &str) -> Result<(), Invalid> {
        let parsed = Self::check_header_name(name)?;
        if http::HeaderValue::from_str(value).is_err() {
            return Err(Invalid::new(format!(
                "the value of `{name}` has characters that a header cannot carry"
            )));
        }
        if is_reserved_header(parsed.as_str()) {
            return Err(Invalid::new(format!("`{name}` is written by the engine and cannot be set")));
        }
        Ok(())
    }
}

/// The `Authorization` header of a hook's requests. It is put on when a request is sent: no plugin sees it, and no
/// record of an attempt shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// The header's value.
    pub value: SecretText,
    /// Whether it is sent.
    pub enabled: bool,
}

/// Headers that frame the request or carry the signature: whatever a hook or a plugin says of them is
/// not sent. Names are compared without regard to case (RFC 9110, section 5.1).
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    const FRAMING: [&str; 9] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
    ];
    const SIGNATURE: &str = "webhook-";
    let signs = name
        .as_bytes()
        .get(..SIGNATURE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SIGNATURE.as_bytes()));
    signs || FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing))
}

words! {
    /// How a hook's requests are signed.
    Signing {
        /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
        Standard = "standard",
        /// Not at all.
        None = "none",
    }
}

/// When failed attempts are made again: one wait for each retry, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetrySchedule(Vec<Duration>);

impl RetrySchedule {
    /// The greatest number of retries.
    pub const MAX_RETRIES: usize = 100;
    /// Attempts of a delivery after which it is not retried by hand any more: all of them are kept, and shown together.
    pub const MAX_BEFORE_RETRY_BY_HAND: u32 = 200;
    /// The longest wait between two attempts.
    pub const MAX_WAIT: Duration = Duration::from_secs(7 * 24 * 3600);

    /// # Errors
    /// Where there are more than 100 waits, or one is zero or longer than seven days.
    pub fn new(waits: Vec<Duration>) -> Result<Self, Invalid> {
        if waits.len() > Self::MAX_RETRIES {
            return Err(Invalid::new("a schedule has at most 100 retries"));
        }
        if waits.iter().any(|wait| wait.is_zero() || *wait > Self::MAX_WAIT) {
            return Err(Invalid::new("a retry comes after 1 to 604,800 seconds (seven days)"));
        }
        Ok(Self(waits))
    }

    /// The wait after the `failures`th failure in a row, counted from 1; none if no attempt is left.
    #[must_use]
    pub fn wait_after(&self, failures: u32) -> Option<Duration> {
        self.0.get(failures.checked_sub(1)? as usize).copied()
    }

    /// The waits.
    #[must_use]
    pub fn waits(&self) -> &[Duration] {
        &self.0
    }
}

impl Default for RetrySchedule {
    /// 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h: what Standard Webhooks suggests, over three days.
    fn default() -> Self {
        Self([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400].map(Duration::from_secs).to_vec())
    }
}
