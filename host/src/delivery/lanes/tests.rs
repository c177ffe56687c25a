use std::sync::Arc;
use std::time::Duration;

use super::health::Health;
use super::lane::QUEUED_WHILE_HANGING;
use super::*;
use crate::domain::{DeliveryId, Event, EventId, EventKey, UnixMillis};

mod cancelling;
mod neighbours;

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

fn work(tenant: i64, hook: i64, number: i64) -> Work {
    let event = Event {
        key: EventKey(number),
        id: EventId::of_key(EventKey(number)),
        tenant: TenantId(tenant),
        project: None,
        event_type: "t".parse().unwrap(),
        occurred_at: UnixMillis(0),
        data: "{}".into(),
    };
    Work::fresh(DeliveryId(number), HookId(hook), Arc::new(event), Trigger::Event)
}

/// An event of 64 KB.
fn large_event(tenant: i64) -> Arc<Event> {
    let event = Event::clone(&work(tenant, 1, 1).event);
    Arc::new(Event { data: "x".repeat(64 << 10).into(), ..event })
}

fn empty(limits: DispatcherLimits) -> Lanes {
    Lanes::new(limits)
}

/// Has the receiver of `hook` be one that answers at once and has all the requests that a hook may have.
fn prove(lanes: &mut Lanes, tenant: i64, hook: i64) {
    let window = lanes.limits.in_flight_per_hook;
    lanes.lane(HookId(hook), TenantId(tenant)).health = Health::proven(window);
}

/// Lanes with `(tenant, hook, how many)` queued, numbered in order, for receivers that answer at once.
fn filled(limits: DispatcherLimits, queued: &[(i64, i64, i64)]) -> Lanes {
    let mut lanes = empty(limits);
    let mut number = 0;
    for (tenant, hook, count) in queued {
        prove(&mut lanes, *tenant, *hook);
        for _ in 0..*count {
            let work = work(*tenant, *hook, number);
            assert!(lanes.reserve(&work));
            lanes.push(work, Instant::now());
            number += 1;
        }
    }
    lanes
}

/// All that start while nothing finishes, in order.
fn places(lanes: &mut Lanes) -> Vec<Place> {
    std::iter::from_fn(|| lanes.start_next(Instant::now())).map(|started| started.place).collect()
}

/// Their hooks.
fn hooks(places: &[Place]) -> Vec<i64> {
    places.iter().map(|place| place.hook.0).collect()
}

/// The receiver of the first that is of `hook` answers.
fn answer(lanes: &mut Lanes, places: &mut Vec<Place>, hook: i64) -> bool {
    let index = places.iter().position(|place| place.hook.0 == hook).unwrap();
    lanes.answered(places.remove(index), Observation::Answered, Instant::now())
}

#[test]
fn tenants_and_hooks_take_turns() {
    // Tenant 1 has three hooks with a lot, tenant 2 one with little, which came last.
    let mut lanes = filled(limits(), &[(1, 10, 50), (1, 11, 1), (1, 12, 2), (2, 20, 2)]);
    let started = hooks(&places(&mut lanes));
    assert_eq!(started[..8], [10, 20, 11, 20, 12, 10, 12, 10]);
    assert_eq!(started.len(), 55);
}

#[test]
fn each_limit_on_what_is_under_way_holds_and_ends() {
    // How many start at once, after an answer, and after that one's record.
    let cases = [
        ("requests in all", DispatcherLimits { in_flight: 3, ..limits() }, [3, 1, 0]),
        ("of each tenant", DispatcherLimits { in_flight_per_tenant: 3, ..limits() }, [6, 1, 0]),
        ("of each hook", DispatcherLimits { in_flight_per_hook: 3, ..limits() }, [9, 1, 0]),
        ("what is not recorded", DispatcherLimits { unfinished: 3, ..limits() }, [3, 0, 1]),
    ];
    for (name, limits, [at_once, answered, recorded]) in cases {
        let mut lanes = filled(limits, &[(1, 10, 20), (1, 11, 20), (2, 20, 20)]);
        let mut started = places(&mut lanes);
        let first = started[0];
        assert_eq!(started.len(), at_once, "{name}");
        assert!(!answer(&mut lanes, &mut started, 10), "{name}");
        assert_eq!(places(&mut lanes).len(), answered, "{name}, answered");
        lanes.finished(first);
        assert_eq!(places(&mut lanes).len(), recorded, "{name}, recorded");
    }
}

