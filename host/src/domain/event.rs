//! Events. An accepted event does not change.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{EventKey, Invalid, OrderingKey, TenantId, TraceContext, UnixMillis};

/// An accepted event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The engine's internal id. It sorts by the time of acceptance.
    pub key: EventKey,
    /// The external id; unique within the tenant.
    pub id: EventId,
    /// The tenant that owns it.
    pub tenant: TenantId,
    /// The numbered project it belongs to, if any.
    pub project: Option<i64>,
    /// Its type.
    pub event_type: EventType,
    /// When it happened according to its sender, or when it was accepted.
    pub occurred_at: UnixMillis,
    /// Which deliveries of a hook that asks for it are sent one after the other.
    pub ordering_key: Option<OrderingKey>,
    /// The trace that its deliveries belong to.
    pub trace: Option<Box<TraceContext>>,
    /// Its data: JSON text, as sent.
    pub data: Arc<str>,
}

impl Event {
    /// When the engine accepted it.
    #[must_use]
    pub fn accepted_at(&self) -> UnixMillis {
        self.key.created_at()
    }
}

/// An event's id: the sender's, or the text of its [`EventKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

impl EventId {
    /// Maximum length, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The id of an event without a sender's id.
    #[must_use]
    pub fn of_key(key: EventKey) -> Self {
        Self(key.to_string().into())
    }

    /// Checks a sender's id: 1 to 128 letters, digits, `.`, `_`, `:` or `-`, without the prefix of the engine's ids.
    ///
    /// These characters are safe in a URL's path and in the `webhook-id` header. Standard Webhooks separates the
    /// parts of the signed content by full stops. An id may contain them nevertheless, because the signature covers
    /// the whole id.
    ///
    /// # Errors
    /// If the text violates one of these rules.
    pub fn from_sender(text: &str) -> Result<Self, Invalid> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(fits) {
            return Err(Invalid::new(
                "an event's id must have 1 to 128 letters, digits, `.`, `_`, `:` or `-`",
            ));
        }
        if text.starts_with(EventKey::PREFIX) {
            return Err(Invalid::new(
                "ids that begin with `evt_` are reserved for the engine: omit `id`, or use another id",
            ));
        }
        Ok(Self(text.into()))
    }

    /// Returns the key, if the engine generated the id.
    #[must_use]
    pub fn as_key(&self) -> Option<EventKey> {
        self.0.parse().ok()
    }

    /// An id from a request's path: a sender's or the engine's.
    #[must_use]
    pub fn from_path(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event type, such as `session.update`, `CHANNEL_CREATE` or `CUSTOM->engine::dialer_member_end`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(Arc<str>);

impl EventType {
    /// Maximum length, in bytes.
    pub const MAX_LEN: usize = 256;

    /// The type of a test event that names none.
    #[must_use]
    pub fn test() -> Self {
        Self("hookwright.test".into())
    }

    /// The type of the event by which plugins get the events of one request.
    #[must_use]
    pub fn batch() -> Self {
        Self("hookwright.batch".into())
    }

    /// The prefix of the types of operational events, which only the engine sends. No tenant's own type begins with it.
    pub const OPERATIONAL_PREFIX: &str = "hookwright.";

    /// Whether only the engine sends events of this type.
    #[must_use]
    pub fn is_operational(&self) -> bool {
        self.0.starts_with(Self::OPERATIONAL_PREFIX)
    }

    /// Checks the type of an event that a tenant publishes.
    ///
    /// # Errors
    /// If only the engine sends events of this type.
    pub fn check_published(&self) -> Result<(), Invalid> {
        if self.is_operational() {
            return Err(Invalid::new(
                "event types that begin with `hookwright.` are reserved for the engine's operational events; use another type",
            ));
        }
        Ok(())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, without copying it.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for EventType {
    type Err = Invalid;

    /// Accepts 1 to 256 bytes of text without white space, control characters, commas or `*`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '*' | ',');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.chars().all(fits) {
            return Err(Invalid::new(
                "an event type must have 1 to 256 bytes without white space, control characters, commas or `*`",
            ));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
