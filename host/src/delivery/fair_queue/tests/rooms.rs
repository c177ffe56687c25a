//! How a rate's room in memory is divided, and what does not wait for it.

use super::rates::{MINUTE, Run, SECOND, rates};
use super::*;
use crate::domain::{Flow, Flows};

impl Run {
    /// How much of `hook` is in memory.
    fn taken(&self, hook: i64) -> usize {
        self.queue.hooks.get(&HookId(hook)).map_or(0, |queue| queue.taken)
    }

    /// Starts the next one and ends it with this observation.
    fn observe(&mut self, observation: Observation) -> Option<i64> {
        let started = self.queue.start_next(self.now)?;
        self.queue.request_ended(started.key, observation, self.now);
        self.queue.recorded(started.key);
        Some(started.work.hook.0)
    }
}

#[test]
fn a_hook_that_sends_nothing_for_long_leaves_its_tenants_room_to_others() {
    let hour = Some(Duration::from_secs(3600));
    for (what, observation) in
        [("a pause", Observation::Overloaded { retry_after: hour }), ("a timeout", Observation::TimedOut)]
    {
        let mut run = Run::new(rates(&[], &[(1, 1.0)]));
        assert_eq!(run.push(1, 10, 10), 4);
        run.queue.set_backlog(HookId(11), TenantId(1), true);
        assert!(run.queue.wakes_feeder(HookId(11)), "{what}");
        assert_eq!(run.observe(observation), Some(10), "{what}");
        assert!(run.queue.take_refill(), "{what}: the feeder is woken for the other hook");
        run.queue.set_backlog(HookId(11), TenantId(1), false);
        let begin = run.now;
        run.send(begin);
        assert_eq!((run.given_back.len(), run.taken(10)), (2, 1), "{what}: one stays");
        assert_eq!(run.push(1, 10, 9), 0, "{what}");
        run.run(20 * SECOND, |run| {
            run.push(1, 11, 9);
        });
        assert!((18..=22).contains(&run.sent_by(11)), "{what}: {}", run.sent_by(11));
    }
}

#[test]
fn hooks_with_a_much_lower_rate_leave_their_tenants_room_to_others() {
    let slow = [(10, 0.01), (11, 0.01), (12, 0.01), (13, 0.01)];
    let mut run = Run::new(rates(&slow, &[(1, 1.0)]));
    run.run(60 * SECOND, |run| {
        for hook in 10..=14 {
            run.push(1, hook, 1);
        }
    });
    assert!((10..=13).all(|hook| run.sent_by(hook) <= 1));
    assert!((50..=61).contains(&run.sent_by(14)), "{}", run.sent_by(14));
}

#[test]
fn a_hook_that_is_not_set_aside_any_more_counts_again() {
    let mut run = Run::new(rates(&[], &[(1, 1.0)]));
    run.push(1, 10, 4);
    run.observe(Observation::Overloaded { retry_after: Some(10 * SECOND) });
    let begin = run.now;
    run.send(begin);
    assert_eq!(run.push(1, 11, 9), 4, "10 leaves its room");
    run.now += 11 * SECOND;
    run.queue.end_delays(run.now);
    assert_eq!((run.queue.tenants[&TenantId(1)].counted(), run.push(1, 12, 1)), (5, 0));
    // Nobody is set aside without a rate.
    run.queue.delay(HookId(10), TenantId(1), run.now + MINUTE);
    run.queue.set_flows(rates(&[], &[]), run.now);
    assert_eq!(run.push(1, 12, 9), 9);
    assert_eq!(run.queue.tenants[&TenantId(1)].aside, 0);
}

#[test]
fn what_a_lower_rate_leaves_in_memory_is_divided_between_hooks() {
    let mut run = Run::new(rates(&[], &[]));
    for (hook, count) in [(10, 100), (11, 100), (12, 1)] {
        run.queue.delay(HookId(hook), TenantId(1), run.now + SECOND);
        run.push(1, hook, count);
    }
    run.queue.set_flows(rates(&[], &[(1, 2.0)]), run.now);
    let begin = run.now;
    run.send(begin);
    let left = [10, 11, 12].map(|hook| run.taken(hook));
    assert_eq!((left.iter().sum::<usize>(), left[2]), (8, 1), "{left:?}");
    assert!(left[0].abs_diff(left[1]) <= 1, "{left:?}");
}