#[test]
fn a_hook_has_as_many_requests_as_its_receiver_answers() {
    let mut lanes = empty(limits());
    for number in 0..100 {
        assert!(lanes.reserve(&work(1, 10, number)));
        lanes.push(work(1, 10, number), Instant::now());
    }
    for round_trip in [1, 2, 4, 8, 16] {
        let started = places(&mut lanes);
        assert_eq!(started.len(), round_trip, "a new hook begins with one, and doubles with each round trip");
        for place in started {
            lanes.answered(place, Observation::Answered, Instant::now());
            lanes.finished(place);
        }
    }
    let started = places(&mut lanes);
    assert_eq!(started.len(), 32);
    for place in started {
        lanes.answered(place, Observation::TimedOut, Instant::now());
        lanes.finished(place);
    }
    let mut probe = places(&mut lanes);
    assert_eq!(probe.len(), 1, "a receiver that hangs has a probe");
    answer(&mut lanes, &mut probe, 10);
    assert_eq!(places(&mut lanes).len(), 2, "it is back");
}

#[test]
fn tenants_share_places_and_leave_some_for_those_that_come_next() {
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
        let mut lanes = empty(limits());
        let mut started = Vec::new();
        for tenant in 0..tenants {
            for number in 0..400 {
                // Each of 100 hooks has four.
                let hook = 1_000 * tenant + number % 100;
                if proven {
                    prove(&mut lanes, tenant, hook);
                }
                let work = work(tenant, hook, 1_000_000 * tenant + number);
                if lanes.reserve(&work) {
                    lanes.push(work, Instant::now());
                }
            }
            started.push(places(&mut lanes).len());
        }
        assert_eq!(started[..shares.len()], *shares, "{what}");
        let begun = started.iter().filter(|count| **count > 0).count();
        assert!(begun >= 75, "{what}: each of the first tenants has a place, and {begun} had one");
        assert!(proven || begun >= 240, "{what}: {begun}");
    }
}

#[test]
fn each_limit_on_what_waits_holds() {
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
            let mut lanes = filled(limits.clone(), &queued);
            assert_eq!(lanes.reserve(&Work { trigger, ..work(tenant, hook, 99) }), fits, "{name}");
        }
    }
}

#[test]
fn what_is_new_lines_up_behind_a_backlog_on_disk() {
    let mut lanes = Lanes::new(limits());
    lanes.set_backlog(HookId(10), TenantId(1), true);
    assert!(!lanes.reserve(&work(1, 10, 1)));
    assert!(lanes.reserve(&Work { trigger: Trigger::Test, ..work(1, 10, 2) }), "a test does not wait");
    lanes.set_backlog(HookId(10), TenantId(1), false);
    assert!(lanes.reserve(&work(1, 10, 3)));
}

#[test]
fn a_lane_with_a_backlog_asks_for_more_when_it_runs_low() {
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut lanes = filled(small, &[(1, 10, 4)]);
    lanes.set_backlog(HookId(10), TenantId(1), true);
    assert!(lanes.wakes_feeder(HookId(10)));
    let asked: Vec<bool> = (0..4)
        .map(|_| {
            let place = lanes.start_next(Instant::now()).unwrap().place;
            lanes.answered(place, Observation::Answered, Instant::now())
        })
        .collect();
    assert_eq!(asked, [false, true, true, true]);
}

#[test]
fn room_that_is_given_back_is_for_what_waits_on_disk() {
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut lanes = Lanes::new(small);
    let reserved: Vec<Work> = (0..4).map(|number| work(1, 10, number)).collect();
    assert!(reserved.iter().all(|work| lanes.reserve(work)));
    lanes.set_backlog(HookId(10), TenantId(1), true);
    assert!(lanes.wakes_feeder(HookId(10)));
    let asked: Vec<bool> = reserved.iter().map(|work| lanes.unreserve(work)).collect();
    assert_eq!(asked, [false, true, true, true]);
}

#[test]
fn what_tenants_may_claim_is_within_the_limit_in_bytes() {
    // One delivery weighs 258 bytes.
    let limits = DispatcherLimits { queued_bytes: 258 * 16, ..limits() };
    let mut lanes = empty(limits);
    assert_eq!(lanes.room_for_claims(HookId(10), TenantId(1), 0), (100, 258 * 14));
    for tenant in 1..=14 {
        let work = work(tenant, tenant, tenant);
        assert!(lanes.reserve(&work));
        lanes.push(work, Instant::now());
    }
    assert_eq!(lanes.room_for_claims(HookId(1), TenantId(1), 0), (0, 0), "the rest is for others");
    let (deliveries, bytes) = lanes.room_for_claims(HookId(99), TenantId(99), 0);
    assert!(deliveries > 0 && bytes > 0 && bytes <= lanes.free_bytes(), "{deliveries} {bytes}");
    lanes.push_claimed(Work { event: large_event(99), ..work(99, 99, 99) }, Instant::now());
    assert_eq!(lanes.free_bytes(), 0);
    assert_eq!(lanes.room_for_claims(HookId(98), TenantId(98), 0), (0, 0), "nothing is left");
}

