//! What waits for the sandbox's threads, in its lanes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

use super::history::{Ended, History, Lane};
use super::paused::Paused;
use super::queue::{FairQueue, Place};
use super::types::Source;

/// Work that can be scheduled.
pub(super) trait Scheduled {
    fn tenant(&self) -> TenantId;
    fn source(&self) -> Source;
    /// Is told what its next turn is charged with before it is over, in nanoseconds.
    fn expect(&mut self, nanoseconds: u64);
}

/// See the module's head.
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

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(FairQueue::len).sum::<usize>() + self.paused.len()
    }

    /// How much waits in a lane for a thread.
    pub(super) fn waiting(&self, lane: Lane) -> usize {
        self.lanes[lane as usize].len()
    }

    /// Has new work wait. Answers whose threads may take it.
    pub(super) fn push(&mut self, work: T, now: Instant) -> Lane {
        self.put(work, Place::Back, now)
    }

    /// Has work wait that has begun: it goes before the rest of its source's.
    pub(super) fn push_begun(&mut self, work: T, now: Instant) -> Lane {
        self.put(work, Place::Front, now)
    }

    fn put(&mut self, mut work: T, place: Place, now: Instant) -> Lane {
        let (tenant, source) = (work.tenant(), work.source());
        let placement = self.history.place(tenant, source, now);
        let expected = nanoseconds(placement.expected);
        work.expect(expected);
        match placement.not_before {
            Some(until) => self.paused.push(until, (tenant, source), work),
            None => self.lanes[placement.lane as usize].push(tenant, source, expected, work, place),
        }
        placement.lane
    }

    pub(super) fn pop(&mut self, lane: Lane) -> Option<T> {
        self.lanes[lane as usize].pop()
    }

    /// Says what a turn in `lane` has cost for which `expected` was charged, and how it ended. Answers whether what
    /// waits was put elsewhere for that.
    pub(super) fn charge(
        &mut self,
        lane: Lane,
        (tenant, source): (TenantId, Source),
        expected: u64,
        cost: Duration,
        ended: Ended,
        now: Instant,
    ) -> bool {
        self.lanes[lane as usize].charge(tenant, source, expected, nanoseconds(cost));
        if !self.history.took(tenant, source, cost, ended, now) {
            return false;
        }
        let mut moving: Vec<VecDeque<T>> = Vec::new();
        for queue in &mut self.lanes {
            moving.push(queue.take(tenant, source));
        }
        // A tenant whose calls overran too often has others that are in the wrong lane now.
        let quick = &mut self.lanes[Lane::Quick as usize];
        for other in quick.sources(tenant) {
            if self.history.place(tenant, other, now).lane != Lane::Quick {
                moving.push(quick.take(tenant, other));
            }
        }
        for work in moving.into_iter().flatten() {
            self.put(work, Place::Back, now);
        }
        true
    }

    /// Lets go of work whose pause is over. Answers whether there was any.
    pub(super) fn end_pauses(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(line) = self.paused.pop(now) {
            any = true;
            for work in line {
                self.put(work, Place::Back, now);
            }
        }
        any
    }

    /// When the next pause is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.paused.next_end()
    }

    /// Takes out what `is_wanted` of one source.
    pub(super) fn take_where(
        &mut self,
        tenant: TenantId,
        source: Source,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Vec<T> {
        let mut taken = self.paused.take_where((tenant, source), &is_wanted);
        for queue in &mut self.lanes {
            taken.extend(queue.take_where(tenant, source, &is_wanted));
        }
        taken
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
