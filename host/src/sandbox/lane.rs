//! Who may compile or load next: a few places that all tenants share.
//!
//! The next place goes to the waiting tenant that has used the least time lately, so one tenant's hundred plugins do
//! not hold up another's one. The last free place is kept for tenants that have hardly used any: a compilation that takes a
//! minute delays light tenants by nothing. Work nobody waits for is done only while the lane is otherwise idle.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::domain::{Digest, TenantId};

/// What a tenant has used counts half after this time.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// With more than this used lately, a tenant does not get the last free place.
const LIGHT: Duration = Duration::from_secs(5);

/// A lane. Clones are of the same one.
#[derive(Clone)]
pub(super) struct Lane(Arc<Shared>);

struct Shared {
    places: usize,
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    arrivals: u64,
    running: HashMap<u64, Running>,
    waiting: Vec<Waiting>,
    used: HashMap<TenantId, Used>,
}

struct Running {
    tenant: TenantId,
    digest: Digest,
    since: Instant,
}

struct Waiting {
    arrival: u64,
    tenant: TenantId,
    digest: Digest,
    urgency: Urgency,
    grant: oneshot::Sender<Place>,
}

/// Seconds used, as of a moment.
#[derive(Clone, Copy)]
struct Used {
    seconds: f64,
    at: Instant,
}

/// Whether somebody waits for the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A request or a delivery waits.
    Awaited,
    /// It is done ahead of need.
    Ahead,
}

/// A place in a lane; dropped, it goes to the next.
#[must_use]
pub(super) struct Place {
    lane: Lane,
    arrival: u64,
}

impl Lane {
    /// A lane with this many places, at least 1.
    pub(super) fn new(places: usize) -> Self {
        Self::with_clock(places, Instant::now)
    }

