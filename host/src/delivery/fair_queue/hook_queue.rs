//! The deliveries of one hook in memory.

use std::collections::VecDeque;
use std::time::Instant;

use super::health::{Class, Health};
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, TenantId, Trigger};

/// How many deliveries of a hook are queued while its receiver hangs, because they are sent one at a time.
pub(super) const QUEUED_WHILE_HANGING: usize = 16;

/// See the module's head.
#[derive(Debug)]
pub(super) struct HookQueue {
    pub tenant: TenantId,
    pub works: VecDeque<Work>,
    /// Queued or reserved.
    pub taken: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// How many this node may have in flight. If none, what is queued starts only to be given back to the disk.
    pub most: usize,
    pub health: Health,
    /// There may be more on disk. New deliveries are then stored behind it.
    pub backlog: bool,
    /// No request starts before this time.
    pub not_before: Option<Instant>,
    /// The class under which its tenant lists it as runnable.
    pub listed: Option<Class>,
    /// For each class, whether its tenant has an entry for it. An entry of another class than `listed` is stale, and is
    /// skipped.
    pub entries: [bool; Class::ALL.len()],
    /// Whether its tenant remembers it.
    pub remembered: bool,
}

impl HookQueue {
    pub(super) fn new(tenant: TenantId, most: usize) -> Self {
        Self {
            tenant,
            works: VecDeque::new(),
            taken: 0,
            in_flight: 0,
            most,
            health: Health::default(),
            backlog: false,
            not_before: None,
            listed: None,
            entries: [false; Class::ALL.len()],
            remembered: false,
        }
    }

    /// How many deliveries may be queued.
    pub(super) fn limit(&self, limits: &DispatcherLimits) -> usize {
        match self.health.hangs() {
            true => limits.queued_per_hook.min(QUEUED_WHILE_HANGING),
            false => limits.queued_per_hook,
        }
    }

    /// Queues `work`. A test goes first, because a person waits for its result.
    pub(super) fn push(&mut self, work: Work) {
        match work.trigger {
            Trigger::Test => self.works.push_front(work),
            _ => self.works.push_back(work),
        }
    }

    /// Removes all entries of one delivery.
    pub(super) fn remove(&mut self, delivery: DeliveryId) -> Vec<Work> {
        let mut removed = Vec::new();
        while let Some(index) = self.works.iter().position(|work| work.delivery == delivery) {
            removed.extend(self.works.remove(index));
        }
        removed
    }

    /// Whether the queue runs low while there may be more on disk.
    pub(super) fn wants_more(&self, limits: &DispatcherLimits) -> bool {
        self.backlog && self.taken <= self.limit(limits) / 2
    }

    /// Whether nothing of it is in memory or in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0
            && self.in_flight == 0
            && !self.backlog
            && self.not_before.is_none()
            && !self.entries.contains(&true)
    }

    /// The class of its next request, if one may start.
    pub(super) fn next_class(&self, now: Instant) -> Option<Class> {
        let next = self.works.front()?;
        // A test tells whether a receiver answers again, so it waits neither for a pause to end nor for the probe.
        let is_test = next.trigger == Trigger::Test;
        // What goes back to the disk does not wait, either.
        if self.not_before.is_some() && !is_test && self.most > 0 {
            return None;
        }
        let window = self.health.window().min(self.most.max(1)) + usize::from(is_test);
        if self.in_flight >= window {
            return None;
        }
        Some(self.health.class(now, self.in_flight, next.failures > 0))
    }
}
