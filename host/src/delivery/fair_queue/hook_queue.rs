//! The deliveries of one hook in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::health::{Class, Health};
use super::pacer::most_queued;
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, Flow, TenantId, Trigger};

/// How many deliveries of a hook are queued while its receiver hangs, because they are sent one at a time.
pub(super) const QUEUED_WHILE_HANGING: usize = 16;

/// How many deliveries are queued for each request that a hook may have in flight, so that leases outlast the queue also
/// if each takes some seconds.
const QUEUED_FOR_EACH: usize = 64;

/// What is known of a hook's deliveries that gather for a request with several.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Since when the first of them waits.
    pub since: Option<Instant>,
    /// About how many bytes they have in a request: what was cancelled is still counted.
    pub bytes: usize,
    /// When the hook is looked at next.
    pub next_look: Option<Instant>,
}

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
    /// What the hook asks for.
    pub flow: Option<Arc<Flow>>,
    /// There may be more on disk. New deliveries are then stored behind it.
    pub backlog: bool,
    /// The last read of the disk that had begun when that was noted.
    pub noted_after: u64,
    /// When it last took room in memory, compared with other hooks.
    pub took_room: u64,
    /// Whether it leaves the room that its tenant's rate allows to other hooks, because it sends nothing for long.
    pub aside: bool,
    /// No request starts before this time: the later one of the next two.
    pub not_before: Option<Instant>,
    /// The receiver gets a pause until then.
    pub paused_until: Option<Instant>,
    /// Another request would be over the hook's rate until then.
    pub paced_until: Option<Instant>,
    /// Of a hook that asks for requests with several.
    pub gathering: Gathering,
    /// The class under which its tenant lists it as runnable.
    pub listed: Option<Class>,
    /// For each class, whether its tenant has an entry for it. An entry of another class than `listed` is stale, and is
    /// skipped.
    pub entries: [bool; Class::ALL.len()],
    /// Whether it is listed as one whose next delivery does not wait for its tenant's rate.
    pub listed_urgent: bool,
    /// Whether its tenant remembers it.
    pub remembered: bool,
}

impl HookQueue {
    pub(super) fn new(tenant: TenantId, flow: Option<Arc<Flow>>, most: usize) -> Self {
        Self {
            tenant,
            works: VecDeque::new(),
            taken: 0,
            in_flight: 0,
            most,
            health: Health::default(),
            flow,
            backlog: false,
            noted_after: 0,
            took_room: 0,
            aside: false,
            not_before: None,
            paused_until: None,
            paced_until: None,
            gathering: Gathering::default(),
            listed: None,
            entries: [false; Class::ALL.len()],
            listed_urgent: false,
            remembered: false,
        }
    }

    /// How many deliveries may be queued.
    pub(super) fn limit(&self, limits: &DispatcherLimits) -> usize {
        let limit = match self.health.hangs() {
            true => limits.queued_per_hook.min(QUEUED_WHILE_HANGING),
            false => limits.queued_per_hook,
        };
        let limit = limit_with(self.flow.as_deref(), limit);
        if self.aside { limit.min(self.flow.as_deref().map_or(1, in_a_request)) } else { limit }
    }

    /// Whether its next delivery waits neither for a pause to end nor for a rate: a test, because a person waits for its
    /// result, and what goes back to the disk.
    pub(super) fn is_urgent(&self) -> bool {
        let is_urgent = |work: &Work| work.trigger == Trigger::Test || self.most == 0 || work.goes_back();
        self.works.front().is_some_and(is_urgent)
    }

    /// Queues `work`. A test goes first, because a person waits for its result.
    pub(super) fn push(&mut self, work: Work, now: Instant) {
        self.note_push(&work, now);
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
            && !self.listed_urgent
    }

    /// The class of its next request, if one may start.
    pub(super) fn next_class(&self, now: Instant) -> Option<Class> {
        let next = self.works.front()?;
        if self.not_before.is_some() && !self.is_urgent() {
            return None;
        }
        if self.gathers_until().is_some_and(|until| now < until) {
            return None;
        }
        // A test tells whether a receiver answers again, so it does not wait for the probe.
        let is_beside = next.trigger == Trigger::Test || next.goes_back();
        let window = self.health.window().min(self.most.max(1)) + usize::from(is_beside);
        if self.in_flight >= window {
            return None;
        }
        Some(self.health.class(now, self.in_flight, next.failures > 0))
    }
}

/// `limit`, or what a hook with this flow control may have queued.
pub(super) fn limit_with(flow: Option<&Flow>, limit: usize) -> usize {
    let Some(flow) = flow else { return limit };
    let of_rate = flow.max_per_second.map_or(usize::MAX, most_queued);
    let at_a_time = flow.max_in_flight.map_or(usize::MAX, |most| most as usize * QUEUED_FOR_EACH);
    limit.min(of_rate.min(at_a_time).saturating_mul(in_a_request(flow)))
}

/// How many deliveries go in one request at most.
fn in_a_request(flow: &Flow) -> usize {
    flow.batch.map_or(1, |batch| batch.max_events)
}
