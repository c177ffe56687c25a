//! Hooks that ask for requests with several events: when one starts, and with which deliveries.
//!
//! It starts when as many deliveries are queued as the hook asks for, or when the first has waited for others as long as
//! the hook allows. One request is in flight then, and one attempt is counted; each of its deliveries is unfinished until it
//! is recorded.
//!
//! A retry has fewer events: half as many after each failure, so that one that makes a request fail is alone after some.

use std::time::{Duration, Instant};

use super::hook_queue::{HookQueue, QUEUED_WHILE_HANGING};
use super::next::AttemptKey;
use super::queue::FairQueue;
use crate::delivery::request_size;
use crate::delivery::work::Work;
use crate::domain::{BatchOptions, HookId, Trigger};

/// With more on disk, which the feeder brings at once if there is room, deliveries do not wait for longer.
const MAX_WAIT_BEFORE_BACKLOG: Duration = Duration::from_millis(100);

impl HookQueue {
    fn batch(&self) -> Option<&BatchOptions> {
        self.flow.as_ref()?.batch.as_ref()
    }

    /// `work` is about to be queued.
    pub(super) fn note_push(&mut self, work: &Work, now: Instant) {
        if self.batch().is_none() {
            return;
        }
        if self.works.is_empty() {
            self.gathering.since = Some(now);
            self.gathering.bytes = 0;
        }
        self.gathering.bytes += body_bytes(work);
    }

    /// Until when what is queued waits for others; none if it does not.
    pub(super) fn gathers_until(&self) -> Option<Instant> {
        let options = self.batch()?;
        let most = if self.health.hangs() { QUEUED_WHILE_HANGING } else { usize::MAX };
        let wanted = self.works.front().map_or(options.max_events, |first| most_beside(options, first));
        let is_enough =
            self.works.len() >= wanted.min(most) || self.gathering.bytes >= BatchOptions::MAX_BYTES;
        if is_enough || self.works.is_empty() || self.is_urgent() {
            return None;
        }
        let most = if self.backlog { MAX_WAIT_BEFORE_BACKLOG } else { Duration::MAX };
        Some(self.gathering.since? + options.max_wait.min(most))
    }

    /// Takes what goes in the same request as `first`, the delivery before.
    pub(super) fn take_others(&mut self, first: &Work) -> Vec<Work> {
        let Some(options) = self.batch() else { return Vec::new() };
        let mut bytes = body_bytes(first);
        let mut count = 1;
        let mut fits = |work: &&Work| {
            bytes += body_bytes(work);
            count += 1;
            bytes <= BatchOptions::MAX_BYTES
                && count <= most_beside(options, work)
                && work.trigger != Trigger::Test
                && (self.most == 0 || work.goes_back() == first.goes_back())
        };
        let most = if first.trigger == Trigger::Test { 0 } else { most_beside(options, first) - 1 };
        let count = self.works.iter().take(most).take_while(&mut fits).count();
        let mut others: Vec<Work> = self.works.drain(..count).collect();
        let taken: usize = others.iter().chain([first]).map(body_bytes).sum();
        self.gathering.bytes = self.gathering.bytes.saturating_sub(taken);
        if first.goes_back() {
            others.iter_mut().for_each(Work::give_back);
        }
        others
    }
}

/// How many events a request has at most that brings this one.
fn most_beside(options: &BatchOptions, work: &Work) -> usize {
    options.max_events.checked_shr(work.failures).unwrap_or(0).max(1)
}

/// About how many bytes a delivery has in a request, with what separates it from the next one.
fn body_bytes(work: &Work) -> usize {
    let rendered = work.rendered.as_ref();
    rendered.map_or(work.event.data.len() + 1, |it| request_size::part_bytes(&it.request))
}

impl FairQueue {
    /// Has what is queued for `hook` looked at when it has waited for others long enough, if it waits.
    pub(super) fn wait_for_others(&mut self, hook: HookId) {
        let Some(queue) = self.hooks.get_mut(&hook) else { return };
        let Some(until) = queue.gathers_until() else { return };
        // A look that comes too early is followed by another one.
        if queue.gathering.next_look.is_some_and(|next| next <= until) {
            return;
        }
        if let Some(later) = queue.gathering.next_look.replace(until) {
            self.gathering.remove(&(later, hook));
        }
        self.gathering.insert((until, hook));
    }

    /// Lists the hooks whose deliveries have waited for others long enough.
    pub(super) fn end_gathering(&mut self, now: Instant) {
        while let Some((until, hook)) = self.gathering.first().copied().filter(|(until, _)| *until <= now) {
            self.gathering.pop_first();
            if let Some(queue) = self.hooks.get_mut(&hook) {
                queue.gathering.next_look.take_if(|next| *next == until);
            }
            self.add_runnable(hook, now);
        }
    }

    /// Deliveries start in the request of another.
    pub(super) fn start_others(&mut self, others: &[Work]) {
        self.unfinished_deliveries += others.len();
        for work in others {
            *self.attempted.entry(work.delivery).or_default() += 1;
            self.release(work);
        }
    }

    /// Plugins have run, and the request of the attempt is sent `now`. Returns the attempt's new key.
    pub(in crate::delivery) fn sends(&mut self, key: AttemptKey, now: Instant) -> AttemptKey {
        if let Some(queue) = self.hooks.get_mut(&key.hook) {
            queue.health.sends(now, queue.in_flight);
        }
        AttemptKey { sent_at: now, ..key }
    }

    /// Counts another request of an attempt whose first one is sent. Returns when it may be sent; none if not before
    /// `latest`.
    pub(in crate::delivery) fn count_another(
        &mut self,
        key: AttemptKey,
        now: Instant,
        latest: Instant,
    ) -> Option<Instant> {
        let AttemptKey { hook, tenant, .. } = key;
        let of_hook = self.hook_pacers.get_mut(&hook);
        let mut pacers: Vec<_> = of_hook.into_iter().chain(self.tenant_pacers.get_mut(&tenant)).collect();
        let at = pacers.iter().filter_map(|pacer| pacer.ready_at(now)).max().unwrap_or(now);
        if at > latest {
            return None;
        }
        pacers.iter_mut().for_each(|pacer| {
            pacer.take(at);
        });
        if self.hook_pacers.contains_key(&hook) {
            self.pace(hook, now);
        }
        if self.tenant_pacers.contains_key(&tenant) {
            self.pace_tenant(tenant, now);
        }
        Some(at)
    }
}
