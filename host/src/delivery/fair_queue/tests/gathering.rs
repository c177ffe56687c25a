//! Hooks that ask for requests with several events.

use super::super::health::Class;
use super::*;
use crate::domain::{BatchFormat, BatchOptions, Flow, Flows, Rate, Request, RequestBody};
use crate::storage::RenderedRequest;

mod model;

const HOOK: HookId = HookId(10);
const TENANT: TenantId = TenantId(1);
const WAIT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(100);

/// A queue in which the hook wants up to `max_events` events in a request.
fn gathering(max_events: usize, now: Instant) -> FairQueue {
    let mut queue = empty(limits());
    prove(&mut queue, TENANT.0, HOOK.0);
    ask_for(&mut queue, Some(max_events), now);
    queue
}

fn ask_for(queue: &mut FairQueue, max_events: Option<usize>, now: Instant) {
    let batch = max_events.map(|max_events| options(max_events, WAIT));
    set_flow(queue, Flow { batch, ..Flow::default() }, now);
}

fn options(max_events: usize, max_wait: Duration) -> BatchOptions {
    BatchOptions { max_events, max_wait, format: BatchFormat::Json }
}

fn set_flow(queue: &mut FairQueue, flow: Flow, now: Instant) {
    let hooks = [(HOOK, Arc::new(flow))].into_iter().collect();
    queue.set_flows(Flows { hooks, ..Flows::default() }, now);
}

fn push(queue: &mut FairQueue, numbers: std::ops::Range<i64>, now: Instant) {
    for number in numbers {
        let work = work(TENANT.0, HOOK.0, number);
        assert!(queue.reserve(&work));
        queue.push(work, now);
    }
}

/// The numbers of what starts in one request.
fn numbers(started: &Started) -> Vec<i64> {
    std::iter::once(&started.work).chain(&started.others).map(|work| work.delivery.0).collect()
}

fn next(queue: &mut FairQueue, now: Instant) -> Option<Vec<i64>> {
    queue.start_next(now).as_ref().map(numbers)
}

#[test]
fn a_request_starts_when_there_are_enough_or_when_the_first_has_waited() {
    let now = clock::monotonic();
    let mut queue = gathering(3, now);
    push(&mut queue, 0..2, now);
    assert!(matches!(queue.start(now), Next::WaitUntil(until) if until == now + WAIT));
    let later = now + WAIT / 2;
    push(&mut queue, 2..4, later);
    assert_eq!(next(&mut queue, later), Some(vec![0, 1, 2]));
    assert!(matches!(queue.start(later), Next::WaitUntil(until) if until == now + WAIT));
    assert_eq!(next(&mut queue, now + WAIT), Some(vec![3]));
    let end = now + WAIT;
    assert!(matches!(queue.start(end), Next::Idle));
    push(&mut queue, 4..5, end);
    assert!(matches!(queue.start(end), Next::WaitUntil(until) if until == end + WAIT));
}

#[test]
fn a_request_is_in_flight_once_and_each_of_its_deliveries_is_unfinished_until_its_record() {
    let now = clock::monotonic();
    let mut queue = gathering(3, now);
    push(&mut queue, 0..3, now);
    let Started { key, others, of_hook, .. } = queue.start_next(now).unwrap();
    assert_eq!((of_hook, queue.shares.taken(), queue.unfinished(), queue.in_memory()), (1, 1, 3, 3));
    assert_eq!((queue.queued, queue.queued_bytes), (0, 0));
    for number in 0..3 {
        let recalled = queue.recall(DeliveryId(number), (TENANT, HOOK), UnixMillis(0));
        assert_eq!(recalled, Err(NotRecalled::AttemptInProgress));
    }
    queue.close();
    queue.recorded(key);
    queue.request_ended(key, Observation::Answered, now);
    assert_eq!((queue.shares.taken(), queue.unfinished()), (0, 2));
    for work in others {
        assert!(!queue.is_drained());
        queue.recorded(key.of_other(work.delivery));
    }
    assert!(queue.is_drained() && queue.attempted.is_empty());
}

#[test]
fn a_test_starts_at_once_and_alone() {
    let now = clock::monotonic();
    let mut queue = gathering(3, now);
    push(&mut queue, 0..2, now);
    let test = Work { trigger: Trigger::Test, ..work(TENANT.0, HOOK.0, 9) };
    assert!(queue.reserve(&test));
    queue.push(test, now);
    assert_eq!(next(&mut queue, now), Some(vec![9]));
    assert!(matches!(queue.start(now), Next::WaitUntil(until) if until == now + WAIT));
}

#[test]
fn what_is_cancelled_leaves_the_others() {
    let now = clock::monotonic();
    let mut queue = gathering(3, now);
    push(&mut queue, 0..3, now);
    let ticket = queue.recall(DeliveryId(1), (TENANT, HOOK), UnixMillis(0)).unwrap();
    assert_eq!(next(&mut queue, now), None);
    queue.end_recall((TENANT, ticket), RecallEnd::Cancelled { lease: Some(lease_of(1, UnixMillis(1))) }, now);
    assert_eq!(next(&mut queue, now + WAIT), Some(vec![0, 2]));
}

