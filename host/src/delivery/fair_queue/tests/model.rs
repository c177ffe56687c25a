//! Holds the queue against a plain model, with random operations.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;

const TENANTS: i64 = 3;
const HOOKS_PER_TENANT: i64 = 2;

/// What happens next. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    /// A delivery for this hook is reserved and pushed.
    Push { hook: i64, is_test: bool, is_retry: bool },
    /// A delivery is reserved and given back.
    Unreserve { hook: i64 },
    /// Everything that can start is started.
    Start,
    /// A request ends.
    End { which: usize, observation: Observation },
    /// An attempt is recorded.
    Record { which: usize },
    /// A queued delivery is cancelled, or the cancellation is given up.
    Cancel { which: usize, is_cancelled: bool },
    /// A hook gets a rate, or loses it.
    RateOfHook { hook: i64, rate: Option<u32> },
    /// The same for a tenant.
    RateOfTenant { tenant: i64, rate: Option<u32> },
    /// A hook starts nothing for some milliseconds.
    Delay { hook: i64, ms: u64 },
    /// Time passes.
    Wait { ms: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let hook = 0..TENANTS * HOOKS_PER_TENANT;
    let observation = prop_oneof![
        1 => Just(Observation::Nothing),
        1 => Just(Observation::Unsent),
        4 => Just(Observation::Answered),
        1 => Just(Observation::Overloaded { retry_after: None }),
        1 => Just(Observation::Unreachable),
        2 => Just(Observation::TimedOut),
    ];
    prop_oneof![
        8 => (hook.clone(), prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(hook, is_test, is_retry)| Step::Push { hook, is_test, is_retry }),
        1 => hook.clone().prop_map(|hook| Step::Unreserve { hook }),
        4 => Just(Step::Start),
        6 => (any::<usize>(), observation).prop_map(|(which, observation)| Step::End { which, observation }),
        4 => any::<usize>().prop_map(|which| Step::Record { which }),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, is_cancelled)| Step::Cancel { which, is_cancelled }),
        1 => (hook.clone(), prop::option::of(1..50_u32)).prop_map(|(hook, rate)| Step::RateOfHook { hook, rate }),
        1 => (0..TENANTS, prop::option::of(1..50_u32))
            .prop_map(|(tenant, rate)| Step::RateOfTenant { tenant, rate }),
        1 => (hook, 1..5_000_u64).prop_map(|(hook, ms)| Step::Delay { hook, ms }),
        2 => (1..5_000_u64).prop_map(|ms| Step::Wait { ms }),
    ]
}

/// What the queue must know, in plain collections.
struct Model {
    queue: FairQueue,
    limits: DispatcherLimits,
    now: Instant,
    /// Queued deliveries, with their hooks.
    queued: BTreeMap<i64, i64>,
    in_flight: Vec<AttemptKey>,
    unrecorded: Vec<AttemptKey>,
    started: HashSet<i64>,
    delayed: HashMap<i64, Instant>,
    /// Requests per second of hooks, and of tenants.
    rates: [HashMap<i64, u32>; 2],
    /// When what counts for a rate started, since the rate has changed, with the delivery.
    counted: [HashMap<i64, Vec<(Instant, i64)>>; 2],
    next_number: i64,
}

fn tenant_of(hook: i64) -> i64 {
    hook / HOOKS_PER_TENANT
}

impl Model {
    fn new(limits: DispatcherLimits) -> Self {
        Self {
            queue: FairQueue::new(limits.clone()),
            limits,
            now: clock::monotonic(),
            queued: BTreeMap::new(),
            in_flight: Vec::new(),
            unrecorded: Vec::new(),
            started: HashSet::new(),
            delayed: HashMap::new(),
            rates: Default::default(),
            counted: Default::default(),
            next_number: 0,
        }
    }

