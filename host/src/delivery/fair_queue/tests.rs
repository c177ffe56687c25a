use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::FxHashSet;

use super::forgetting::MAX_REMEMBERED;
use super::health::Health;
use super::hook_queue::QUEUED_WHILE_HANGING;
use super::*;
use crate::clock;
use crate::delivery::limits::DispatcherLimits;
use crate::delivery::testing::{self, work};
use crate::delivery::work::Work;
use crate::domain::{DeliveryId, Event, HookId, Lease, LeaseId, TenantId, Trigger, UnixMillis};

mod cancelling;
mod gathering;
mod members;
mod model;
mod neighbours;
mod rates;
mod rooms;

fn limits() -> DispatcherLimits {
    DispatcherLimits {
        in_flight: 100,
        in_flight_per_tenant: 100,
        in_flight_per_hook: 100,
        unfinished: 100,
        queued: 1_000,
        queued_per_hook: 100,
        queued_bytes: 1_000_000,
        lease: Duration::from_secs(60),
    }
}

/// The lease with which the delivery with this number is stored, as [`work`] has it.
fn lease_of(number: i64, until: UnixMillis) -> Lease {
    Lease::of_stored(DeliveryId(number), until)
}

impl FairQueue {
    /// The next attempt, if one starts now.
    fn start_next(&mut self, now: Instant) -> Option<Started> {
        match self.start(now) {
            Next::Start(started) => Some(started),
            Next::WaitUntil(_) | Next::Idle => None,
        }
    }
}

/// An event of 64 KB.
fn large_event(tenant: i64) -> Arc<Event> {
    let event = Event::clone(&work(tenant, 1, 1).event);
    Arc::new(Event { data: "x".repeat(64 << 10).into(), ..event })
}

fn empty(limits: DispatcherLimits) -> FairQueue {
    FairQueue::new(limits)
}

/// Makes the receiver of `hook` one that answers at once, with the largest window.
fn prove(queue: &mut FairQueue, tenant: i64, hook: i64) {
    let window = queue.limits.in_flight_per_hook;
    queue.hook_queue(HookId(hook), TenantId(tenant)).health = Health::proven(window);
}

/// A queue with `(tenant, hook, count)` deliveries, numbered in order, for receivers that answer at once.
fn filled(limits: DispatcherLimits, queued: &[(i64, i64, i64)]) -> FairQueue {
    let mut queue = empty(limits);
    let mut number = 0;
    for (tenant, hook, count) in queued {
        prove(&mut queue, *tenant, *hook);
        for _ in 0..*count {
            let work = work(*tenant, *hook, number);
            assert!(queue.reserve(&work));
            queue.push(work, clock::monotonic());
            number += 1;
        }
    }
    queue
}

/// Starts everything that can start, in order.
fn keys(queue: &mut FairQueue) -> Vec<AttemptKey> {
    std::iter::from_fn(|| queue.start_next(clock::monotonic())).map(|started| started.key).collect()
}

/// Their hooks.
fn hooks(keys: &[AttemptKey]) -> Vec<i64> {
    keys.iter().map(|key| key.hook.0).collect()
}

/// Ends the first request of `hook` with an answer.
fn answer(queue: &mut FairQueue, keys: &mut Vec<AttemptKey>, hook: i64) -> bool {
    let index = keys.iter().position(|key| key.hook.0 == hook).unwrap();
    queue.request_ended(keys.remove(index), Observation::Answered, clock::monotonic())
}

#[test]
fn tenants_and_hooks_alternate() {
    // Tenant 1 has three hooks with a lot, tenant 2 one with little, which came last.
    let mut queue = filled(limits(), &[(1, 10, 50), (1, 11, 1), (1, 12, 2), (2, 20, 2)]);
    let started = hooks(&keys(&mut queue));
    assert_eq!(started[..8], [10, 20, 11, 20, 12, 10, 12, 10]);
    assert_eq!(started.len(), 55);
}

