//! Beside other nodes.

use super::*;
use crate::domain::members::agreed;

const HOOK: HookId = HookId(10);

/// A node beside two others: the one that owns [`HOOK`], or another.
fn beside(in_flight_per_hook: usize, owns: bool) -> FairQueue {
    let owner = agreed(&[1, 2, 3]).owner(HOOK).unwrap().0;
    let own = if owns { owner } else { owner % 3 + 1 };
    let members = agreed(&[own, own % 3 + 1, (own + 1) % 3 + 1]);
    FairQueue::new(DispatcherLimits { in_flight_per_hook, ..limits() }).beside(members)
}

#[test]
fn a_hook_has_its_nodes_share_of_requests_in_flight() {
    let now = clock::monotonic();
    for (limit, owns, expected) in [(11, true, 5), (11, false, 3), (2, true, 2), (1, true, 1)] {
        let mut queue = beside(limit, owns);
        for number in 0..20 {
            assert!(queue.reserve(&work(1, HOOK.0, number)));
            queue.push(work(1, HOOK.0, number), now);
        }
        let mut most = 0;
        let mut in_flight = Vec::new();
        // The window grows with each answer.
        for _ in 0..20 {
            while let Some(started) = queue.start_next(now) {
                in_flight.push(started.key);
            }
            most = most.max(in_flight.len());
            let Some(ended) = in_flight.pop() else { break };
            queue.request_ended(ended, Observation::Answered, now);
            queue.recorded(ended);
        }
        assert_eq!(most, expected, "of {limit}, {owns}");
    }
}

#[test]
fn a_node_without_a_share_takes_nothing_into_memory_but_tests() {
    let mut queue = beside(2, false);
    assert!(!queue.reserve(&work(1, HOOK.0, 1)));
    assert!(queue.reserve(&Work { trigger: Trigger::Test, ..work(1, HOOK.0, 2) }));
}

#[test]
fn what_is_queued_starts_to_be_given_back_when_the_share_is_lost() {
    let now = clock::monotonic();
    let mut queue = FairQueue::new(DispatcherLimits { in_flight_per_hook: 2, ..limits() });
    for number in 1..=3 {
        assert!(queue.reserve(&work(1, HOOK.0, number)));
        queue.push(work(1, HOOK.0, number), now);
    }
    let first = queue.start_next(now).unwrap();
    assert!(queue.start_next(now).is_none() && !queue.exceeds_shares());
    let lost = beside(2, false).members;
    queue.set_members(lost, now);
    assert!(queue.exceeds_shares());
    queue.request_ended(first.key, Observation::Answered, now);
    let mut given_back = Vec::new();
    while let Some(started) = queue.start_next(now) {
        given_back.push(started.work.delivery.0);
        queue.request_ended(started.key, Observation::Nothing, now);
    }
    assert_eq!(given_back, [2, 3]);
    assert!(!queue.exceeds_shares());
}