    fn work(&mut self, hook: i64) -> Work {
        self.next_number += 1;
        Work { lease_until: UnixMillis(1), ..work(tenant_of(hook), hook, self.next_number) }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Push { hook, is_test, is_retry } => {
                let work = self.work(hook);
                let trigger = if is_test { Trigger::Test } else { Trigger::Event };
                let work = Work { trigger, failures: u32::from(is_retry), ..work };
                if self.queue.reserve(&work) {
                    self.queued.insert(work.delivery.0, hook);
                    self.queue.push(work, self.now);
                }
            }
            Step::Unreserve { hook } => {
                let work = self.work(hook);
                if self.queue.reserve(&work) {
                    self.queue.unreserve(&work);
                }
            }
            Step::Start => self.start_all(),
            Step::End { which, observation } => {
                if let Some(index) = choose(which, self.in_flight.len()) {
                    let key = self.in_flight.swap_remove(index);
                    if matches!(observation, Observation::Nothing | Observation::Unsent) {
                        self.uncount(key);
                    }
                    self.queue.request_ended(key, observation, self.now);
                    self.unrecorded.push(key);
                    // An overloaded receiver may get a pause.
                    let queue = self.queue.hooks.get(&key.hook);
                    self.delayed.extend(queue.and_then(|queue| Some((key.hook.0, queue.paused_until?))));
                }
            }
            Step::Record { which } => {
                if let Some(index) = choose(which, self.unrecorded.len()) {
                    self.queue.recorded(self.unrecorded.swap_remove(index));
                }
            }
            Step::Cancel { which, is_cancelled } => self.cancel(which, is_cancelled),
            Step::RateOfHook { hook, rate } => self.set_rate(0, hook, rate),
            Step::RateOfTenant { tenant, rate } => self.set_rate(1, tenant, rate),
            Step::Delay { hook, ms } => {
                let until = self.now + Duration::from_millis(ms);
                self.queue.delay(HookId(hook), TenantId(tenant_of(hook)), until);
                self.delayed.insert(hook, until);
            }
            Step::Wait { ms } => self.now += Duration::from_millis(ms),
        }
    }

    fn cancel(&mut self, which: usize, is_cancelled: bool) {
        let Some(index) = choose(which, self.queued.len()) else { return };
        let (&number, &hook) = self.queued.iter().nth(index).unwrap();
        let tenant = TenantId(tenant_of(hook));
        let ticket = self.queue.recall(DeliveryId(number), (tenant, HookId(hook)), UnixMillis(0)).unwrap();
        let end = match is_cancelled {
            true => RecallEnd::Cancelled { lease: Some(lease_of(number, UnixMillis(1))) },
            false => RecallEnd::PutBack,
        };
        self.queue.end_recall((tenant, ticket), end, self.now);
        if is_cancelled {
            self.queued.remove(&number);
        }
    }

    fn start_all(&mut self) {
        while let Some(Started { work, others, of_hook, key, .. }) = self.queue.start_next(self.now) {
            assert!(others.is_empty(), "no hook asks for batches");
            let (number, hook) = (work.delivery.0, work.hook.0);
            assert_eq!(self.queued.remove(&number), Some(hook), "it was queued");
            assert!(self.started.insert(number), "it starts once");
            let is_delayed = self.delayed.get(&hook).is_some_and(|until| *until > self.now);
            let waits = work.trigger != Trigger::Test && !work.goes_back();
            assert!(!is_delayed || !waits, "its hook is delayed");
            self.in_flight.push(key);
            if key.counts {
                self.count(number, hook);
            }
            if waits {
                self.check_rates(hook);
            }
            assert_eq!(self.in_flight_of(hook), of_hook);
            self.check_limits();
        }
        self.check_next();
    }

    fn set_rate(&mut self, kind: usize, id: i64, rate: Option<u32>) {
        match rate {
            Some(rate) => drop(self.rates[kind].insert(id, rate)),
            None => drop(self.rates[kind].remove(&id)),
        }
        self.counted[kind].remove(&id);
        let [hooks, tenants] = self.rates.each_ref().map(|rates| {
            let rates = rates.iter().map(|(id, rate)| (*id, f64::from(*rate)));
            rates.collect::<Vec<_>>()
        });
        self.queue.set_flows(rates::rates(&hooks, &tenants), self.now);
        // What went back to the disk does not come again here.
        for hook in 0..TENANTS * HOOKS_PER_TENANT {
            self.queue.set_backlog(HookId(hook), TenantId(tenant_of(hook)), false);
        }
    }

    fn count(&mut self, number: i64, hook: i64) {
        for (kind, id) in [hook, tenant_of(hook)].into_iter().enumerate() {
            if self.rates[kind].contains_key(&id) {
                self.counted[kind].entry(id).or_default().push((self.now, number));
            }
        }
    }

    fn uncount(&mut self, key: AttemptKey) {
        let counted = self.counted.iter_mut().flat_map(HashMap::values_mut);
        counted.for_each(|counted| counted.retain(|(_, number)| *number != key.delivery.0));
    }

    /// Within any time until now, no more has started than the rates allow, with two bursts.
    fn check_rates(&self, hook: i64) {
        for (kind, id) in [hook, tenant_of(hook)].into_iter().enumerate() {
            let Some(rate) = self.rates[kind].get(&id) else { continue };
            let counted = &self.counted[kind][&id];
            for (index, (since, _)) in counted.iter().enumerate() {
                let time = self.now - *since + Duration::from_millis(200);
                let most = time.as_secs_f64() * f64::from(*rate) + 2.0;
                assert!((counted.len() - index) as f64 <= most, "{counted:?} at {rate} per second");
            }
        }
    }

    fn in_flight_of(&self, hook: i64) -> usize {
        self.in_flight.iter().filter(|key| key.hook.0 == hook).count()
    }

    fn check_limits(&self) {
        let limits = &self.limits;
        assert!(self.in_flight.len() <= limits.in_flight);
        assert!(self.in_flight.len() + self.unrecorded.len() <= limits.unfinished);
        for tenant in 0..TENANTS {
            let of_tenant = self.in_flight.iter().filter(|key| key.tenant.0 == tenant).count();
            assert!(of_tenant <= limits.in_flight_per_tenant);
            let queued = self.queued.values().filter(|hook| tenant_of(**hook) == tenant).count();
            assert!(queued <= limits.queued.div_ceil(2), "{queued} of a tenant are queued");
        }
        for hook in 0..TENANTS * HOOKS_PER_TENANT {
            // A test may start beside the window.
            assert!(self.in_flight_of(hook) <= limits.in_flight_per_hook + 1);
            assert!(self.queued.values().filter(|it| **it == hook).count() <= limits.queued_per_hook);
        }
        assert!(self.queued.len() <= limits.queued);
    }

    /// If nothing starts, it is for a reason.
    fn check_next(&mut self) {
        let is_full = self.in_flight.len() + self.unrecorded.len() >= self.limits.unfinished;
        let next_delay = self.delayed.values().filter(|until| **until > self.now).min();
        match self.queue.start(self.now) {
            Next::Start(started) => panic!("{started:?} starts after all"),
            Next::WaitUntil(until) if self.rates.iter().all(HashMap::is_empty) => {
                assert_eq!(Some(&until), next_delay);
            }
            Next::WaitUntil(until) => assert!(until > self.now),
            Next::Idle => assert!(is_full || next_delay.is_none()),
        }
        // A hook with nothing in flight may always start if nothing of any tenant is in flight.
        if self.in_flight.is_empty() && !is_full {
            let is_delayed = |hook: &i64| {
                self.delayed.get(hook).is_some_and(|until| *until > self.now)
                    || self.rates[0].contains_key(hook)
                    || self.rates[1].contains_key(&tenant_of(*hook))
            };
            assert!(self.queued.values().all(is_delayed), "{:?} could start", self.queued);
        }
    }

    fn check_counts(&self) {
        assert_eq!(self.queue.queued, self.queued.len());
        assert_eq!(self.queue.unfinished(), self.in_flight.len() + self.unrecorded.len());
        assert_eq!(self.queue.shares.taken(), self.in_flight.len());
        for (id, tenant) in &self.queue.tenants {
            let aside = self.queue.hooks.values().filter(|queue| queue.tenant == *id && queue.aside);
            assert_eq!(tenant.aside, aside.map(|queue| queue.taken).sum::<usize>());
        }
    }

    /// Lets everything end. Everything that was queued is started then.
    fn finish(mut self) {
        self.now += Duration::from_secs(60);
        while !(self.queued.is_empty() && self.in_flight.is_empty() && self.unrecorded.is_empty()) {
            let before = self.queued.len() + self.in_flight.len() + self.unrecorded.len();
            self.start_all();
            for key in std::mem::take(&mut self.in_flight) {
                self.queue.request_ended(key, Observation::Answered, self.now);
                self.unrecorded.push(key);
            }
            for key in std::mem::take(&mut self.unrecorded) {
                self.queue.recorded(key);
            }
            self.now += Duration::from_secs(2);
            let after = self.queued.len();
            assert!(after < before, "{after} deliveries are never started");
        }
        self.check_counts();
        assert_eq!((self.queue.queued_bytes, self.queue.shares.taken()), (0, 0));
        for tenant in self.queue.tenants.values() {
            assert_eq!((tenant.taken, tenant.taken_bytes, tenant.in_flight, tenant.held), (0, 0, 0, [0; 4]));
        }
    }
}

