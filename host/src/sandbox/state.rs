//! What the host keeps for one call.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::Event;

use super::limits::{Limits, Meter};
use super::logs::LogSink;
use super::wasi::Inert;

/// Keys by name.
pub(super) type Secrets = Vec<(String, Zeroizing<Vec<u8>>)>;

/// The data of one call's store.
pub(super) struct State {
    pub(super) meter: Meter,
    pub(super) logs: LogSink,
    pub(super) settings: Arc<str>,
    pub(super) secrets: Arc<Secrets>,
    /// What WASI shows to those who look; costs nothing otherwise.
    pub(super) wasi: Inert,
}

impl State {
    pub(super) fn new(
        limits: &Limits,
        logs: LogSink,
        settings: Arc<str>,
        secrets: Arc<Secrets>,
        event: Option<Arc<Event>>,
    ) -> Self {
        Self { meter: Meter::new(limits), logs, settings, secrets, wasi: Inert::new(event) }
    }
}
