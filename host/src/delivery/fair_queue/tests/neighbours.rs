//! The latency of a tenant whose receiver answers, beside tenants whose receivers hang, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};

use super::*;

/// How long the other tenants' receivers hang.
const HANGS: Duration = Duration::from_secs(60);
/// How long the measured tenant's receiver takes.
const ANSWERS: Duration = Duration::from_millis(20);
/// The measured tenant and its only hook.
const MEASURED: i64 = 1_000_000;

/// Simulates an engine with default settings around [`FairQueue`]. Only requests take time.
struct Engine {
    queue: FairQueue,
    start: Instant,
    now: Duration,
    /// When requests end.
    ends: BinaryHeap<Reverse<(Duration, usize)>>,
    under_way: HashMap<usize, (AttemptKey, Observation)>,
    /// When deliveries of the measured tenant were pushed, by number.
    pushed: HashMap<i64, Duration>,
    latencies: Vec<Duration>,
    started: usize,
}

impl Engine {
    fn new() -> Self {
        Self {
            queue: FairQueue::new(testing::limits()),
            start: clock::monotonic(),
            now: Duration::ZERO,
            ends: BinaryHeap::new(),
            under_way: HashMap::new(),
            pushed: HashMap::new(),
            latencies: Vec::new(),
            started: 0,
        }
    }

    fn now(&self) -> Instant {
        self.start + self.now
    }

    /// Pushes one delivery if there is room in memory, and starts what may start.
    fn push(&mut self, tenant: i64, hook: i64, number: i64) {
        let work = work(tenant, hook, number);
        if self.queue.reserve(&work) {
            self.queue.push(work, self.now());
            self.pump();
        } else {
            assert_ne!(tenant, MEASURED, "there is no room in memory for it");
        }
    }

    fn pump(&mut self) {
        while let Some(Started { work, key, .. }) = self.queue.start_next(self.now()) {
            let (takes, observation) = match work.tenant() {
                TenantId(MEASURED) => {
                    let pushed = self.pushed.remove(&work.delivery.0).unwrap();
                    self.latencies.push(self.now + ANSWERS - pushed);
                    (ANSWERS, Observation::Answered)
                }
                _ => (HANGS, Observation::TimedOut),
            };
            self.started += 1;
            self.under_way.insert(self.started, (key, observation));
            self.ends.push(Reverse((self.now + takes, self.started)));
        }
    }

    /// Lets requests end until `until`.
    fn advance(&mut self, until: Duration) {
        while let Some(Reverse((at, number))) = self.ends.pop_if_before(until) {
            self.now = at;
            let (key, observation) = self.under_way.remove(&number).unwrap();
            self.queue.request_ended(key, observation, self.now());
            self.queue.recorded(key);
            self.pump();
        }
        self.now = until;
    }

    /// Simulates about two minutes. The measured tenant sends an event at intervals of `every`, beside `neighbours` other tenants
    /// with an event for each of their hooks every ten seconds.
    fn run(mut self, neighbours: i64, hooks: i64, every: Duration) -> Duration {
        let (mut number, mut next_refill) = (0, Duration::ZERO);
        while self.now < Duration::from_secs(130) {
            if self.now >= next_refill {
                for (tenant, hook) in
                    (0..neighbours).flat_map(|tenant| (0..hooks).map(move |hook| (tenant, hook)))
                {
                    number += 1;
                    self.push(tenant, tenant * 1_000 + hook, number);
                }
                next_refill += Duration::from_secs(10);
            }
            number += 1;
            self.pushed.insert(number, self.now);
            self.push(MEASURED, MEASURED, number);
            self.advance(self.now + every);
        }
        self.advance(self.now + ANSWERS);
        assert!(self.pushed.is_empty(), "{} have not arrived", self.pushed.len());
        self.latencies.sort_unstable();
        self.latencies[self.latencies.len() * 99 / 100]
    }
}

trait PopIfBefore {
    fn pop_if_before(&mut self, until: Duration) -> Option<Reverse<(Duration, usize)>>;
}

impl PopIfBefore for BinaryHeap<Reverse<(Duration, usize)>> {
    fn pop_if_before(&mut self, until: Duration) -> Option<Reverse<(Duration, usize)>> {
        self.peek().filter(|Reverse((at, _))| *at <= until)?;
        self.pop()
    }
}

#[test]
fn tenants_with_hanging_receivers_at_most_double_the_latency_of_others() {
    let [often, seldom] = [5, 50].map(Duration::from_millis);
    for (neighbours, hooks, proven, every) in [
        (10, 1, false, often),
        (200, 1, false, often),
        (200, 20, false, seldom),
        (20, 400, false, seldom),
        // All of them stop answering at once, with as many requests in flight as they may have.
        (10, 4, true, often),
        // Beside so many, one request at a time is what is left.
        (60, 4, true, seldom),
    ] {
        let mut engine = Engine::new();
        for (tenant, hook) in (0..neighbours).flat_map(|tenant| (0..hooks).map(move |hook| (tenant, hook))) {
            if proven {
                prove(&mut engine.queue, tenant, tenant * 1_000 + hook);
            }
        }
        let (alone, beside) = (Engine::new().run(0, 0, every), engine.run(neighbours, hooks, every));
        assert!(
            beside <= 2 * alone,
            "beside {neighbours} tenants with {hooks} hooks: {beside:?}, alone: {alone:?}"
        );
    }
}

#[test]
fn a_receiver_known_to_answer_is_not_delayed_by_any_number_of_tenants() {
    let every = Duration::from_millis(5);
    let alone = Engine::new().run(0, 0, every);
    let mut engine = Engine::new();
    prove(&mut engine.queue, MEASURED, MEASURED);
    let beside = engine.run(2_000, 2, every);
    assert!(beside <= 2 * alone, "beside: {beside:?}, alone: {alone:?}");
}

#[test]
fn requests_to_hanging_receivers_go_round_robin_over_all_tenants() {
    let mut engine = Engine::new();
    let mut begun = HashSet::new();
    for minute in 0..20 {
        for tenant in 0..1_000 {
            engine.push(tenant, tenant, minute * 1_000 + tenant);
        }
        begun.extend(engine.under_way.values().map(|(key, _)| key.tenant));
        engine.advance(HANGS * (1 + u32::try_from(minute).unwrap()));
    }
    assert_eq!(begun.len(), 1_000);
}

#[test]
fn what_waits_for_receivers_that_hang_does_not_wait_for_the_engine() {
    let mut engine = Engine::new();
    for round in 0..30 {
        for hook in 0..60 {
            engine.push(1, hook, round * 60 + hook);
        }
        engine.advance(Duration::from_secs(10) * (1 + u32::try_from(round).unwrap()));
    }
    assert!(engine.queue.figures().queued > 0, "its share is used up");
    assert_eq!(engine.queue.waiting(engine.now()), Waiting::default());
}
