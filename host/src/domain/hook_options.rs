//! Options of a hook that most hooks leave at their defaults, and since when it sends nothing.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::attempt::named_enum;
use super::receiver_options::ReceiverOptions;
use super::{Flow, HookOrdering, Invalid, Pipeline, UnixMillis};

/// Options of a hook's deliveries. A new one needs a default, a line in the JSON of its column, and a member of v3.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookOptions {
    /// Whether deliveries are held: events are accepted and matched, and nothing is sent.
    pub paused: bool,
    /// Since when it is paused. The directory sets it.
    pub paused_since: Option<UnixMillis>,
    /// Why and since when it is disabled. The directory sets it, unless the engine disables the hook.
    pub disabled: Option<Disabled>,
    /// In which order deliveries are sent. `None`: in none.
    pub ordering: Option<HookOrdering>,
    /// How long the bodies of its requests are kept; zero: not at all.
    pub retain_bodies: Duration,
    /// What the receiver needs beyond a signed request.
    pub receiver: Option<Box<ReceiverOptions>>,
    /// Its own flow control.
    pub flow: Option<Arc<Flow>>,
    /// The plugins that write a request with several events from what the hook's pipeline wrote for each of them.
    pub batch_pipeline: Pipeline,
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