#[test]
fn a_backlog_that_is_no_more_is_forgotten() {
    let mut lanes = Lanes::new(limits());
    for hook in [10, 11, 12] {
        lanes.set_backlog(HookId(hook), TenantId(1), true);
    }
    assert!(lanes.reserve(&work(1, 20, 1)));
    let due = FxHashSet::from_iter([HookId(11)]);
    let after = lanes.keep_backlogs(&due, None, 2);
    assert_eq!(after, Some(HookId(11)), "it looks at two at a time");
    assert_eq!(lanes.keep_backlogs(&due, after, 2), None);
    assert!(lanes.reserve(&work(1, 10, 2)) && !lanes.reserve(&work(1, 11, 3)));
    let mut known: Vec<i64> = lanes.lanes.keys().map(|hook| hook.0).collect();
    known.sort_unstable();
    assert_eq!(known, [10, 11, 20], "12 has nothing that would have to be remembered");
}

#[test]
fn nothing_is_left_when_all_is_done() {
    let mut lanes = filled(limits(), &[(1, 10, 5), (2, 20, 5)]);
    let given_back = work(3, 30, 99);
    assert!(lanes.reserve(&given_back));
    lanes.unreserve(&given_back);
    // Nothing is learned of the receiver of 10.
    lanes.lane(HookId(10), TenantId(1)).health = Health::default();
    while let Some(started) = lanes.start_next(Instant::now()) {
        lanes.answered(started.place, Observation::Nothing, Instant::now());
        lanes.finished(started.place);
    }
    assert_eq!((lanes.queued, lanes.queued_bytes, lanes.places.taken(), lanes.unfinished), (0, 0, 0, 0));
    assert!(lanes.under_way.is_empty());
    let left: Vec<_> =
        lanes.lanes.keys().chain(lanes.tenants.values().flat_map(|it| &it.remembered)).collect();
    assert_eq!(left, [&HookId(20); 2], "all that is kept is that the receiver of 20 answers");
    assert_eq!(lanes.tenants.len(), 1);
}

#[test]
fn of_hooks_without_work_a_tenant_remembers_only_so_many() {
    let mut lanes = empty(limits());
    let hooks = i64::try_from(REMEMBERED).unwrap() + 10;
    for _ in 0..2 {
        for hook in 0..hooks {
            let work = work(1, hook, hook);
            assert!(lanes.reserve(&work));
            lanes.push(work, Instant::now());
            let place = lanes.start_next(Instant::now()).unwrap().place;
            lanes.answered(place, Observation::TimedOut, Instant::now());
            lanes.finished(place);
        }
        assert_eq!(
            (lanes.lanes.len(), lanes.tenants[&TenantId(1)].remembered.len()),
            (REMEMBERED, REMEMBERED)
        );
    }
}

#[test]
fn a_receiver_that_hangs_takes_little_memory() {
    let mut lanes = filled(limits(), &[(1, 10, 1)]);
    let mut started = places(&mut lanes);
    lanes.lane(HookId(10), TenantId(1)).health = Health::default();
    lanes.answered(started.remove(0), Observation::TimedOut, Instant::now());
    let fitted = (0..100).filter(|number| lanes.reserve(&work(1, 10, *number))).count();
    assert_eq!(fitted, QUEUED_WHILE_HANGING);
    assert_eq!(lanes.room_for_claims(HookId(10), TenantId(1), 0).0, 0);
}

#[test]
fn a_test_waits_neither_for_a_receiver_that_hangs_nor_for_what_was_there_before() {
    let mut lanes = empty(limits());
    let test = |number| Work { trigger: Trigger::Test, ..work(1, 10, number) };
    for number in 0..3 {
        assert!(lanes.reserve(&work(1, 10, number)));
        lanes.push(work(1, 10, number), Instant::now());
    }
    let probe = lanes.start_next(Instant::now()).unwrap();
    assert!(lanes.start_next(Instant::now()).is_none());
    for number in [7, 8] {
        assert!(lanes.reserve(&test(number)));
        lanes.push(test(number), Instant::now());
    }
    let started = lanes.start_next(Instant::now()).unwrap();
    assert_eq!((probe.work.delivery.0, started.work.delivery.0), (0, 8));
    assert!(lanes.start_next(Instant::now()).is_none(), "one test at a time");
}