#[test]
fn each_limit_on_attempts_in_progress_holds_and_ends() {
    // How many start at once, after an answer, and after that one's record.
    let cases = [
        ("requests in all", DispatcherLimits { in_flight: 3, ..limits() }, [3, 1, 0]),
        ("of each tenant", DispatcherLimits { in_flight_per_tenant: 3, ..limits() }, [6, 1, 0]),
        ("of each hook", DispatcherLimits { in_flight_per_hook: 3, ..limits() }, [9, 1, 0]),
        ("what is not recorded", DispatcherLimits { unfinished: 3, ..limits() }, [3, 0, 1]),
    ];
    for (name, limits, [at_once, answered, recorded]) in cases {
        let mut queue = filled(limits, &[(1, 10, 20), (1, 11, 20), (2, 20, 20)]);
        let mut started = keys(&mut queue);
        let first = started[0];
        assert_eq!(started.len(), at_once, "{name}");
        assert!(!answer(&mut queue, &mut started, 10), "{name}");
        assert_eq!(keys(&mut queue).len(), answered, "{name}, answered");
        queue.recorded(first);
        assert_eq!(keys(&mut queue).len(), recorded, "{name}, recorded");
    }
}

#[test]
fn a_hooks_requests_in_flight_follow_its_receivers_answers() {
    let mut queue = empty(limits());
    for number in 0..100 {
        assert!(queue.reserve(&work(1, 10, number)));
        queue.push(work(1, 10, number), clock::monotonic());
    }
    for round_trip in [1, 2, 4, 8, 16] {
        let started = keys(&mut queue);
        assert_eq!(started.len(), round_trip, "a new hook begins with one, and doubles with each round trip");
        for key in started {
            queue.request_ended(key, Observation::Answered, clock::monotonic());
            queue.recorded(key);
        }
    }
    let started = keys(&mut queue);
    assert_eq!(started.len(), 32);
    for key in started {
        queue.request_ended(key, Observation::TimedOut, clock::monotonic());
        queue.recorded(key);
    }
    let mut probe = keys(&mut queue);
    assert_eq!(probe.len(), 1, "a receiver that hangs has a probe");
    answer(&mut queue, &mut probe, 10);
    assert_eq!(keys(&mut queue).len(), 2, "it is back");
}

#[test]
fn tenants_share_the_limit_and_leave_some_for_later_ones() {
    // Of 512: receivers of one tenant after another, all with more than they may have, stop answering.
    let limits = || DispatcherLimits {
        in_flight: 512,
        in_flight_per_tenant: 256,
        in_flight_per_hook: 64,
        unfinished: 10_000,
        queued: 40_000,
        ..limits()
    };
    let cases: [(&str, bool, i64, &[usize]); 2] = [
        ("known to answer", true, 80, &[256, 86, 28, 10, 4, 4, 4, 4, 4, 4]),
        ("known of nothing", false, 300, &[96, 32, 11, 4, 1, 1, 1, 1, 1, 1]),
    ];
    for (what, proven, tenants, shares) in cases {
        let mut queue = empty(limits());
        let mut started = Vec::new();
        for tenant in 0..tenants {
            for number in 0..400 {
                // Each of 100 hooks has four.
                let hook = 1_000 * tenant + number % 100;
                if proven {
                    prove(&mut queue, tenant, hook);
                }
                let work = work(tenant, hook, 1_000_000 * tenant + number);
                if queue.reserve(&work) {
                    queue.push(work, clock::monotonic());
                }
            }
            started.push(keys(&mut queue).len());
        }
        assert_eq!(started[..shares.len()], *shares, "{what}");
        let begun = started.iter().filter(|count| **count > 0).count();
        assert!(begun >= 75, "{what}: each of the first tenants has a key, and {begun} had one");
        assert!(proven || begun >= 240, "{what}: {begun}");
    }
}

#[test]
fn each_limit_on_queued_deliveries_holds() {
    let small = DispatcherLimits { queued: 20, queued_per_hook: 5, queued_bytes: 1_000_000, ..limits() };
    let tight = DispatcherLimits { queued_bytes: 2_400, ..limits() };
    let cases = [
        ("a hook's share", small.clone(), vec![(1, 10, 5)], (1, 10), false),
        ("another hook has its own", small.clone(), vec![(1, 10, 5)], (1, 11), true),
        ("a tenant's half", small.clone(), vec![(1, 10, 5), (1, 11, 5)], (1, 12), false),
        ("another tenant has its own", small, vec![(1, 10, 5), (1, 11, 5)], (2, 20), true),
        ("a tenant's half of the bytes", tight.clone(), vec![(1, 10, 4)], (1, 11), false),
        ("another tenant has its own bytes", tight.clone(), vec![(1, 10, 4)], (2, 20), true),
        ("there is some for a third", tight.clone(), vec![(1, 10, 4), (2, 20, 1)], (3, 30), true),
        ("all bytes", tight, (0..8).map(|it| (it, it, 1)).collect(), (8, 8), false),
    ];
    for (name, limits, queued, (tenant, hook), fits) in cases {
        for trigger in [Trigger::Event, Trigger::Test] {
            let mut queue = filled(limits.clone(), &queued);
            assert_eq!(queue.reserve(&Work { trigger, ..work(tenant, hook, 99) }), fits, "{name}");
        }
    }
}

