//! Rates of hooks and tenants, in virtual time.

use super::*;
use crate::domain::members::agreed;
use crate::domain::{Flow, Flows, Rate};

/// The rates of hooks and tenants, per second.
pub(super) fn rates(hooks: &[(i64, f64)], tenants: &[(i64, f64)]) -> Flows {
    let flow = |rate| Arc::new(Flow { max_per_second: Some(Rate::nearest(rate)), ..Flow::default() });
    let hooks = hooks.iter().map(|(hook, rate)| (HookId(*hook), flow(*rate))).collect();
    let tenants = tenants.iter().map(|(tenant, rate)| (TenantId(*tenant), Rate::nearest(*rate))).collect();
    Flows { hooks, tenants, ..Flows::default() }
}

/// A queue that is never full, and its time.
pub(super) struct Run {
    pub queue: FairQueue,
    pub now: Instant,
    next_number: i64,
    /// The hooks of what was sent, with the times since the beginning.
    pub sent: Vec<(i64, Duration)>,
    /// Deliveries that went back to the disk.
    pub given_back: Vec<i64>,
}

impl Run {
    pub(super) fn new(flows: Flows) -> Self {
        let limits =
            DispatcherLimits { queued: 100_000, queued_per_hook: 2_000, queued_bytes: 100 << 20, ..limits() };
        let (mut queue, now) = (empty(limits), clock::monotonic());
        queue.set_flows(flows, now);
        Self { queue, now, next_number: 0, sent: Vec::new(), given_back: Vec::new() }
    }

    fn work(&mut self, tenant: i64, hook: i64, trigger: Trigger) -> Work {
        self.next_number += 1;
        Work { trigger, ..work(tenant, hook, self.next_number) }
    }

    /// Queues up to `count` deliveries. Returns how many had room.
    pub(super) fn push(&mut self, tenant: i64, hook: i64, count: usize) -> usize {
        (0..count).take_while(|_| self.push_one(tenant, hook, Trigger::Event)).count()
    }

    pub(super) fn push_one(&mut self, tenant: i64, hook: i64, trigger: Trigger) -> bool {
        let work = self.work(tenant, hook, trigger);
        let fits = self.queue.reserve(&work);
        if fits {
            self.queue.push(work, self.now);
        }
        fits
    }

    /// Sends what may be sent now. Each receiver answers at once.
    pub(super) fn send(&mut self, begin: Instant) -> Option<Instant> {
        loop {
            match self.queue.start(self.now) {
                Next::Start(Started { work, key, .. }) => {
                    let observation = match work.goes_back() {
                        true => {
                            self.given_back.push(work.delivery.0);
                            Observation::Nothing
                        }
                        false => {
                            self.sent.push((work.hook.0, self.now - begin));
                            Observation::Answered
                        }
                    };
                    self.queue.request_ended(key, observation, self.now);
                    self.queue.recorded(key);
                }
                Next::WaitUntil(until) => return Some(until),
                Next::Idle => return None,
            }
        }
    }

    /// Lets `time` pass, while `fill` queues what there is room for.
    pub(super) fn run(&mut self, time: Duration, mut fill: impl FnMut(&mut Self)) {
        let begin = self.now;
        let end = begin + time;
        self.sent.clear();
        while self.now < end {
            fill(self);
            let until = self.send(begin);
            self.now = until.unwrap_or(end).min(end);
        }
    }

    pub(super) fn sent_by(&self, hook: i64) -> usize {
        self.sent.iter().filter(|(by, _)| *by == hook).count()
    }
}

