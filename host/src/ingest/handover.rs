//! Deliveries between reservation and commit.

use std::sync::Arc;

use crate::delivery::{Dispatcher, Work};

/// Deliveries between reservation and commit. Those that were not passed on when this is dropped, after an error or because
/// the client disconnected, give back their room. If the commit succeeded even so, they are claimed when their leases end.
pub(super) struct Handover {
    pub(super) dispatcher: Arc<Dispatcher>,
    /// For each event, the deliveries that have room in memory.
    pub(super) reserved: Vec<Vec<Work>>,
}

impl Handover {
    pub(super) fn deliver(&mut self, index: usize) {
        self.dispatcher.push_reserved(std::mem::take(&mut self.reserved[index]));
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        self.reserved.iter().flatten().for_each(|work| self.dispatcher.unreserve(work));
    }
}