#[test]
fn a_request_has_a_limited_number_of_bytes() {
    let now = clock::monotonic();
    let mut queue = FairQueue::new(DispatcherLimits { queued_bytes: 64 << 20, ..limits() });
    prove(&mut queue, TENANT.0, HOOK.0);
    ask_for(&mut queue, Some(40), now);
    for number in 0..40 {
        let work = Work { event: large_event(TENANT.0), ..work(TENANT.0, HOOK.0, number) };
        assert!(queue.reserve(&work));
        queue.push(work, now);
    }
    // 7 times 64 KiB, and what separates them.
    assert_eq!(next(&mut queue, now), Some((0..7).collect()));
    // A request that was stored for a retry may be larger than its event.
    let mut large = work(TENANT.0, HOOK.0, 50);
    let request = Request {
        method: "POST".into(),
        url: "https://example.com/".to_owned(),
        headers: Vec::new(),
        body: RequestBody::Binary(vec![0; 2 << 20]),
    };
    large.rendered = Some(RenderedRequest { request, hook_updated_at: UnixMillis(0) });
    assert!(queue.reserve(&large));
    queue.push(large, now);
    for first in [7, 14, 21, 28] {
        assert_eq!(next(&mut queue, now + WAIT), Some((first..first + 7).collect()));
    }
    assert_eq!(next(&mut queue, now + WAIT), Some((35..40).collect()));
    assert_eq!(next(&mut queue, now + WAIT), Some(vec![50]));
}

#[test]
fn what_the_feeder_brings_does_not_wait_long_while_there_is_more() {
    let now = clock::monotonic();
    let mut queue = gathering(3, now);
    push(&mut queue, 0..2, now);
    queue.set_backlog(HOOK, TENANT, true);
    assert!(matches!(queue.start(now), Next::WaitUntil(until) if until == now + SHORT));
    assert_eq!(next(&mut queue, now + SHORT), Some(vec![0, 1]));
}

#[test]
fn a_receiver_that_hangs_gets_what_is_kept_for_it() {
    let now = clock::monotonic();
    let mut queue = gathering(100, now);
    let hanging = |queue: &mut FairQueue| {
        queue.hook_queue(HOOK, TENANT).health = Health::default();
        for number in 900..902 {
            push(queue, number..number + 1, now);
            let started = queue.start_next(now + WAIT).unwrap();
            queue.request_ended(started.key, Observation::TimedOut, now + WAIT);
        }
    };
    hanging(&mut queue);
    let later = now + 2 * WAIT;
    push(&mut queue, 0..i64::try_from(QUEUED_WHILE_HANGING).unwrap(), later);
    assert_eq!(next(&mut queue, later).map(|all| all.len()), Some(QUEUED_WHILE_HANGING));
}

#[test]
fn a_change_of_the_hook_holds_for_what_waits() {
    let now = clock::monotonic();
    let mut queue = gathering(10, now);
    push(&mut queue, 0..4, now);
    assert_eq!(next(&mut queue, now), None);
    ask_for(&mut queue, Some(3), now);
    assert_eq!(next(&mut queue, now), Some(vec![0, 1, 2]));
    ask_for(&mut queue, None, now);
    assert_eq!(next(&mut queue, now), Some(vec![3]));
}

#[test]
fn what_has_waited_long_enough_waits_for_the_receiver_and_the_rate() {
    const LONG: Duration = Duration::from_secs(30);
    let retry_after = Some(LONG);
    // The wait, the rate, what is observed of the first request, and how long the next one waits after that.
    for (max_wait, rate, observation, pause) in [
        (Duration::ZERO, None, Observation::Answered, None),
        (SHORT, None, Observation::Answered, None),
        (SHORT, None, Observation::TimedOut, None),
        (Duration::ZERO, Some(0.1), Observation::Answered, Some(Duration::from_secs(10))),
        (SHORT, Some(0.1), Observation::Answered, Some(Duration::from_secs(10))),
        (Duration::ZERO, None, Observation::Overloaded { retry_after }, Some(LONG)),
        (SHORT, None, Observation::Overloaded { retry_after }, Some(LONG)),
    ] {
        let mut now = clock::monotonic();
        // Nothing is known of the receiver, so one request is in flight at a time.
        let mut queue = empty(limits());
        let max_per_second = rate.map(Rate::nearest);
        let batch = Some(options(3, max_wait));
        set_flow(&mut queue, Flow { batch, max_per_second, ..Flow::default() }, now);
        push(&mut queue, 0..1, now);
        now += max_wait;
        let first = queue.start_next(now).unwrap();
        push(&mut queue, 1..3, now);
        for wait in [Duration::ZERO, max_wait, max_wait] {
            now += wait;
            assert!(queue.start_next(now).is_none(), "one is in flight");
        }
        queue.request_ended(first.key, observation, now);
        if let Some(pause) = pause {
            let Next::WaitUntil(until) = queue.start(now) else { panic!("{observation:?}") };
            assert!(now < until && until <= now + pause, "{observation:?}");
            now = until;
        }
        assert_eq!(next(&mut queue, now), Some(vec![1, 2]), "{observation:?}");
        assert!(matches!(queue.start(now), Next::Idle | Next::WaitUntil(_)));
    }
}

