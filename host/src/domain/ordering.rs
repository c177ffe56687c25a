//! In which order the deliveries of a hook are sent.
//!
//! Deliveries of a hook that have the same ordering key form a group. They are sent one after the other: the next one when the
//! one before is final.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::attempt::named_enum;
use super::{HookId, Invalid};

named_enum! {
    /// Among which deliveries of a hook an order is kept.
    OrderingScope {
        /// Those whose events have the same ordering key. Without a key, there is no order.
        Key = "key",
        /// All of them.
        Hook = "hook",
    }
}

impl OrderingScope {
    /// The key of a delivery whose event has `key`; `None` if it is in no order.
    #[must_use]
    pub fn key_of(self, key: Option<&OrderingKey>) -> Option<OrderingKey> {
        match self {
            Self::Key => key.cloned(),
            Self::Hook => Some(OrderingKey::of_hook()),
        }
    }
}

/// The order that a hook keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HookOrdering {
    /// Among which deliveries.
    pub scope: OrderingScope,
    /// After so many failed attempts, those behind a delivery do not wait for it any more. `None`: they wait until it is
    /// final.
    pub skip_after: Option<u32>,
}

impl HookOrdering {
    /// The greatest number of attempts to wait for: more than there are retries.
    pub const MAX_SKIP_AFTER: u32 = 100;

    /// Checks [`Self::skip_after`].
    ///
    /// # Errors
    /// If it is not from 1 to 100.
    pub fn check_skip_after(attempts: u32) -> Result<(), Invalid> {
        if (1..=Self::MAX_SKIP_AFTER).contains(&attempts) {
            return Ok(());
        }
        Err(Invalid::new("expected a number of attempts from 1 to 100"))
    }
}

/// What the deliveries of a group have in common: a publisher's text, or nothing for all deliveries of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderingKey(Arc<str>);

impl OrderingKey {
    /// Maximum length, in bytes.
    pub const MAX_LEN: usize = 128;

    /// The key of all deliveries of a hook that are in one order. No publisher can send it.
    #[must_use]
    pub fn of_hook() -> Self {
        Self(Arc::from(""))
    }

    /// A key that was stored.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for OrderingKey {
    type Err = Invalid;

    /// Checks a publisher's key.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > Self::MAX_LEN || text.chars().any(char::is_control) {
            return Err(Invalid::new("an ordering key has 1 to 128 bytes without control characters"));
        }
        Ok(Self(text.into()))
    }
}

/// Deliveries that are sent one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OrderingGroup {
    /// Their hook.
    pub hook: HookId,
    /// Their key.
    pub key: OrderingKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_checked() {
        let (longest, longer) = ("k".repeat(128), "k".repeat(129));
        for (text, taken) in [
            ("a", true),
            ("customer 7/\u{e4}\"", true),
            (&*longest, true),
            ("", false),
            (&*longer, false),
            ("a\nb", false),
            ("a\0", false),
        ] {
            assert_eq!(text.parse::<OrderingKey>().is_ok(), taken, "{text:?}");
        }
    }

    #[test]
    fn the_scope_says_which_deliveries_are_in_order() {
        let key: OrderingKey = "a".parse().unwrap();
        assert_eq!(OrderingScope::Key.key_of(Some(&key)), Some(key.clone()));
        assert_eq!(OrderingScope::Key.key_of(None), None);
        for given in [Some(&key), None] {
            assert_eq!(OrderingScope::Hook.key_of(given), Some(OrderingKey::of_hook()));
        }
    }
}
