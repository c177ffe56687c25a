//! One hook's deliveries in memory.

use std::collections::VecDeque;
use std::time::Instant;

use super::DispatcherLimits;
use super::health::{Class, Health};
use super::work::Work;
use crate::domain::{TenantId, Trigger};

/// Deliveries of a hook that wait in memory while its receiver hangs: it takes them one at a time.
pub(super) const QUEUED_WHILE_HANGING: usize = 16;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Lane {
    pub tenant: TenantId,
    pub queue: VecDeque<Work>,
    /// Queued or reserved.
    pub taken: usize,
    /// Requests under way.
    pub in_flight: usize,
    pub health: Health,
    /// There may be more on disk: new deliveries line up behind it.
    pub backlog: bool,
    /// Among the hooks of which class it waits for its turn.
    pub listed: Option<Class>,
    /// For each class, whether its tenant has an entry for it. One of another class than `listed` is out of date, and
    /// is passed over when its turn comes.
    pub entries: [bool; Class::ALL.len()],
    /// Whether it stands among the hooks that its tenant remembers.
    pub remembered: bool,
}

impl Lane {
    pub(super) fn new(tenant: TenantId) -> Self {
        Self {
            tenant,
            queue: VecDeque::new(),
            taken: 0,
            in_flight: 0,
            health: Health::default(),
            backlog: false,
            listed: None,
            entries: [false; Class::ALL.len()],
            remembered: false,
        }
    }

    /// Deliveries that may wait in memory.
    pub(super) fn most_queued(&self, limits: &DispatcherLimits) -> usize {
        match self.health.hangs() {
            true => limits.queued_per_hook.min(QUEUED_WHILE_HANGING),
            false => limits.queued_per_hook,
        }
    }

    /// Queues `work`. Someone waits for a test, so that it goes before what has waited longer.
    pub(super) fn push(&mut self, work: Work) {
        match work.trigger {
            Trigger::Test => self.queue.push_front(work),
            _ => self.queue.push_back(work),
        }
    }

    /// Whether its queue runs low while there may be more on disk.
    pub(super) fn wants_more(&self, limits: &DispatcherLimits) -> bool {
        self.backlog && self.taken <= self.most_queued(limits) / 2
    }

    /// Whether nothing of it is in memory or under way.
    pub(super) fn is_idle(&self) -> bool {
        self.taken == 0 && self.in_flight == 0 && !self.backlog && !self.entries.contains(&true)
    }

    /// The class of its next request, if it may begin one.
    pub(super) fn next_class(&self, now: Instant) -> Option<Class> {
        let next = self.queue.front()?;
        // A test tells whether a receiver that hung is back: it does not wait for the probe.
        let window = self.health.window() + usize::from(next.trigger == Trigger::Test);
        if self.in_flight >= window {
            return None;
        }
        Some(self.health.class(now, self.in_flight, next.failures > 0))
    }
}
