//! What components take from outside: time, ids and random numbers.

use std::sync::Arc;

use crate::clock::{Clock, TrustedUntil};
use crate::domain::UnixMillis;
use crate::domain::ids::IdGenerator;
use crate::random::Random;

/// Time, ids and random numbers. The composition root hands them to each component that needs them, so that a simulation
/// can replace all of them. Clones share everything.
#[derive(Debug, Clone)]
pub struct Sources {
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Makes ids.
    pub ids: Arc<IdGenerator>,
    /// Random numbers for the engine's behavior.
    pub random: Arc<dyn Random>,
    /// How far the clock is trusted if something is deleted because of its age.
    pub trusted: Arc<TrustedUntil>,
}

impl Sources {
    /// The current time of the wall clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The current time where something is deleted because of its age.
    #[must_use]
    pub fn trusted_now(&self) -> UnixMillis {
        self.clock.now().min(self.trusted.get())
    }
}
