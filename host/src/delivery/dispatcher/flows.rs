//! The flow control of hooks and tenants, and which node sends because of it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use tokio::sync::watch;

use super::Dispatcher;
use crate::clock;
use crate::domain::{Flows, HookId, TenantId};

impl Dispatcher {
    /// The most requests that one hook may have in flight, on all nodes together.
    #[must_use]
    pub fn in_flight_per_hook(&self) -> usize {
        self.in_flight_per_hook
    }

    /// Whether a hook or a tenant has flow control.
    pub(in crate::delivery) fn has_flows(&self) -> bool {
        self.has_flows.load(Ordering::Acquire)
    }

    /// Whether this node claims what is due of `hook`.
    #[must_use]
    pub fn owns(&self, hook: HookId, tenant: TenantId) -> bool {
        if self.has_flows() {
            self.membership.owns(self.flows().owned(hook, tenant))
        } else {
            self.membership.owns(hook)
        }
    }

    /// Whether this node may have requests of `hook` in flight.
    pub(super) fn has_share(&self, hook: HookId, tenant: TenantId) -> bool {
        let limit = self.in_flight_per_hook;
        if !self.membership.is_shared() {
            return true;
        }
        let share = match self.has_flows() {
            false => self.membership.share(limit, hook),
            true => {
                let flows = self.flows();
                self.membership.with_members(|members| flows.share(members, limit, (hook, tenant)))
            }
        };
        share > 0
    }

    /// Takes over the newest flow control of hooks and tenants: it holds also for what is queued.
    pub fn take_flows(self: &Arc<Self>, newest: &watch::Receiver<Flows>) {
        {
            // Under the lock, so that nobody takes over an older one later.
            let mut known = self.flows.write().unwrap_or_else(PoisonError::into_inner);
            let flows = newest.borrow().clone();
            if known.is_same(&flows) {
                return;
            }
            *known = flows.clone();
            self.has_flows.store(!flows.is_empty(), Ordering::Release);
            self.queue().set_flows(flows, clock::monotonic());
        }
        self.pump();
        // Another node may have become the owner, or there is more room.
        self.want_full_look();
        self.wake_if(true);
    }

    /// Follows the flow control of hooks and tenants. Ends with the directory.
    pub async fn follow_flows(self: Arc<Self>, mut flows: watch::Receiver<Flows>) {
        while flows.changed().await.is_ok() {
            flows.mark_unchanged();
            self.take_flows(&flows);
        }
    }

    fn flows(&self) -> RwLockReadGuard<'_, Flows> {
        self.flows.read().unwrap_or_else(PoisonError::into_inner)
    }
}
