//! Has delayed deliveries looked at when they may start.

use std::sync::{Arc, Weak};
use std::time::Instant;

use tokio::runtime::Handle;

use super::{Dispatcher, lock};

impl Dispatcher {
    /// Pumps again at `until`, unless that happens earlier anyway.
    pub(super) fn pump_at(self: &Arc<Self>, until: Instant, runtime: &Handle) {
        let mut next = lock(&self.next_pump);
        if next.as_ref().is_some_and(|(next, _)| *next <= until) {
            return;
        }
        let task = runtime.spawn(pump_later(Arc::downgrade(self), until));
        if let Some((_, replaced)) = next.replace((until, task.abort_handle())) {
            replaced.abort();
        }
    }
}

async fn pump_later(dispatcher: Weak<Dispatcher>, until: Instant) {
    tokio::time::sleep_until(until.into()).await;
    let Some(dispatcher) = dispatcher.upgrade() else { return };
    // Another one may have replaced it just now.
    let is_current = lock(&dispatcher.next_pump).take_if(|(next, _)| *next == until).is_some();
    if is_current {
        dispatcher.pump();
    }
}
