//! Hooks that ask for requests with several events, by chance.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone, Copy)]
enum Step {
    Push { count: i64 },
    Cancel { which: usize },
    End { which: usize, observation: Observation },
    EndAll,
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let observation = prop_oneof![
        4 => Just(Observation::Answered),
        1 => Just(Observation::TimedOut),
        1 => Just(Observation::Nothing),
        1 => Just(Observation::Overloaded { retry_after: Some(2 * WAIT) }),
    ];
    prop_oneof![
        4 => (1..6_i64).prop_map(|count| Step::Push { count }),
        1 => any::<usize>().prop_map(|which| Step::Cancel { which }),
        1 => Just(Step::EndAll),
        3 => (any::<usize>(), observation).prop_map(|(which, observation)| Step::End { which, observation }),
        3 => (1..4_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// A queue of one hook, and what is expected of it.
struct Model {
    queue: FairQueue,
    now: Instant,
    /// The most events in a request.
    max_events: usize,
    /// What is queued, and since when.
    waiting: BTreeMap<i64, Instant>,
    in_flight: Vec<AttemptKey>,
    next_number: i64,
}

impl Model {
    fn new(flow: Flow, window: usize) -> Self {
        let (mut queue, now) = (empty(limits()), clock::monotonic());
        let max_events = flow.batch.as_ref().map_or(1, |batch| batch.max_events);
        if window > 1 {
            queue.hook_queue(HOOK, TENANT).health = Health::proven(window);
        }
        set_flow(&mut queue, flow, now);
        Self { queue, now, max_events, waiting: BTreeMap::new(), in_flight: Vec::new(), next_number: 0 }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Push { count } => (0..count).for_each(|_| self.push()),
            Step::Cancel { which } if !self.waiting.is_empty() => self.cancel(which),
            Step::End { which, observation } if !self.in_flight.is_empty() => {
                let key = self.in_flight.swap_remove(which % self.in_flight.len());
                self.end(key, observation);
            }
            Step::EndAll => {
                for key in std::mem::take(&mut self.in_flight) {
                    self.end(key, Observation::Answered);
                }
            }
            Step::Wait { ms } => self.now += Duration::from_millis(ms),
            Step::Cancel { .. } | Step::End { .. } => {}
        }
    }

    fn push(&mut self) {
        let work = work(TENANT.0, HOOK.0, self.next_number);
        if self.queue.reserve(&work) {
            self.queue.push(work, self.now);
            self.waiting.insert(self.next_number, self.now);
        }
        self.next_number += 1;
    }

    fn cancel(&mut self, which: usize) {
        let delivery = *self.waiting.keys().nth(which % self.waiting.len()).unwrap();
        self.waiting.remove(&delivery);
        let ticket = self.queue.recall(DeliveryId(delivery), (TENANT, HOOK), UnixMillis(0)).unwrap();
        let end = RecallEnd::Cancelled { lease: Some(lease_of(delivery, UnixMillis(1))) };
        self.queue.end_recall((TENANT, ticket), end, self.now);
    }

    fn end(&mut self, key: AttemptKey, observation: Observation) {
        self.queue.request_ended(key, observation, self.now);
        self.queue.recorded(key);
    }

    /// Starts what may start.
    fn start(&mut self) {
        loop {
            match self.queue.start(self.now) {
                Next::Start(started) => self.started(&started),
                Next::WaitUntil(until) => {
                    assert!(until > self.now);
                    return;
                }
                Next::Idle => {
                    assert!(self.waiting.is_empty() || !self.in_flight.is_empty());
                    return;
                }
            }
        }
    }

    fn started(&mut self, started: &Started) {
        let numbers = numbers(started);
        assert!(numbers.len() <= self.max_events && numbers.is_sorted());
        for number in &numbers {
            assert!(self.waiting.remove(number).is_some(), "it waits, and starts once");
        }
        assert!(self.waiting.keys().all(|left| left > &numbers[0]), "in order");
        started.others.iter().for_each(|it| self.queue.recorded(started.key.of_other(it.delivery)));
        self.in_flight.push(started.key);
    }

    /// What holds when nothing more may start.
    fn check(&self, max_wait: Duration) {
        let longest = self.waiting.values().min().map_or(Duration::ZERO, |since| self.now - *since);
        let is_delayed = self.queue.hooks.get(&HOOK).is_some_and(|queue| queue.not_before.is_some());
        assert!(longest <= max_wait || is_delayed || !self.in_flight.is_empty());
        assert_eq!(self.queue.queued, self.waiting.len());
        assert_eq!(self.queue.unfinished(), self.in_flight.len());
    }
}

proptest! {
    #[test]
    fn each_delivery_starts_once_in_order_and_none_waits_for_longer_than_it_may(
        max_events in 2..6_usize,
        max_wait in prop_oneof![Just(Duration::ZERO), Just(WAIT)],
        window in prop_oneof![Just(1), Just(2), Just(100)],
        rate in prop_oneof![2 => Just(None), 1 => Just(Some(0.2)), 1 => Just(Some(3.0))],
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let (batch, max_per_second) = (Some(options(max_events, max_wait)), rate.map(Rate::nearest));
        let mut model = Model::new(Flow { batch, max_per_second, ..Flow::default() }, window);
        let at_the_end = [Step::Wait { ms: 10_000 }, Step::EndAll].repeat(60);
        for step in steps.into_iter().chain(at_the_end) {
            model.apply(step);
            model.start();
            model.check(max_wait);
        }
        assert!(model.waiting.is_empty(), "each starts at some time");
    }
}
