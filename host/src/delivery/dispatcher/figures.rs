//! What monitoring asks.

use std::time::Duration;

use super::Dispatcher;
use crate::clock;
use crate::delivery::fair_queue::{QueueFigures, Waiting};
use crate::delivery::hook_health::Gate;
use crate::domain::{HookId, TenantId, UnixMillis};

impl Dispatcher {
    /// How much there is in memory.
    #[must_use]
    pub fn figures(&self) -> QueueFigures {
        self.queue().figures()
    }

    /// How many tenants wait, and for how long the oldest delivery has waited at `now` only for the engine: one in memory, or
    /// of those that are `due` on disk of hooks that send. Looks at each hook with deliveries in memory.
    #[must_use]
    pub fn waiting(
        &self,
        due: impl IntoIterator<Item = (HookId, TenantId, UnixMillis)>,
        now: UnixMillis,
    ) -> (usize, Duration) {
        let Waiting { tenants, first_lease_end } = self.queue().waiting(clock::monotonic());
        let in_memory_since = first_lease_end.map(|end| end.minus(self.lease()));
        let mut oldest = in_memory_since.map_or(Duration::ZERO, |since| since.until(now));
        let mut due: Vec<_> = due.into_iter().filter(|(.., since)| *since < now).collect();
        due.sort_unstable_by_key(|(.., since)| *since);
        let waits = |(hook, tenant, _): &&(HookId, TenantId, UnixMillis)| {
            self.owns(*hook, *tenant)
                && self.health().gate(*hook, now) == Gate::Open
                && !self.queue().is_held_back(*hook, *tenant, clock::monotonic())
        };
        if let Some((.., since)) = due.iter().find(waits) {
            oldest = oldest.max(since.until(now));
        }
        (tenants, oldest)
    }
}