#[test]
fn a_retry_has_half_as_many_events_after_each_failure() {
    let push = |queue: &mut FairQueue, failures: &[u32], now| {
        for (number, failures) in (0..).zip(failures) {
            let work = Work { failures: *failures, ..work(TENANT.0, HOOK.0, number) };
            assert!(queue.reserve(&work));
            queue.push(work, now);
        }
    };
    let now = clock::monotonic();
    for (failures, expected) in [(0, 8), (1, 4), (2, 2), (3, 1), (4, 1), (40, 1)] {
        let mut queue = gathering(8, now);
        push(&mut queue, &[failures; 16], now);
        let sizes: Vec<_> = std::iter::from_fn(|| next(&mut queue, now)).map(|all| all.len()).collect();
        assert_eq!(sizes, vec![expected; 16 / expected], "{failures} failures");
    }
    // Those that have failed more often do not make others fail.
    let mut queue = gathering(8, now);
    push(&mut queue, &[0, 0, 3, 1, 0], now);
    let requests: Vec<_> = std::iter::from_fn(|| next(&mut queue, now + WAIT)).collect();
    assert_eq!(requests, [vec![0, 1], vec![2], vec![3, 4]]);
}

#[test]
fn a_request_is_unfinished_until_all_its_records_are_on_their_way() {
    let now = clock::monotonic();
    let mut queue = FairQueue::new(DispatcherLimits { unfinished: 1, ..limits() });
    prove(&mut queue, TENANT.0, HOOK.0);
    ask_for(&mut queue, Some(3), now);
    push(&mut queue, 0..6, now);
    let Started { key, others, .. } = queue.start_next(now).unwrap();
    let (request, first) = key.divide();
    queue.request_ended(request, Observation::Answered, now);
    queue.recorded(first);
    assert_eq!((queue.start_next(now).is_none(), queue.unfinished()), (true, 2));
    others.iter().for_each(|work| queue.recorded(key.of_other(work.delivery)));
    assert!(queue.start_next(now).is_none() && queue.attempted.is_empty());
    queue.recorded(request);
    assert_eq!(next(&mut queue, now), Some(vec![3, 4, 5]));
}

#[test]
fn what_plugins_take_does_not_count_against_the_receiver() {
    for (sends, expected) in [(true, Class::Quick), (false, Class::Slow)] {
        let now = clock::monotonic();
        let mut queue = gathering(3, now);
        push(&mut queue, 0..3, now);
        let mut key = queue.start_next(now).unwrap().key;
        let later = now + 2 * WAIT;
        if sends {
            key = queue.sends(key, later);
            assert_eq!(queue.hooks[&HOOK].health.class(later, 1, false), Class::Quick);
        }
        queue.request_ended(key, Observation::Answered, later);
        assert_eq!(queue.hooks[&HOOK].health.class(later, 0, false), expected);
    }
}

#[test]
fn each_request_of_an_attempt_counts_for_rates() {
    const SECOND: Duration = Duration::from_secs(1);
    let batch = Some(options(3, Duration::ZERO));
    for (of_hook, of_tenant) in [(Some(1.0), None), (None, Some(1.0)), (Some(7.0), Some(1.0))] {
        let now = clock::monotonic();
        let mut queue = gathering(3, now);
        let flow = Flow { batch, max_per_second: of_hook.map(Rate::nearest), ..Flow::default() };
        set_flow(&mut queue, flow, now);
        let of_hook = queue.flows.clone();
        let of_tenant = of_tenant.map(|rate| (TENANT, Rate::nearest(rate)));
        let tenants = of_tenant.into_iter().collect();
        queue.set_flows(Flows { tenants, ..of_hook }, now);
        push(&mut queue, 0..3, now);
        let key = queue.start_next(now).unwrap().key;
        let mut last = now;
        for _ in 0..3 {
            assert_eq!(queue.count_another(key, last, last + SECOND / 2), None, "it would be too late");
            let at = queue.count_another(key, last, last + 2 * SECOND).unwrap();
            assert!(at >= last + SECOND * 9 / 10 && at <= last + SECOND, "{:?}", at - last);
            last = at;
        }
        queue.request_ended(key, Observation::Answered, last);
        push(&mut queue, 3..4, last);
        let mut now = last;
        while let Next::WaitUntil(until) = queue.start(now) {
            now = until;
        }
        assert!(queue.hooks[&HOOK].works.is_empty() && now >= last + SECOND * 9 / 10);
    }
}
