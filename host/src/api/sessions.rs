//! Sessions of the console and links to it: sealed texts that name a key and narrow what it allows.
//!
//! Nothing is stored, and each node of a database reads the texts of the others. Each request looks the key up again, so that a
//! key that is deleted, replaced or expired ends its sessions at once. The text itself cannot be read or changed without the
//! encryption key.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use utoipa::ToSchema;

use crate::clock::Clock;
use crate::domain::{OperatorRole, Scope, Scopes, TenantId, UnixMillis};
use crate::random;
use crate::vault::Vault;

/// What a bearer token of a session begins with.
const BEARER_PREFIX: &str = "hwc_";
/// How long a session lasts that began with a key.
pub const KEY_SESSION: Duration = Duration::from_secs(12 * 3_600);
/// A session that ends later than this is none of ours: the longest one, and what clocks of nodes may differ. It ends at once,
/// and not when a clock that was set far ahead by mistake says so.
const MAX_SESSION: Duration = Duration::from_secs(12 * 3_600 + 300);
/// The same of a link.
const MAX_LINK: Duration = Duration::from_secs(3_600 + 300);
/// A longer text is none of ours, in bytes.
const MAX_LEN: usize = 4_096;

/// What a sealed text is for. One for another purpose does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A session in a cookie.
    Cookie,
    /// A session that the page keeps in memory and sends as a bearer token.
    Bearer,
    /// A link that signs in.
    Link,
}

impl Purpose {
    fn context(self) -> &'static str {
        match self {
            Self::Cookie => "console session",
            Self::Bearer => "console bearer token",
            Self::Link => "console link",
        }
    }
}

/// The colors and the logo of the platform that made a link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ConsoleTheme)]
#[serde(deny_unknown_fields)]
pub struct Theme {
    /// The name to show instead of Hookwright's, at most 64 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 64, required = false)]
    pub name: Option<String>,
    /// The color of links and buttons, such as `#3457d5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", max_length = 7, required = false)]
    pub accent: Option<String>,
    /// The color of the background.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^#[0-9A-Fa-f]{6}$", max_length = 7, required = false)]
    pub background: Option<String>,
    /// The address of the logo, which begins with `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^https://", max_length = 512, required = false)]
    pub logo_url: Option<String>,
}

/// A key, and what of it is granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The hash of the key.
    #[serde(rename = "k", with = "hash_text")]
    pub key: [u8; 32],
    /// The tenant to which an operator's key is limited.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    tenant: Option<i64>,
    /// The scopes to which the key is limited, separated by spaces.
    #[serde(rename = "s", skip_serializing_if = "Option::is_none")]
    scopes: Option<String>,
    /// Whether an operator's key only reads.
    #[serde(rename = "r", default, skip_serializing_if = "std::ops::Not::not")]
    only_reads: bool,
    /// How the console looks.
    #[serde(rename = "l", skip_serializing_if = "Option::is_none")]
    pub theme: Option<Theme>,
}

impl Grant {
    /// All that the key with this hash allows.
    #[must_use]
    pub fn whole(key: [u8; 32]) -> Self {
        Self { key, tenant: None, scopes: None, only_reads: false, theme: None }
    }

    /// Limits it to these scopes in one tenant.
    #[must_use]
    pub fn in_tenant(self, tenant: TenantId, scopes: Scopes) -> Self {
        let scopes: Vec<_> = scopes.iter().map(Scope::as_str).collect();
        Self { tenant: Some(tenant.0), scopes: Some(scopes.join(" ")), ..self }
    }

    /// Gives the console this look.
    #[must_use]
    pub fn with_theme(self, theme: Option<Theme>) -> Self {
        Self { theme, ..self }
    }

    /// Limits an operator's key to a role.
    #[must_use]
    pub fn with_role(self, role: OperatorRole) -> Self {
        Self { only_reads: role == OperatorRole::Read, ..self }
    }

    /// The tenant to which it is limited.
    #[must_use]
    pub fn tenant(&self) -> Option<TenantId> {
        self.tenant.map(TenantId)
    }

    /// Those of `scopes` that it grants.
    #[must_use]
    pub fn narrowed(&self, scopes: Scopes) -> Scopes {
        match &self.scopes {
            None => scopes,
            Some(texts) => {
                let granted: Scopes = texts.split(' ').filter_map(|text| text.parse().ok()).collect();
                scopes.iter().filter(|scope| granted.contains(*scope)).collect()
            }
        }
    }

    /// What it leaves of an operator's role.
    #[must_use]
    pub fn narrowed_role(&self, role: OperatorRole) -> OperatorRole {
        if self.only_reads { OperatorRole::Read } else { role }
    }
}

/// A hash as hexadecimal digits.
mod hash_text {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(hash))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let mut hash = [0; 32];
        let text = String::deserialize(deserializer)?;
        hex::decode_to_slice(text, &mut hash).map_err(D::Error::custom)?;
        Ok(hash)
    }
}

/// A session of the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// What it grants.
    #[serde(flatten)]
    pub grant: Grant,
    #[serde(rename = "e")]
    expires_at: i64,
    /// What requests that change something repeat in a header, if the session is in a cookie.
    #[serde(rename = "c")]
    pub csrf: String,
    /// Whether it began with a link.
    #[serde(rename = "n", default, skip_serializing_if = "std::ops::Not::not")]
    pub is_of_link: bool,
}

