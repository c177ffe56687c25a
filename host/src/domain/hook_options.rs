//! Options of a hook that most hooks leave at their defaults, and since when it sends nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::attempt::named_enum;
use super::receiver_options::ReceiverOptions;
use super::{Hook, Invalid, UnixMillis};

/// Options of a hook's deliveries. A new one needs a default, a line in the JSON of its column, and a member of v3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookOptions {
    /// Whether deliveries are held: events are accepted and matched, and nothing is sent.
    pub paused: bool,
    /// Since when it is paused. The directory sets it.
    pub paused_since: Option<UnixMillis>,
    /// Why and since when it is disabled. The directory sets it, unless the engine disables the hook.
    pub disabled: Option<Disabled>,
    /// What the receiver needs beyond a signed request.
    pub receiver: Option<Box<ReceiverOptions>>,
    /// JSON members of options that a newer build stored. They are kept.
    pub unknown: Option<Arc<str>>,
}

/// Why and since when a hook is disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disabled {
    /// Why.
    pub why: DisabledWhy,
    /// Since when.
    pub since: UnixMillis,
}

named_enum! {
    /// Why a hook is disabled.
    DisabledWhy {
        /// By a request to an API.
        ByHand = "by_hand",
        /// The receiver answered `410 Gone`.
        Gone = "gone",
        /// Every attempt failed for too long.
        Failing = "failing",
    }
}

impl Hook {
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
