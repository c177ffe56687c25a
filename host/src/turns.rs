//! Turns by tenant: so many of something one tenant may do at the same time, and who comes then waits in order of arrival.
//! No tenant waits for another: what one does at once takes up a place of its own and no more of what all share.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::domain::TenantId;

/// See the module's head.
#[derive(Debug)]
pub struct TenantTurns {
    at_once: usize,
    lines: Arc<Lines>,
}

/// What one tenant has while it does something. Dropped, it goes to the next of that tenant.
#[derive(Debug)]
#[must_use]
pub struct Turn {
    // Goes before the place does, with which the tenant may be forgotten.
    _permit: Option<OwnedSemaphorePermit>,
    _place: Place,
}

/// Those tenants of which somebody is here.
#[derive(Debug, Default)]
struct Lines(Mutex<HashMap<TenantId, Line>>);

#[derive(Debug)]
struct Line {
    turns: Arc<Semaphore>,
    /// How many have a turn or wait for one.
    present: usize,
}

/// That somebody is in a tenant's line. With the last one the tenant is forgotten.
#[derive(Debug)]
struct Place {
    lines: Arc<Lines>,
    tenant: TenantId,
}

impl TenantTurns {
    /// Turns of which each tenant has at most `at_once` at the same time, or one that weighs as much.
    #[must_use]
    pub fn new(at_once: usize) -> Self {
        Self { at_once, lines: Arc::default() }
    }

    /// A turn of `tenant`, when those who came before have had theirs. Who ceases to wait has left the line.
    pub async fn turn(&self, tenant: TenantId) -> Turn {
        self.turn_of(tenant, 1).await
    }

    /// As [`Self::turn`], of what weighs as much as `weight` others; more than the tenant may do at the same time weighs as
    /// much as that.
    pub async fn turn_of(&self, tenant: TenantId, weight: usize) -> Turn {
        let line = self.lines.join(tenant, self.at_once);
        self.wait_in(line, weight).await
    }

    async fn wait_in(&self, (place, turns): (Place, Arc<Semaphore>), weight: usize) -> Turn {
        let permits = u32::try_from(weight.min(self.at_once)).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let permit = turns.acquire_many_owned(permits).await.ok();
        Turn { _permit: permit, _place: place }
    }

    /// As [`Self::turn`]; none where `crowd` of the tenant are here already, with a turn or without.
    pub async fn turn_unless_crowded(&self, tenant: TenantId, crowd: usize) -> Option<Turn> {
        let line = self.lines.join_unless_crowded(tenant, self.at_once, crowd)?;
        Some(self.wait_in(line, 1).await)
    }
}

impl Lines {
    fn join(self: &Arc<Self>, tenant: TenantId, at_once: usize) -> (Place, Arc<Semaphore>) {
        self.enter(self.lock(), tenant, at_once)
    }

    fn join_unless_crowded(
        self: &Arc<Self>,
        tenant: TenantId,
        at_once: usize,
        crowd: usize,
    ) -> Option<(Place, Arc<Semaphore>)> {
        let lines = self.lock();
        let is_crowded = lines.get(&tenant).is_some_and(|line| line.present >= crowd);
        (!is_crowded).then(|| self.enter(lines, tenant, at_once))
    }

    fn enter(
        self: &Arc<Self>,
        mut lines: MutexGuard<'_, HashMap<TenantId, Line>>,
        tenant: TenantId,
        at_once: usize,
    ) -> (Place, Arc<Semaphore>) {
        let line = lines
            .entry(tenant)
            .or_insert_with(|| Line { turns: Arc::new(Semaphore::new(at_once)), present: 0 });
        line.present += 1;
        (Place { lines: Arc::clone(self), tenant }, Arc::clone(&line.turns))
    }