#[test]
fn new_deliveries_wait_behind_a_backlog_on_disk() {
    let mut queue = FairQueue::new(limits());
    queue.set_backlog(HookId(10), TenantId(1), true);
    assert!(!queue.reserve(&work(1, 10, 1)));
    assert!(queue.reserve(&Work { trigger: Trigger::Test, ..work(1, 10, 2) }), "a test does not wait");
    queue.set_backlog(HookId(10), TenantId(1), false);
    assert!(queue.reserve(&work(1, 10, 3)));
}

#[test]
fn a_queue_with_a_backlog_asks_for_more_when_it_runs_low() {
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut queue = filled(small, &[(1, 10, 4)]);
    queue.set_backlog(HookId(10), TenantId(1), true);
    assert!(queue.wakes_feeder(HookId(10)));
    let asked: Vec<bool> = (0..4)
        .map(|_| {
            let key = queue.start_next(clock::monotonic()).unwrap().key;
            queue.request_ended(key, Observation::Answered, clock::monotonic())
        })
        .collect();
    assert_eq!(asked, [false, true, true, true]);
}

#[test]
fn room_that_is_given_back_is_for_the_backlog() {
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut queue = FairQueue::new(small);
    let reserved: Vec<Work> = (0..4).map(|number| work(1, 10, number)).collect();
    assert!(reserved.iter().all(|work| queue.reserve(work)));
    queue.set_backlog(HookId(10), TenantId(1), true);
    assert!(queue.wakes_feeder(HookId(10)));
    let asked: Vec<bool> = reserved.iter().map(|work| queue.unreserve(work)).collect();
    assert_eq!(asked, [false, true, true, true]);
}

#[test]
fn claims_stay_within_the_limit_in_bytes() {
    // One delivery weighs 258 bytes.
    let limits = DispatcherLimits { queued_bytes: 258 * 16, ..limits() };
    let mut queue = empty(limits);
    assert_eq!(
        queue.claim_capacity(HookId(10), TenantId(1), 0),
        ClaimCapacity { deliveries: 100, tenant_bytes: 258 * 8 }
    );
    for tenant in 1..=14 {
        let work = work(tenant, tenant, tenant);
        assert!(queue.reserve(&work));
        queue.push(work, clock::monotonic());
    }
    assert_eq!(
        queue.claim_capacity(HookId(1), TenantId(1), 0),
        ClaimCapacity::NONE,
        "the rest is for others"
    );
    let ClaimCapacity { deliveries, tenant_bytes } = queue.claim_capacity(HookId(99), TenantId(99), 0);
    assert!(deliveries > 0 && tenant_bytes > 0 && tenant_bytes <= queue.free_bytes());
    queue.push_claimed(Work { event: large_event(99), ..work(99, 99, 99) }, clock::monotonic());
    assert_eq!(queue.free_bytes(), 0);
    assert_eq!(queue.claim_capacity(HookId(98), TenantId(98), 0), ClaimCapacity::NONE, "nothing is left");
}

#[test]
fn a_backlog_that_is_gone_is_forgotten() {
    let mut queue = FairQueue::new(limits());
    for hook in [10, 11, 12] {
        queue.set_backlog(HookId(hook), TenantId(1), true);
    }
    assert!(queue.reserve(&work(1, 20, 1)));
    let due = FxHashSet::from_iter([HookId(11)]);
    let read = queue.begin_read();
    let after = queue.retain_backlogs((&due, read), None, 2);
    assert_eq!(after, Some(HookId(11)), "it looks at two at a time");
    assert_eq!(queue.retain_backlogs((&due, read), after, 2), None);
    assert!(queue.reserve(&work(1, 10, 2)) && !queue.reserve(&work(1, 11, 3)));
    let mut known: Vec<i64> = queue.hooks.keys().map(|hook| hook.0).collect();
    known.sort_unstable();
    assert_eq!(known, [10, 11, 20], "12 has nothing that would have to be remembered");
}

