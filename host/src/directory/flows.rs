//! The flow control of all hooks and tenants, which the dispatcher follows.

use tokio::sync::watch;

use super::cache::Directory;
use super::locks::read;
use crate::domain::Flows;

impl Directory {
    /// Follows the flow control of hooks and tenants.
    pub fn flows(&self) -> watch::Receiver<Flows> {
        self.flows.subscribe()
    }

    /// After hooks or tenants have changed.
    pub(super) fn publish_flows(&self) {
        let hooks = read(&self.hooks).flows.clone();
        let (tenants, in_flight) = {
            let index = read(&self.tenants);
            (index.rates.clone(), index.in_flight.clone())
        };
        let newest = Flows { hooks, tenants, in_flight };
        self.flows.send_if_modified(|flows| {
            let changed = !flows.is_same(&newest);
            *flows = newest;
            changed
        });
    }
}
