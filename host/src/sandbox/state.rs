//! What the host keeps for one call.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::Event;

use super::deadline::Watch;
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
    /// What may stop the call.
    pub(super) watch: Watch,
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
        let (meter, watch, wasi) = (Meter::new(limits), Watch::default(), Inert::new(event));
        Self { meter, logs, settings, secrets, watch, wasi }
    }

    /// The same, of a call that may be stopped.
    pub(super) fn watched(self, watch: &Watch) -> Self {
        Self { watch: watch.clone(), ..self }
    }
}
