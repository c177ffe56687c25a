use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::domain::{EventId, EventKey};

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

/// Lanes with `(tenant, hook, how many)` queued, numbered in order.
fn filled(limits: DispatcherLimits, queued: &[(i64, i64, i64)]) -> Lanes {
    let mut lanes = Lanes::new(limits);
    let mut number = 0;
    for (tenant, hook, count) in queued {
        for _ in 0..*count {
            let work = work(*tenant, *hook, number);
            assert!(lanes.reserve(&work));
            lanes.push(work);
            number += 1;
        }
    }
    lanes
}

/// The hooks whose deliveries start, in order, while nothing finishes.
fn started(lanes: &mut Lanes) -> Vec<i64> {
    std::iter::from_fn(|| lanes.start_next()).map(|(work, _)| work.hook.0).collect()
}

#[test]
fn tenants_and_hooks_take_turns() {
    // Tenant 1 has three hooks with a lot, tenant 2 one with little, which came last.
    let mut lanes = filled(limits(), &[(1, 10, 50), (1, 11, 1), (1, 12, 2), (2, 20, 2)]);
    let started = started(&mut lanes);
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
        assert_eq!(started(&mut lanes).len(), at_once, "{name}");
        assert!(!lanes.answered(HookId(10), TenantId(1)), "{name}");
        assert_eq!(started(&mut lanes).len(), answered, "{name}, answered");
        lanes.finished();
        assert_eq!(started(&mut lanes).len(), recorded, "{name}, recorded");
    }
}

#[test]
fn tenants_that_fill_their_share_leave_a_place_for_whoever_comes_next() {
    let shares = DispatcherLimits { in_flight: 16, in_flight_per_tenant: 8, ..limits() };
    let mut lanes = Lanes::new(shares);
    let start = |lanes: &mut Lanes, tenant: i64| {
        for number in 0..20 {
            let work = work(tenant, 10 * tenant, 100 * tenant + number);
            assert!(lanes.reserve(&work));
            lanes.push(work);
        }
        started(lanes)
    };
    // Receivers of one tenant after another never answer.
    for (tenant, share) in [(1, 8), (2, 4), (3, 2), (4, 1)] {
        assert_eq!(start(&mut lanes, tenant), vec![10 * tenant; share]);
    }
    // What is given back goes to whom it leaves least unequal, and the last place to one that has none.
    assert!(!lanes.answered(HookId(20), TenantId(2)));
    assert_eq!(started(&mut lanes), [40]);
    assert_eq!(start(&mut lanes, 5), [50]);
    for _ in 0..8 {
        assert!(!lanes.answered(HookId(10), TenantId(1)));
    }
    let mut again = started(&mut lanes);
    again.sort_unstable();
    // 2, 4, 3, 3 and 3 are under way then.
    assert_eq!(again, [10, 10, 20, 30, 40, 50, 50]);
}

#[test]
fn each_limit_on_what_waits_holds() {
    let small = DispatcherLimits { queued: 20, queued_per_hook: 5, queued_bytes: 1_000_000, ..limits() };
    let tight = DispatcherLimits { queued_bytes: 1_600, ..limits() };
    let cases = [
        ("a hook's share", small.clone(), vec![(1, 10, 5)], (1, 10), false),
        ("another hook has its own", small.clone(), vec![(1, 10, 5)], (1, 11), true),
        ("a tenant's half", small.clone(), vec![(1, 10, 5), (1, 11, 5)], (1, 12), false),
        ("another tenant has its own", small, vec![(1, 10, 5), (1, 11, 5)], (2, 20), true),
        ("a tenant's half of the bytes", tight.clone(), vec![(1, 10, 3)], (1, 11), false),
        ("another tenant has its own bytes", tight.clone(), vec![(1, 10, 3)], (2, 20), true),
        ("all bytes", tight, vec![(1, 10, 3), (2, 20, 3)], (3, 30), false),
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
            lanes.start_next().unwrap();
            lanes.answered(HookId(10), TenantId(1))
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
fn a_backlog_that_is_no_more_is_forgotten() {
    let mut lanes = Lanes::new(limits());
    for hook in [10, 11, 12] {
        lanes.set_backlog(HookId(hook), TenantId(1), true);
    }
    assert!(lanes.reserve(&work(1, 20, 1)));
    lanes.keep_backlogs(&[HookId(11)].into());
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
    while let Some((work, _)) = lanes.start_next() {
        lanes.answered(work.hook, work.event.tenant);
        lanes.finished();
    }
    assert!(lanes.lanes.is_empty() && lanes.tenants.is_empty(), "{lanes:?}");
    assert_eq!((lanes.queued, lanes.queued_bytes, lanes.in_flight, lanes.unfinished), (0, 0, 0, 0));
}
