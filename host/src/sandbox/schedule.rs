//! Work that waits for the sandbox's threads, by lane.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

use super::history::{History, Lane, RunEnd};
use super::paused::Paused;
use super::queue::{FairQueue, QueueEnd};
use super::types::Source;

/// Work that can be scheduled.
pub(super) trait Scheduled {
    fn tenant(&self) -> TenantId;
    fn source(&self) -> Source;
    /// Sets the cost that its next run is charged in advance, in nanoseconds.
    fn expect(&mut self, nanoseconds: u64);
}

/// The lanes' queues, paused work, and the history that selects between them.
pub(super) struct Schedule<T> {
    lanes: [FairQueue<T>; Lane::ALL.len()],
    paused: Paused<T>,
    history: History,
}

impl<T: Scheduled> Schedule<T> {
    pub(super) fn new() -> Self {
        let lanes = Lane::ALL.map(|_| FairQueue::new());
        Self { lanes, paused: Paused::new(), history: History::default() }
    }

    /// Amount of waiting work, including paused work.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(FairQueue::len).sum::<usize>() + self.paused.len()
    }

    /// Amount of work that waits for a thread of a lane.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.lanes[lane as usize].len()
    }

    /// Queues new work. Returns its lane.
    pub(super) fn push(&mut self, work: T, now: Instant) -> Lane {
        self.put(work, QueueEnd::Back, now)
    }

    /// Queues work that has started: it goes before the other work of its source. Returns its lane.
    pub(super) fn push_started(&mut self, work: T, now: Instant) -> Lane {
        self.put(work, QueueEnd::Front, now)
    }

    fn put(&mut self, mut work: T, end: QueueEnd, now: Instant) -> Lane {
        let (tenant, source) = (work.tenant(), work.source());
        let placement = self.history.place(tenant, source, now);
        let expected = nanoseconds(placement.expected);
        work.expect(expected);
        match placement.not_before {
            Some(until) => self.paused.push(until, (tenant, source), work),
            None => self.lanes[placement.lane as usize].push(tenant, source, expected, work, end),
        }
        placement.lane
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<T> {
        self.lanes[lane as usize].pop()
    }

    /// Records a finished run in `lane` that was charged `expected` in advance. Returns whether waiting work has moved.
    pub(super) fn charge(
        &mut self,
        lane: Lane,
        (tenant, source): (TenantId, Source),
        expected: u64,
        cost: Duration,
        end: RunEnd,
        now: Instant,
    ) -> bool {
        self.lanes[lane as usize].charge(tenant, source, expected, nanoseconds(cost));
        if !self.history.record(tenant, source, cost, end, now) {
            return false;
        }
        let mut moving: Vec<VecDeque<T>> = Vec::new();
        for queue in &mut self.lanes {
            moving.push(queue.take(tenant, source));
        }
        // After too many overruns of the tenant, its other sources may be in the wrong lane.
        let quick = &mut self.lanes[Lane::Quick as usize];
        for other in quick.sources(tenant) {
            if self.history.place(tenant, other, now).lane != Lane::Quick {
                moving.push(quick.take(tenant, other));
            }
        }
        for work in moving.into_iter().flatten() {
            self.put(work, QueueEnd::Back, now);
        }
        true
    }

    /// Queues work whose pause has ended. Returns whether there was any.
    pub(super) fn end_pauses(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(queue) = self.paused.pop(now) {
            any = true;
            for work in queue {
                self.put(work, QueueEnd::Back, now);
            }
        }
        any
    }

    /// Returns when the next pause ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.paused.next_end()
    }

    /// Removes the work of one source that matches `predicate`.
    pub(super) fn take_where(
        &mut self,
        tenant: TenantId,
        source: Source,
        predicate: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let mut taken = self.paused.take_where((tenant, source), &predicate);
        for queue in &mut self.lanes {
            taken.extend(queue.take_where(tenant, source, &predicate));
        }
        taken
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
