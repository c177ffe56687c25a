//! The event types that a hook receives.

use std::fmt;
use std::str::FromStr;

use super::{EventType, Invalid};

/// A pattern of event types.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypePattern {
    /// `*`: every type.
    Any,
    /// `session.*`: every type that begins with the text before the asterisk.
    Prefix(String),
    /// `session.update`: this type.
    Exact(EventType),
}

impl TypePattern {
    /// Whether the pattern matches `event_type`. A type must be longer than the prefix.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        let text = event_type.as_str();
        match self {
            Self::Any => true,
            Self::Prefix(prefix) => text.len() > prefix.len() && text.starts_with(prefix.as_str()),
            Self::Exact(exact) => exact == event_type,
        }
    }
}

impl FromStr for TypePattern {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.strip_suffix('*') {
            Some("") => Ok(Self::Any),
            Some(prefix) => {
                prefix.parse::<EventType>().map_err(|_| Self::rule())?;
                Ok(Self::Prefix(prefix.to_owned()))
            }
            None => text.parse().map(Self::Exact).map_err(|_| Self::rule()),
        }
    }
}

impl TypePattern {
    /// Length of its text without the asterisk, in bytes.
    #[must_use]
    pub fn text_len(&self) -> usize {
        match self {
            Self::Any => 0,
            Self::Prefix(prefix) => prefix.len(),
            Self::Exact(exact) => exact.as_str().len(),
        }
    }

    fn rule() -> Invalid {
        Invalid::new(
            "a pattern must be an event type, a prefix of event types followed by `*` such as `session.*`, or `*`",
        )
    }
}

impl fmt::Display for TypePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(exact) => exact.fmt(f),
        }
    }
}

/// The event types that a hook receives: at least one pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription(Vec<TypePattern>);

impl Subscription {
    /// Maximum number of patterns.
    pub const MAX_PATTERNS: usize = 100;

    /// Creates a subscription.
    ///
    /// # Errors
    /// If there is no pattern, or there are more than 100.
    pub fn new(patterns: Vec<TypePattern>) -> Result<Self, Invalid> {
        if patterns.is_empty() || patterns.len() > Self::MAX_PATTERNS {
            return Err(Invalid::new("a hook must have 1 to 100 event types; `*` matches all types"));
        }
        Ok(Self(patterns))
    }

    /// Whether any pattern matches `event_type`.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        self.0.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether any pattern names `event_type`, an operational one: exactly, or by a prefix that begins with `hookwright.`.
    /// `*` does not, so that receivers of all events get no new kinds of them.
    #[must_use]
    pub fn names_operational(&self, event_type: &EventType) -> bool {
        let names = |pattern: &&TypePattern| match pattern {
            TypePattern::Any => false,
            TypePattern::Prefix(prefix) => prefix.starts_with(EventType::OPERATIONAL_PREFIX),
            TypePattern::Exact(_) => true,
        };
        self.0.iter().filter(names).any(|pattern| pattern.matches(event_type))
    }

    /// Whether a hook with this subscription gets events of `event_type`: operational ones only if it names them.
    #[must_use]
    pub fn selects(&self, event_type: &EventType) -> bool {
        match event_type.is_operational() {
            true => self.names_operational(event_type),
            false => self.matches(event_type),
        }
    }

    /// The patterns, in order.
    #[must_use]
    pub fn patterns(&self) -> &[TypePattern] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_types_and_prefixes() {
        for (pattern, event_type, covered) in [
            ("*", "a", true),
            ("session.*", "session.update", true),
            ("session.*", "session.update.field", true),
            ("session.*", "session.", false),
            ("session.*", "session", false),
            ("session.*", "sessions.update", false),
            ("CUSTOM->engine::*", "CUSTOM->engine::dialer_member_end", true),
            ("session.update", "session.update", true),
            ("session.update", "session.updated", false),
            ("session.update", "Session.Update", false),
        ] {
            let pattern: TypePattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(&event_type.parse().unwrap()), covered, "{pattern} {event_type}");
            assert_eq!(pattern.to_string().parse(), Ok(pattern));
        }
    }

    #[test]
    fn operational_events_are_subscribed_to_by_their_prefix() {
        let event_type: EventType = "hookwright.hook.failing".parse().unwrap();
        for (pattern, named) in [
            ("*", false),
            ("hook*", false),
            ("hookwright*", false),
            ("hookwright.*", true),
            ("hookwright.hook.*", true),
            ("hookwright.hook.failing", true),
            ("hookwright.hook.disabled", false),
        ] {
            let subscription = Subscription::new(vec![pattern.parse().unwrap()]).unwrap();
            assert_eq!(subscription.names_operational(&event_type), named, "{pattern}");
        }
        assert!(event_type.check_published().is_err() && event_type.is_operational());
    }

    #[test]
    fn an_asterisk_is_allowed_only_at_the_end() {
        for text in ["", "*.update", "a*b", "**", "a b", "a,b"] {
            assert!(text.parse::<TypePattern>().is_err(), "{text}");
        }
    }
}