pub(super) const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_hooks_rate_holds_and_delays_no_other_hook() {
    let mut run = Run::new(rates(&[(10, 50.0), (11, 0.5)], &[]));
    run.push(1, 12, 100);
    run.run(MINUTE, |run| {
        run.push(1, 10, 1_000);
        run.push(1, 11, 1_000);
    });
    assert!((3_000..=3_005).contains(&run.sent_by(10)), "{}", run.sent_by(10));
    assert!((30..=31).contains(&run.sent_by(11)), "{}", run.sent_by(11));
    let others: Vec<_> = run.sent.iter().filter(|(hook, _)| *hook == 12).collect();
    assert!(others.len() == 100 && others.iter().all(|(_, at)| at.is_zero()), "it waits for nothing");
    // Never more in any second than the rate and the burst.
    let times: Vec<_> = run.sent.iter().filter(|(hook, _)| *hook == 10).map(|(_, at)| *at).collect();
    let in_a_second =
        |from: &Duration| times.iter().filter(|at| (*from..*from + SECOND).contains(at)).count();
    assert!(times.iter().map(in_a_second).max() <= Some(55));
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_tenants_rate_holds_over_all_its_hooks_which_share_it() {
    let mut run = Run::new(rates(&[(12, 2.0)], &[(1, 20.0)]));
    run.run(MINUTE, |run| {
        let hooks = [10, 11, 12].repeat(20);
        for hook in hooks.into_iter().skip(run.sent.len() % 3) {
            run.push(1, hook, 1);
        }
        run.push(2, 20, 10);
    });
    let of_tenant: usize = [10, 11, 12].map(|hook| run.sent_by(hook)).iter().sum();
    assert!((1_200..=1_202).contains(&of_tenant), "{of_tenant}");
    assert!((80..=121).contains(&run.sent_by(12)), "it has a rate of its own: {}", run.sent_by(12));
    assert!(run.sent_by(10).abs_diff(run.sent_by(11)) <= 300, "{} {}", run.sent_by(10), run.sent_by(11));
    assert!(run.sent_by(20) > 10_000 / 2, "another tenant waits for nothing");
}

#[test]
fn the_rate_outlasts_what_is_in_memory() {
    let mut run = Run::new(rates(&[(10, 0.1)], &[(2, 0.1)]));
    for (tenant, hook) in [(1, 10), (2, 20)] {
        run.push(tenant, hook, 1);
        let begin = run.now;
        run.send(begin);
        run.now += 5 * SECOND;
        run.push(tenant, hook, 1);
        let until = run.send(begin).unwrap();
        assert!(run.sent.len() % 2 == 1 && until > run.now + 4 * SECOND);
        run.now = until;
        assert!(run.send(begin).is_some());
        assert_eq!(run.sent.len() % 2, 0);
    }
}

#[test]
fn a_test_counts_and_does_not_wait() {
    for flows in [rates(&[(10, 1.0)], &[]), rates(&[], &[(1, 1.0)])] {
        let mut run = Run::new(flows);
        let begin = run.now;
        run.push(1, 10, 2);
        run.send(begin);
        assert_eq!(run.sent.len(), 1);
        assert!(run.push_one(1, 10, Trigger::Test) && run.push_one(1, 10, Trigger::Test));
        let until = run.send(begin).unwrap();
        assert_eq!(run.sent.len(), 3);
        assert!(until - begin > 2 * SECOND, "the next one waits for all three");
    }
}

#[test]
fn what_is_not_sent_does_not_count() {
    for flows in [rates(&[(10, 0.01)], &[]), rates(&[], &[(1, 0.01)])] {
        let mut run = Run::new(flows);
        for observation in [Observation::Unsent, Observation::Nothing, Observation::Unreachable] {
            run.push(1, 10, 1);
            let started = run.queue.start_next(run.now).expect("nothing was sent before");
            run.queue.request_ended(started.key, observation, run.now);
            run.queue.recorded(started.key);
        }
        run.push(1, 10, 1);
        assert!(run.queue.start_next(run.now).is_none());
    }
}

#[test]
fn no_more_is_in_memory_than_may_start_soon() {
    let mut run = Run::new(rates(&[(10, 0.01), (11, 0.5), (12, 9_999.0)], &[(2, 0.3)]));
    let filled: Vec<_> = [10, 11, 12].into_iter().map(|hook| run.push(1, hook, 3_000)).collect();
    assert_eq!(filled, [1, 2, 2_000]);
    assert_eq!([20, 21].map(|hook| run.push(2, hook, 3_000)), [2, 0]);
    assert_eq!(run.queue.claim_capacity(HookId(11), TenantId(1), 0).deliveries, 0);
    assert_eq!(run.queue.claim_capacity(HookId(21), TenantId(2), 0).deliveries, 0);
    assert!(run.push_one(1, 10, Trigger::Test) && run.push_one(2, 21, Trigger::Test), "a test has room");
}

#[test]
fn a_change_of_a_rate_acts_at_once() {
    for (slow, fast, none) in [
        (rates(&[(10, 0.01)], &[]), rates(&[(10, 40.0)], &[]), rates(&[], &[])),
        (rates(&[], &[(1, 0.01)]), rates(&[], &[(1, 40.0)]), rates(&[], &[])),
    ] {
        let mut run = Run::new(fast.clone());
        run.push(1, 10, 1_000);
        run.run(SECOND, |_| ());
        let sent = run.sent.len();
        assert!((40..=45).contains(&sent), "{sent}");
        // What cannot start soon goes back at once, and new ones queue behind it on disk.
        run.queue.set_flows(slow.clone(), run.now);
        run.run(SECOND, |_| ());
        assert!(run.sent.len() <= 1);
        assert_eq!(
            (run.given_back.len(), run.queue.in_memory()),
            (160 - sent - 1, usize::from(run.sent.is_empty()))
        );
        assert_eq!(run.push(1, 10, 1), 0);
        run.queue.set_backlog(HookId(10), TenantId(1), false);
        run.push(1, 10, 1);
        run.queue.set_flows(fast, run.now);
        run.run(SECOND, |run| {
            run.push(1, 10, 100);
        });
        assert!((35..=45).contains(&run.sent.len()), "{}", run.sent.len());
        run.queue.set_flows(slow, run.now);
        run.queue.set_backlog(HookId(10), TenantId(1), false);
        run.run(SECOND, |_| ());
        run.queue.set_flows(none, run.now);
        run.push(1, 10, 100);
        run.run(SECOND / 100, |_| ());
        assert!(run.sent.len() >= 100, "{}", run.sent.len());
    }
}

#[test]
fn a_tenant_with_a_backlog_asks_for_more_when_it_runs_low() {
    let mut run = Run::new(rates(&[], &[(1, 1.0)]));
    assert_eq!(run.push(1, 10, 10), 4);
    run.queue.set_backlog(HookId(11), TenantId(1), true);
    assert!(run.queue.wakes_feeder(HookId(11)), "another hook of the tenant wakes the feeder");
    let asked: Vec<bool> = (0..4)
        .map(|_| {
            run.now += 10 * SECOND;
            let started = run.queue.start_next(run.now).unwrap();
            run.queue.request_ended(started.key, Observation::Answered, run.now) || started.wants_more
        })
        .collect();
    assert_eq!(asked, [false, true, false, false], "once is enough");
    assert!(!run.queue.wakes_feeder(HookId(11)), "there is room");
}

#[test]
fn a_receiver_that_takes_long_does_not_slow_the_rate_down() {
    for (flows, rate) in
        [(rates(&[(10, 1.0)], &[]), 1.0), (rates(&[], &[(1, 1.0)]), 1.0), (rates(&[(10, 0.2)], &[]), 0.2)]
    {
        let mut run = Run::new(flows);
        prove(&mut run.queue, 1, 10);
        run.queue.set_backlog(HookId(10), TenantId(1), true);
        let (begin, mut in_flight, mut sent, mut is_asked) = (run.now, Vec::new(), 0, true);
        while run.now < begin + 5 * MINUTE {
            if std::mem::take(&mut is_asked) {
                // As the feeder does, which has more on disk than ever fits.
                for _ in 0..run.queue.claim_capacity(HookId(10), TenantId(1), 0).deliveries {
                    let work = run.work(1, 10, Trigger::Event);
                    run.queue.push_claimed(work, run.now);
                }
                assert!(run.queue.wakes_feeder(HookId(10)));
            }
            while let Next::Start(started) = run.queue.start(run.now) {
                sent += 1;
                is_asked |= started.wants_more;
                in_flight.push((run.now + MINUTE / 3, started.key));
            }
            run.now += SECOND / 10;
            for (_, key) in in_flight.extract_if(.., |(until, _)| *until <= run.now) {
                is_asked |= run.queue.request_ended(key, Observation::Answered, run.now);
                run.queue.recorded(key);
            }
        }
        let expected = (300.0 * rate) as usize;
        assert!((expected * 95 / 100..=expected + 1).contains(&sent), "{sent} of {expected}");
    }
}

#[test]
fn a_pause_and_a_rate_hold_together() {
    let mut run = Run::new(rates(&[(10, 1.0)], &[]));
    let begin = run.now;
    run.push(1, 10, 3);
    run.send(begin);
    run.queue.delay(HookId(10), TenantId(1), begin + 5 * SECOND);
    run.now = begin + 2 * SECOND;
    assert_eq!(run.send(begin), Some(begin + 5 * SECOND));
    // The end of the pause does not end the rate.
    run.queue.delay(HookId(10), TenantId(1), run.now);
    run.send(begin);
    assert_eq!(run.sent.len(), 2);
    run.queue.delay(HookId(10), TenantId(1), run.now);
    assert!(run.send(begin).unwrap() > run.now && run.sent.len() == 2);
}

#[test]
fn only_the_owner_sends_for_a_hook_or_a_tenant_with_a_rate() {
    let nodes = [[1, 2, 3], [2, 3, 1], [3, 1, 2]].map(|nodes| agreed(&nodes));
    let senders = |flows: &Flows, tenant: i64, hook: i64| {
        let sends = |members: &&crate::domain::Members| {
            let mut queue = empty(limits()).beside((*members).clone());
            queue.set_flows(flows.clone(), clock::monotonic());
            queue.reserve(&work(tenant, hook, 1))
        };
        nodes.iter().filter(sends).map(|members| members.own().0).collect::<Vec<_>>()
    };
    let flows = rates(&[(10, 5.0)], &[(2, 5.0)]);
    assert_eq!(senders(&flows, 1, 10).len(), 1);
    assert_eq!(senders(&flows, 1, 11).len(), 3, "it has no rate");
    let owner = senders(&flows, 2, 20);
    assert_eq!(owner.len(), 1);
    assert!((20..60).all(|hook| senders(&flows, 2, hook) == owner), "one node sends for all its hooks");
}

#[test]
fn what_another_node_sends_from_now_on_is_given_back_though_it_waited_for_a_rate() {
    let mut run = Run::new(rates(&[], &[]));
    let begin = run.now;
    // Of two tenants, node 1 does not own one beside node 2.
    let both = agreed(&[1, 2]);
    let tenant = (1..).find(|tenant| !both.owns(crate::domain::Owned::HooksOf(TenantId(*tenant)))).unwrap();
    run.queue.set_members(agreed(&[1]), begin);
    run.queue.set_flows(rates(&[], &[(tenant, 1.0)]), begin);
    run.push(tenant, 10, 2);
    run.push(tenant, 11, 2);
    run.send(begin);
    assert_eq!((run.sent.len(), run.given_back.len()), (1, 0));
    run.queue.set_members(both, begin);
    run.send(begin);
    assert_eq!((run.sent.len(), run.given_back.len()), (1, 3));
    assert!(!run.queue.exceeds_shares());
}