    fn with_clock(places: usize, now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { places: places.max(1), now: Box::new(now), state: Mutex::default() }))
    }

    /// Waits for a place to work on `digest` for `tenant`. While a plugin is worked on, others who want the same wait: they will
    /// find it done. Dropping the future leaves the line.
    pub(super) async fn place(&self, tenant: TenantId, digest: Digest, urgency: Urgency) -> Place {
        let (grant, granted) = oneshot::channel();
        {
            let mut state = self.lock();
            state.waiting.retain(|waiting| !waiting.grant.is_closed());
            let arrival = state.arrivals;
            state.arrivals += 1;
            state.waiting.push(Waiting { arrival, tenant, digest, urgency, grant });
        }
        self.admit();
        match granted.await {
            Ok(place) => place,
            // The sender is dropped only with a place in it, or with the lane, which `self` keeps.
            Err(_) => std::future::pending().await,
        }
    }

    /// Hands out places while there are any.
    fn admit(&self) {
        loop {
            let next = self.lock().next(self.0.places, (self.0.now)());
            let Some(next) = next else { return };
            let place = Place { lane: self.clone(), arrival: next.arrival };
            // If nobody waits for it any more, the place comes back at once.
            drop(next.grant.send(place));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The one whose turn it is, which counts as running from here on.
    fn next(&mut self, places: usize, now: Instant) -> Option<Waiting> {
        let free = places.saturating_sub(self.running.len());
        if free == 0 {
            return None;
        }
        let is_last = free == 1 && places > 1;
        let turn =
            self.waiting.iter().enumerate().filter(|(_, waiting)| self.may_start(waiting, is_last, now));
        let (index, _) = turn.min_by(|(_, one), (_, other)| {
            let used = |waiting: &Waiting| self.used_by(waiting.tenant, now);
            let urgency = (one.urgency == Urgency::Ahead).cmp(&(other.urgency == Urgency::Ahead));
            urgency
                .then_with(|| used(one).total_cmp(&used(other)))
                .then_with(|| one.arrival.cmp(&other.arrival))
        })?;
        let next = self.waiting.swap_remove(index);
        let running = Running { tenant: next.tenant, digest: next.digest, since: now };
        self.running.insert(next.arrival, running);
        Some(next)
    }

    fn may_start(&self, waiting: &Waiting, is_last_place: bool, now: Instant) -> bool {
        if self.running.values().any(|running| running.digest == waiting.digest) {
            return false;
        }
        if waiting.urgency == Urgency::Ahead {
            return self.running.is_empty();
        }
        !is_last_place
            || (self.running.values().all(|running| running.tenant != waiting.tenant)
                && self.used_by(waiting.tenant, now) <= LIGHT.as_secs_f64())
    }

    /// What the tenant has used lately, in seconds, with what runs for it now.
    fn used_by(&self, tenant: TenantId, now: Instant) -> f64 {
        let before = self.used.get(&tenant).map_or(0.0, |used| used.decayed(now));
        let running = self.running.values().filter(|running| running.tenant == tenant);
        before + running.map(|running| now.duration_since(running.since).as_secs_f64()).sum::<f64>()
    }

    fn finish(&mut self, arrival: u64, now: Instant) {
        let Some(ended) = self.running.remove(&arrival) else { return };
        let before = self.used.get(&ended.tenant).map_or(0.0, |used| used.decayed(now));
        let seconds = before + now.duration_since(ended.since).as_secs_f64();
        self.used.insert(ended.tenant, Used { seconds, at: now });
        // Half a thousandth of a second orders nothing; forgetting it bounds the map.
        self.used.retain(|_, used| used.decayed(now) > 0.0005);
    }
}

impl Used {
    fn decayed(self, now: Instant) -> f64 {
        let half_lives = now.duration_since(self.at).as_secs_f64() / HALF_LIFE.as_secs_f64();
        self.seconds * 0.5_f64.powf(half_lives)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = (self.lane.0.now)();
        self.lane.lock().finish(self.arrival, now);
        self.lane.admit();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use futures_util::future::BoxFuture;

    use super::*;

    const HEAVY: TenantId = TenantId(1);
    const LIGHT_ONE: TenantId = TenantId(2);
    const OTHER: TenantId = TenantId(3);

    /// Stands still unless it is advanced.
    #[derive(Clone)]
    struct Clock(Arc<Mutex<Instant>>);

    impl Clock {
        fn advance(&self, by: Duration) {
            *self.0.lock().unwrap() += by;
        }
    }

    fn lane(places: usize) -> (Lane, Clock) {
        let clock = Clock(Arc::new(Mutex::new(Instant::now())));
        let read = clock.clone();
        (Lane::with_clock(places, move || *read.0.lock().unwrap()), clock)
    }

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    /// Stands in line; a place that is free is taken at once.
    fn wait(lane: &Lane, tenant: TenantId, number: u8, urgency: Urgency) -> BoxFuture<'static, Place> {
        let lane = lane.clone();
        async move { lane.place(tenant, digest(number), urgency).await }.boxed()
    }

    fn poll(waiting: &mut BoxFuture<'static, Place>) -> Option<Place> {
        waiting.now_or_never()
    }

    fn awaited(lane: &Lane, tenant: TenantId, number: u8) -> BoxFuture<'static, Place> {
        wait(lane, tenant, number, Urgency::Awaited)
    }

    #[tokio::test]
    async fn a_tenant_with_one_plugin_does_not_wait_for_anothers_hundred() {
        let (lane, clock) = lane(1);
        let first = awaited(&lane, HEAVY, 0).await;
        let mut hundred: Vec<_> = (1..100).map(|number| awaited(&lane, HEAVY, number)).collect();
        assert!(hundred.iter_mut().all(|waiting| poll(waiting).is_none()));
        let mut one = awaited(&lane, LIGHT_ONE, 200);
        assert!(poll(&mut one).is_none());
        clock.advance(Duration::from_secs(1));
        drop(first);
        assert!(hundred.iter_mut().all(|waiting| poll(waiting).is_none()));
        assert!(poll(&mut one).is_some(), "its turn is the next");
    }

    #[tokio::test]
    async fn turns_go_by_time_used_which_is_forgotten() {
        let (lane, clock) = lane(1);
        for (tenant, seconds) in [(HEAVY, 40), (OTHER, 10)] {
            let place = awaited(&lane, tenant, 0).await;
            clock.advance(Duration::from_secs(seconds));
            drop(place);
        }
        let held = awaited(&lane, LIGHT_ONE, 0).await;
        let (mut heavy, mut other) = (awaited(&lane, HEAVY, 1), awaited(&lane, OTHER, 2));
        assert!(poll(&mut heavy).is_none() && poll(&mut other).is_none());
        drop(held);
        assert!(poll(&mut heavy).is_none());
        drop(poll(&mut other).unwrap());
        drop(poll(&mut heavy).unwrap());
        clock.advance(HALF_LIFE * 30);
        drop(awaited(&lane, LIGHT_ONE, 0).await);
        assert_eq!(lane.lock().used.len(), 0, "what is long ago is forgotten");
    }

    #[tokio::test]
    async fn the_last_place_is_for_tenants_that_used_little() {
        let (lane, clock) = lane(2);
        let long = awaited(&lane, HEAVY, 0).await;
        clock.advance(LIGHT * 2);
        let mut second = awaited(&lane, HEAVY, 1);
        assert!(poll(&mut second).is_none(), "one tenant has not both places");
        let light = awaited(&lane, LIGHT_ONE, 2).await;
        drop(long);
        assert!(poll(&mut second).is_none(), "the last place is not for who used much");
        drop(light);
        assert!(poll(&mut second).is_some());
    }

    #[tokio::test]
    async fn the_same_plugin_is_not_worked_on_twice_at_once() {
        let (lane, _) = lane(2);
        let first = awaited(&lane, HEAVY, 7).await;
        let mut same = awaited(&lane, LIGHT_ONE, 7);
        assert!(poll(&mut same).is_none());
        drop(first);
        assert!(poll(&mut same).is_some());
    }

    #[tokio::test]
    async fn who_leaves_the_line_holds_up_nobody_and_is_forgotten() {
        let (lane, _) = lane(1);
        let first = awaited(&lane, HEAVY, 0).await;
        let mut gone = awaited(&lane, LIGHT_ONE, 1);
        let mut next = awaited(&lane, OTHER, 2);
        assert!(poll(&mut gone).is_none() && poll(&mut next).is_none());
        drop(gone);
        drop(first);
        assert!(poll(&mut next).is_some());
        for number in 0..100 {
            let mut gone = awaited(&lane, LIGHT_ONE, number);
            let _ = poll(&mut gone);
        }
        assert!(lane.lock().waiting.len() <= 1);
        assert!(lane.lock().running.is_empty());
    }

    #[tokio::test]
    async fn work_ahead_of_need_waits_until_the_lane_is_idle() {
        let (lane, _) = lane(2);
        let first = awaited(&lane, HEAVY, 0).await;
        let mut ahead = wait(&lane, OTHER, 1, Urgency::Ahead);
        assert!(poll(&mut ahead).is_none(), "the free place is for who is waited for");
        let second = awaited(&lane, LIGHT_ONE, 2).await;
        drop(first);
        assert!(poll(&mut ahead).is_none());
        drop(second);
        assert!(poll(&mut ahead).is_some());
    }
}