#[test]
fn a_request_whose_class_changes_while_it_is_listed_starts_at_once() {
    let mut queue = filled(limits(), &[(1, 10, 2)]);
    let now = clock::monotonic();
    // The second one is listed as quick. Five seconds later the receiver has been silent for so long that it is slow.
    let _in_flight = queue.start_next(now).unwrap();
    assert!(queue.start_next(now + Duration::from_secs(5)).is_some());
}

fn choose(which: usize, count: usize) -> Option<usize> {
    which.checked_rem(count)
}

proptest! {
    #[test]
    fn the_queue_loses_nothing_repeats_nothing_and_keeps_its_limits(
        in_flight in 1..12_usize,
        per_tenant in 1..12_usize,
        per_hook in 1..6_usize,
        queued in 1..24_usize,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut model = Model::new(DispatcherLimits {
            in_flight,
            in_flight_per_tenant: per_tenant,
            in_flight_per_hook: per_hook,
            unfinished: 2 * in_flight,
            queued,
            queued_per_hook: 8,
            queued_bytes: 1 << 20,
            lease: Duration::from_secs(60),
        });
        for step in steps {
            model.apply(step);
            model.check_limits();
            model.check_counts();
        }
        model.finish();
    }
}

#[test]
fn a_delayed_hook_waits_and_others_do_not() {
    let mut queue = filled(limits(), &[(1, 10, 1), (1, 11, 1)]);
    let now = clock::monotonic();
    let [sooner, later] = [1, 2].map(|seconds| now + Duration::from_secs(seconds));
    queue.delay(HookId(10), TenantId(1), sooner);
    queue.delay(HookId(10), TenantId(1), later);
    assert_eq!(queue.start_next(now).unwrap().key.hook, HookId(11));
    assert!(matches!(queue.start(sooner), Next::WaitUntil(until) if until == later));
    assert_eq!(queue.start_next(later).unwrap().key.hook, HookId(10));
    assert!(matches!(queue.start(later), Next::Idle));
}
