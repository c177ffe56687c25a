//! The host's state of one call.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::domain::Event;

use super::deadline::CallControl;
use super::limits::{Limits, Meter};
use super::logs::LogSink;
use super::wasi::state::WasiState;

/// Keys by name.
pub(super) type Secrets = Vec<(String, Zeroizing<Vec<u8>>)>;

/// The data of one call's store.
pub(super) struct State {
    pub(super) meter: Meter,
    pub(super) logs: LogSink,
    pub(super) settings: Arc<str>,
    pub(super) secrets: Arc<Secrets>,
    /// What may pause or stop the call.
    pub(super) control: CallControl,
    /// State of the inert WASI, created on first use.
    pub(super) wasi: WasiState,
}

impl State {
    pub(super) fn new(
        limits: &Limits,
        logs: LogSink,
        settings: Arc<str>,
        secrets: Arc<Secrets>,
        event: Option<Arc<Event>>,
    ) -> Self {
        let (meter, control, wasi) = (Meter::new(limits), CallControl::default(), WasiState::new(event));
        Self { meter, logs, settings, secrets, control, wasi }
    }

    /// Sets what may pause or stop the call.
    pub(super) fn with_control(self, control: &CallControl) -> Self {
        Self { control: control.clone(), ..self }
    }
}