#[test]
fn the_same_change_again_does_not_allow_another_burst() {
    for (flows, other) in [
        (rates(&[(10, 50.0)], &[]), rates(&[(10, 50.0), (99, 1.0)], &[])),
        (rates(&[], &[(1, 50.0)]), rates(&[(10, 900.0)], &[(1, 50.0)])),
        (rates(&[(10, 50.0)], &[]), rates(&[(10, 49.5)], &[])),
    ] {
        let mut run = Run::new(flows.clone());
        let begin = run.now;
        for step in 0..1_000 {
            run.queue.set_backlog(HookId(10), TenantId(1), false);
            run.push(1, 10, 100);
            run.send(begin);
            run.now += SECOND / 100;
            run.queue.set_flows(if step % 2 == 0 { other.clone() } else { flows.clone() }, run.now);
        }
        assert!((490..=510).contains(&run.sent.len()), "{}", run.sent.len());
    }
}

#[test]
fn what_is_urgent_is_listed_once_and_does_not_keep_out_others() {
    let mut run = Run::new(rates(&[], &[]));
    let begin = run.now;
    for hook in 10..40 {
        run.queue.delay(HookId(hook), TenantId(1), begin + SECOND);
        run.push(1, hook, 30);
    }
    run.push(2, 50, 3);
    run.queue.set_flows(rates(&[], &[(1, 1.0)]), begin);
    // Nothing of the tenant may be sent now.
    run.queue.count(HookId(10), TenantId(1), begin);
    let mut started = Vec::new();
    while let Some(Started { work, key, .. }) = run.queue.start_next(begin) {
        started.push(work.hook.0);
        // What is given back is not recorded yet.
        run.queue.request_ended(key, Observation::Answered, begin);
        assert!(run.queue.urgent.len() <= 30, "each hook once");
    }
    let of_others: Vec<_> = started.iter().enumerate().filter(|(_, hook)| **hook == 50).collect();
    assert_eq!(of_others.len(), 3);
    assert!(of_others.iter().all(|(index, _)| *index < 8), "they alternate: {of_others:?}");
    assert_eq!(run.queue.unfinished(), limits().unfinished / 2, "attempts are left for what is sent");
}

#[test]
fn a_hook_with_few_requests_at_a_time_has_few_deliveries_in_memory() {
    let flow = Flow { max_in_flight: Some(2), ..Flow::default() };
    let hooks = [(HookId(10), Arc::new(flow))].into_iter().collect();
    let mut run = Run::new(Flows { hooks, ..Flows::default() });
    assert_eq!((run.push(1, 10, 2_000), run.push(1, 11, 2_000)), (128, 2_000));
}

#[test]
fn more_is_asked_for_when_a_request_starts() {
    for flows in [rates(&[(10, 1.0)], &[]), rates(&[], &[(1, 1.0)]), rates(&[], &[])] {
        let mut run = Run::new(flows);
        let count = run.push(1, 10, 4);
        run.queue.set_backlog(HookId(10), TenantId(1), true);
        let mut asked = Vec::new();
        for _ in 0..count {
            run.now += SECOND;
            // No receiver answers.
            run.queue.hook_queue(HookId(10), TenantId(1)).health = Health::proven(9);
            asked.push(run.queue.start_next(run.now).unwrap().wants_more);
        }
        assert!(asked.last() == Some(&true), "{asked:?}");
    }
}

#[test]
fn tests_delay_what_is_in_order_for_a_limited_time() {
    for flows in [rates(&[(10, 1.0)], &[]), rates(&[], &[(1, 1.0)])] {
        let mut run = Run::new(flows);
        let begin = run.now;
        for _ in 0..1_000 {
            assert!(run.push_one(1, 10, Trigger::Test));
            run.send(begin);
        }
        assert_eq!(run.sent.len(), 1_000);
        run.push(1, 10, 1);
        let until = run.send(begin).unwrap();
        assert!(until > begin + 3 * SECOND && until < begin + 5 * SECOND);
    }
}
