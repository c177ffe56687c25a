//! Events: accepted, immutable facts.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{EventKey, Invalid, TenantId, UnixMillis};

/// One accepted event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The engine's own number; sorts by the time of acceptance.
    pub key: EventKey,
    /// What the outside calls it; unique within the tenant.
    pub id: EventId,
    /// Whose it is.
    pub tenant: TenantId,
    /// The numbered project it belongs to, if any.
    pub project: Option<i64>,
    /// Its type.
    pub event_type: EventType,
    /// When it happened, by its sender's word; else when it was accepted.
    pub occurred_at: UnixMillis,
    /// Its data: JSON text, as it was sent.
    pub data: Arc<str>,
}

impl Event {
    /// When the engine accepted it.
    #[must_use]
    pub fn accepted_at(&self) -> UnixMillis {
        self.key.created_at()
    }
}

/// An event's id: the sender's own, or else the text of its [`EventKey`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

impl EventId {
    /// The greatest length, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The id of an event whose sender gave none.
    #[must_use]
    pub fn of_key(key: EventKey) -> Self {
        Self(key.to_string().into())
    }

    /// A sender's own id: 1 to 128 letters, digits, `.`, `_`, `:` or `-`, not in the engine's own form.
    ///
    /// The alphabet keeps the id safe in a URL's path, in the `webhook-id` header, and in the
    /// signed content of Standard Webhooks, where it must not contain a full stop as separator;
    /// since the signature covers the id as a whole, full stops are let through all the same.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn from_sender(text: &str) -> Result<Self, Invalid> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.bytes().all(fits) {
            return Err(Invalid::new("an event's id has 1 to 128 letters, digits, `.`, `_`, `:` or `-`"));
        }
        if text.starts_with(EventKey::PREFIX) {
            return Err(Invalid::new(
                "ids that begin with `evt_` are given by the engine; leave `id` out, or choose another",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The key, if the id is one that the engine gave.
    #[must_use]
    pub fn as_key(&self) -> Option<EventKey> {
        self.0.parse().ok()
    }

    /// An id read from a request's path: a sender's own or the engine's.
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
    /// The greatest length, in bytes.
    pub const MAX_LEN: usize = 256;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, which is not copied.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for EventType {
    type Err = Invalid;

    /// 1 to 256 bytes of text without white space, control characters, commas or `*`.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let fits = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '*' | ',');
        if text.is_empty() || text.len() > Self::MAX_LEN || !text.chars().all(fits) {
            return Err(Invalid::new(
                "an event type has 1 to 256 bytes without white space, control characters, commas or `*`",
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