impl Session {
    /// A session that ends at `expires_at`.
    #[must_use]
    pub fn new(grant: Grant, expires_at: UnixMillis, is_of_link: bool) -> Self {
        let csrf = URL_SAFE_NO_PAD.encode(random::secret_bytes::<16>());
        Self { grant, expires_at: expires_at.0, csrf, is_of_link }
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> UnixMillis {
        UnixMillis(self.expires_at)
    }

    /// Whether `text` is the token that requests of this session repeat.
    #[must_use]
    pub fn is_csrf_token(&self, text: &str) -> bool {
        self.csrf.as_bytes().ct_eq(text.as_bytes()).into()
    }
}

/// A link that signs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// What its sessions grant.
    #[serde(flatten)]
    pub grant: Grant,
    #[serde(rename = "e")]
    expires_at: i64,
    #[serde(rename = "d")]
    session_s: u64,
}

impl Link {
    /// A link that is valid until `expires_at`, for sessions of this length.
    #[must_use]
    pub fn new(grant: Grant, expires_at: UnixMillis, session: Duration) -> Self {
        Self { grant, expires_at: expires_at.0, session_s: session.as_secs() }
    }
}

/// Where browsers reach the console, if the operator says so.
#[derive(Debug, Clone)]
pub struct ConsoleUrl {
    origin: Option<Arc<str>>,
    is_operators: bool,
}

impl ConsoleUrl {
    /// An origin, such as `https://hooks.shop.example`. Unless it `is_operators`, operators sign in elsewhere.
    #[must_use]
    pub fn new(origin: Option<&str>, is_operators: bool) -> Self {
        Self { origin: origin.map(Arc::from), is_operators }
    }

    /// Where sessions of a tenant begin, or those of operators.
    #[must_use]
    pub fn of(&self, tenant: Option<TenantId>) -> Option<&str> {
        self.origin.as_deref().filter(|_| tenant.is_some() || self.is_operators)
    }
}

/// Seals and opens sessions and links.
pub struct Sessions {
    vault: Arc<Vault>,
    clock: Arc<dyn Clock>,
    are_on: bool,
}

/// Whether what ends at `end` has not ended, and does so after `longest` at most.
fn ends_within(now: UnixMillis, end: i64, longest: Duration) -> bool {
    now.0 < end && end <= now.plus(longest).0
}

impl Sessions {
    /// Seals with the vault of the engine, so that all nodes of a database open the texts. Unless they `are_on`, none opens.
    #[must_use]
    pub fn new(vault: Arc<Vault>, clock: Arc<dyn Clock>, are_on: bool) -> Self {
        Self { vault, clock, are_on }
    }

    /// Whether there is a console.
    #[must_use]
    pub fn are_on(&self) -> bool {
        self.are_on
    }

    /// A session of a key, from now.
    #[must_use]
    pub fn begin(&self, key: [u8; 32]) -> Session {
        Session::new(Grant::whole(key), self.clock.now().plus(KEY_SESSION), false)
    }

    /// The session that a link begins; `None` if the link is unknown or expired.
    #[must_use]
    pub fn begin_with(&self, link: &str) -> Option<Session> {
        let link: Link = self.open(link, Purpose::Link)?;
        let now = self.clock.now();
        let end = now.plus(Duration::from_secs(link.session_s));
        ends_within(now, link.expires_at, MAX_LINK).then(|| Session::new(link.grant, end, true))
    }

    /// How long `session` lasts from now on.
    #[must_use]
    pub fn lifetime(&self, session: &Session) -> Duration {
        let left = session.expires_at.saturating_sub(self.clock.now().0);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    /// The text of a session.
    #[must_use]
    pub fn seal_session(&self, session: &Session, purpose: Purpose) -> String {
        let sealed = self.seal(session, purpose);
        if purpose == Purpose::Bearer { format!("{BEARER_PREFIX}{sealed}") } else { sealed }
    }

    /// The text of a link.
    #[must_use]
    pub fn seal_link(&self, link: &Link) -> String {
        self.seal(link, Purpose::Link)
    }

    /// The session in a cookie; `None` if it is unknown or has ended.
    #[must_use]
    pub fn of_cookie(&self, text: &str) -> Option<Session> {
        self.open(text, Purpose::Cookie).filter(|session| self.is_valid(session))
    }

    /// Whether a bearer token looks like that of a session, and not like a key.
    #[must_use]
    pub fn may_be_bearer(text: &str) -> bool {
        text.starts_with(BEARER_PREFIX)
    }

    /// The session of a bearer token; `None` if it is unknown or has ended.
    #[must_use]
    pub fn of_bearer(&self, text: &str) -> Option<Session> {
        let sealed = text.strip_prefix(BEARER_PREFIX)?;
        self.open(sealed, Purpose::Bearer).filter(|session| self.is_valid(session))
    }

    /// Whether it has not ended.
    #[must_use]
    pub fn is_valid(&self, session: &Session) -> bool {
        ends_within(self.clock.now(), session.expires_at, MAX_SESSION)
    }

    fn seal(&self, value: &impl Serialize, purpose: Purpose) -> String {
        let plain = serde_json::to_vec(value).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(self.vault.seal(purpose.context(), &plain))
    }

    fn open<T: DeserializeOwned>(&self, text: &str, purpose: Purpose) -> Option<T> {
        let text = Some(text).filter(|text| self.are_on && text.len() <= MAX_LEN)?;
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = self.vault.unseal_current(purpose.context(), &sealed).ok()?;
        serde_json::from_slice(&plain).ok()
    }
}

#[cfg(test)]
mod tests;
