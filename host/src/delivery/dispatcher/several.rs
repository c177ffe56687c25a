//! Permits of attempts of several deliveries.

use std::sync::Arc;
use std::time::Instant;

use super::AttemptPermit;
use crate::clock;

impl AttemptPermit {
    /// Takes out the permit of the request, which is told the outcome. The rest is for the record of the first delivery.
    /// The attempt counts as unfinished while there is the request's.
    pub(in crate::delivery) fn take_request(&mut self) -> Self {
        let (request, delivery) = self.key.divide();
        self.key = delivery;
        let (dispatcher, in_flight) = (Arc::clone(&self.dispatcher), std::mem::take(&mut self.in_flight));
        Self { dispatcher, key: request, in_flight }
    }

    /// The request is sent now: the time before that is not its receiver's.
    pub(in crate::delivery) fn sends(&mut self) {
        self.key = self.dispatcher.queue().sends(self.key, clock::monotonic());
    }

    /// When another request may be sent under this permit, which counts for rates as the first did; none if not before
    /// `latest`.
    pub(in crate::delivery) fn count_another(&self, latest: Instant) -> Option<Instant> {
        let now = clock::monotonic();
        match self.key.counts() {
            true => self.dispatcher.queue().count_another(self.key, now, latest),
            false => Some(now),
        }
    }
}