    fn leave(&self, tenant: TenantId) {
        if let Entry::Occupied(mut line) = self.lock().entry(tenant) {
            line.get_mut().present -= 1;
            if line.get().present == 0 {
                line.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lines.leave(self.tenant);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    const ONE: TenantId = TenantId(1);
    const OTHER: TenantId = TenantId(2);

    /// Polls once; what had to wait stays in the line.
    fn begun<'a>(waiting: &mut BoxFuture<'a, Turn>) -> Option<Turn> {
        waiting.now_or_never()
    }

    fn at_once(turns: &TenantTurns, tenant: TenantId) -> Option<Turn> {
        turns.turn(tenant).now_or_never()
    }

    fn tenants(turns: &TenantTurns) -> usize {
        turns.lines.lock().len()
    }

    #[test]
    fn a_tenant_has_so_many_turns_and_waits_for_no_other() {
        let turns = TenantTurns::new(2);
        let (first, second) = (at_once(&turns, ONE).unwrap(), at_once(&turns, ONE).unwrap());
        assert!(at_once(&turns, ONE).is_none());
        let other = at_once(&turns, OTHER).unwrap();
        drop(first);
        let third = at_once(&turns, ONE).unwrap();
        assert!(at_once(&turns, ONE).is_none());
        drop((second, third, other));
    }

    #[test]
    fn turns_come_in_order_of_arrival() {
        let turns = TenantTurns::new(1);
        let first = at_once(&turns, ONE).unwrap();
        let (mut second, mut third) = (turns.turn(ONE).boxed(), turns.turn(ONE).boxed());
        assert!(begun(&mut second).is_none() && begun(&mut third).is_none());
        drop(first);
        assert!(at_once(&turns, ONE).is_none(), "one who comes late has gone before others");
        assert!(begun(&mut third).is_none(), "the third has gone before the second");
        let turn = begun(&mut second).unwrap();
        assert!(begun(&mut third).is_none());
        drop(turn);
        assert!(begun(&mut third).is_some());
    }

    #[test]
    fn what_weighs_much_waits_until_there_is_room_and_what_weighs_too_much_goes_alone() {
        let turns = TenantTurns::new(10);
        let light = turns.turn_of(ONE, 4).now_or_never().unwrap();
        let (mut heavy, mut next) = (turns.turn_of(ONE, 7).boxed(), turns.turn(ONE).boxed());
        assert!(begun(&mut heavy).is_none());
        assert!(begun(&mut next).is_none(), "something light has gone before what waits for room");
        drop(light);
        let turn = begun(&mut heavy).unwrap();
        drop((turn, begun(&mut next).unwrap()));
        let all = turns.turn_of(ONE, 1_000).now_or_never().unwrap();
        assert!(at_once(&turns, ONE).is_none());
        drop(all);
    }

    #[test]
    fn who_ceases_to_wait_holds_up_nobody() {
        let turns = TenantTurns::new(1);
        let first = at_once(&turns, ONE).unwrap();
        let (mut second, mut third) = (turns.turn(ONE).boxed(), turns.turn(ONE).boxed());
        assert!(begun(&mut second).is_none() && begun(&mut third).is_none());
        drop(first);
        // Its turn had come, but it goes without having taken it.
        drop(second);
        assert!(begun(&mut third).is_some());
    }

    #[test]
    fn tenants_of_whom_nobody_is_here_are_forgotten() {
        let turns = TenantTurns::new(1);
        for tenant in 0..100 {
            drop(at_once(&turns, TenantId(tenant)).unwrap());
        }
        assert_eq!(tenants(&turns), 0);
        let first = at_once(&turns, ONE).unwrap();
        let mut second = turns.turn(ONE).boxed();
        assert!(begun(&mut second).is_none());
        drop(first);
        assert_eq!(tenants(&turns), 1, "a tenant was forgotten of whom somebody waits");
        drop(second);
        assert_eq!(tenants(&turns), 0);
    }

    #[test]
    fn where_many_are_here_no_more_are_let_in() {
        let turns = TenantTurns::new(1);
        let first = turns.turn_unless_crowded(ONE, 2).now_or_never().unwrap();
        let mut second = turns.turn_unless_crowded(ONE, 2).boxed();
        assert!((&mut second).now_or_never().is_none(), "it waits");
        assert!(turns.turn_unless_crowded(ONE, 2).now_or_never().unwrap().is_none());
        assert!(turns.turn_unless_crowded(OTHER, 2).now_or_never().unwrap().is_some());
        drop(first);
        assert!(second.now_or_never().unwrap().is_some());
    }
}