#[test]
fn a_read_of_the_disk_ends_only_backlogs_that_were_noted_before_it() {
    for noted_before in [false, true] {
        let mut queue = FairQueue::new(limits());
        for hook in [10, 11] {
            queue.set_backlog(HookId(hook), TenantId(1), noted_before);
        }
        let read = queue.begin_read();
        // Meanwhile, one of 10 is stored.
        queue.set_backlog(HookId(10), TenantId(1), true);
        queue.retain_backlogs((&FxHashSet::default(), read), None, 9);
        let claim = queue.begin_read();
        queue.end_backlog(HookId(10), read);
        assert_eq!(queue.backlogs(), [HookId(10)]);
        assert!(!queue.reserve(&work(1, 10, 1)) && queue.reserve(&work(1, 11, 2)));
        // A later read finds nothing.
        queue.end_backlog(HookId(10), claim);
        assert!(queue.reserve(&work(1, 10, 3)));
    }
}

#[test]
fn nothing_is_left_when_everything_is_recorded() {
    let mut queue = filled(limits(), &[(1, 10, 5), (2, 20, 5)]);
    let given_back = work(3, 30, 99);
    assert!(queue.reserve(&given_back));
    queue.unreserve(&given_back);
    // Nothing is learned of the receiver of 10.
    queue.hook_queue(HookId(10), TenantId(1)).health = Health::default();
    while let Some(started) = queue.start_next(clock::monotonic()) {
        queue.request_ended(started.key, Observation::Nothing, clock::monotonic());
        queue.recorded(started.key);
    }
    assert_eq!((queue.queued, queue.queued_bytes, queue.shares.taken(), queue.unfinished()), (0, 0, 0, 0));
    assert!(queue.attempted.is_empty());
    let left: Vec<_> =
        queue.hooks.keys().chain(queue.tenants.values().flat_map(|it| &it.remembered)).collect();
    assert_eq!(left, [&HookId(20); 2], "all that is kept is that the receiver of 20 answers");
    assert_eq!(queue.tenants.len(), 1);
}

#[test]
fn a_tenant_remembers_a_limited_number_of_idle_hooks() {
    let mut queue = empty(limits());
    let hooks = i64::try_from(MAX_REMEMBERED).unwrap() + 10;
    for _ in 0..2 {
        for hook in 0..hooks {
            let work = work(1, hook, hook);
            assert!(queue.reserve(&work));
            queue.push(work, clock::monotonic());
            let key = queue.start_next(clock::monotonic()).unwrap().key;
            queue.request_ended(key, Observation::TimedOut, clock::monotonic());
            queue.recorded(key);
        }
        assert_eq!(
            (queue.hooks.len(), queue.tenants[&TenantId(1)].remembered.len()),
            (MAX_REMEMBERED, MAX_REMEMBERED)
        );
    }
}

#[test]
fn a_receiver_that_hangs_uses_little_memory() {
    let mut queue = filled(limits(), &[(1, 10, 1)]);
    let mut started = keys(&mut queue);
    queue.hook_queue(HookId(10), TenantId(1)).health = Health::default();
    queue.request_ended(started.remove(0), Observation::TimedOut, clock::monotonic());
    let fitted = (0..100).filter(|number| queue.reserve(&work(1, 10, *number))).count();
    assert_eq!(fitted, QUEUED_WHILE_HANGING);
    assert_eq!(queue.claim_capacity(HookId(10), TenantId(1), 0).deliveries, 0);
}

#[test]
fn a_test_waits_neither_for_a_hanging_receiver_nor_for_older_deliveries() {
    let mut queue = empty(limits());
    let test = |number| Work { trigger: Trigger::Test, ..work(1, 10, number) };
    for number in 0..3 {
        assert!(queue.reserve(&work(1, 10, number)));
        queue.push(work(1, 10, number), clock::monotonic());
    }
    let probe = queue.start_next(clock::monotonic()).unwrap();
    assert!(queue.start_next(clock::monotonic()).is_none());
    for number in [7, 8] {
        assert!(queue.reserve(&test(number)));
        queue.push(test(number), clock::monotonic());
    }
    let started = queue.start_next(clock::monotonic()).unwrap();
    assert_eq!((probe.work.delivery.0, started.work.delivery.0), (0, 8));
    assert!(queue.start_next(clock::monotonic()).is_none(), "one test at a time");
}
