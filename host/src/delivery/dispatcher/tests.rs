use futures_util::FutureExt as _;

use super::*;
use crate::delivery::testing::{self, Collector, work};
use crate::domain::{DeliveryId, DeliveryState, EventKey, Trigger};

/// A dispatcher whose attempts are collected. One hook may have `in_flight` requests in flight.
fn started(limits: DispatcherLimits) -> (Arc<Dispatcher>, Arc<Collector>) {
    let (dispatcher, collector) = (Dispatcher::new(limits), Arc::new(Collector::default()));
    dispatcher.start(Arc::clone(&collector) as Arc<dyn StartAttempt>, Handle::current());
    (dispatcher, collector)
}

fn push(dispatcher: &Arc<Dispatcher>, hook: i64, number: i64) {
    let work = dispatcher.reserve(work(1, hook, number), UnixMillis(0)).unwrap();
    dispatcher.push_reserved(vec![work]);
}

fn delivery(hook: i64, number: i64) -> Delivery {
    Delivery {
        id: DeliveryId(number),
        tenant: TenantId(1),
        event: EventKey(number),
        hook: HookId(hook),
        event_type: "t".parse().unwrap(),
        trigger: Trigger::Event,
        state: DeliveryState::Delivering,
        attempts: 0,
        failures: 0,
        due_at: None,
        lease: None,
    }
}

fn is_woken(dispatcher: &Dispatcher) -> bool {
    let notifies = [&dispatcher.feeder, &dispatcher.refills];
    // Each of them is taken.
    notifies.map(|it| it.notified().now_or_never().is_some()).contains(&true)
}

#[tokio::test]
async fn another_request_starts_when_the_outcome_is_told_and_another_attempt_when_it_is_recorded() {
    let limits = DispatcherLimits { in_flight: 1, unfinished: 2, ..testing::limits() };
    let (dispatcher, collector) = started(limits);
    (1..=4).for_each(|number| push(&dispatcher, number, number));
    let (_, mut first) = collector.take().remove(0);
    first.report(Observation::Answered);
    let mut second = collector.take().remove(0).1;
    second.report(Observation::Answered);
    second.report(Observation::TimedOut);
    assert!(collector.take().is_empty(), "two attempts are not recorded");
    assert_eq!(dispatcher.unfinished(), 2);
    drop(first);
    let third = collector.take();
    assert_eq!(third.len(), 1);
    drop(second);
    assert!(collector.take().is_empty(), "one request may be in flight");
}

#[tokio::test]
async fn a_permit_that_is_dropped_without_an_outcome_gives_everything_back() {
    let limits = DispatcherLimits { in_flight: 1, unfinished: 1, ..testing::limits() };
    let (dispatcher, collector) = started(limits);
    push(&dispatcher, 1, 1);
    push(&dispatcher, 2, 2);
    drop(collector.take());
    assert_eq!(collector.take().len(), 1);
    assert_eq!(dispatcher.unfinished(), 0);
}

#[tokio::test]
async fn draining_waits_until_everything_is_recorded_and_starts_nothing() {
    let (dispatcher, collector) = started(testing::limits());
    push(&dispatcher, 1, 1);
    push(&dispatcher, 1, 2);
    let mut attempts = collector.take();
    let mut draining = Box::pin(dispatcher.drain());
    assert!((&mut draining).now_or_never().is_none());
    push(&dispatcher, 2, 3);
    attempts[0].1.report(Observation::Answered);
    assert!((&mut draining).now_or_never().is_none(), "it is not recorded yet");
    drop(attempts);
    assert!((&mut draining).now_or_never().is_some());
    assert!(collector.take().is_empty());
    assert!(dispatcher.drain().now_or_never().is_some(), "nothing is in progress");
}

#[tokio::test]
async fn a_recalled_delivery_starts_only_if_it_is_not_cancelled() {
    let limits = DispatcherLimits { in_flight: 1, ..testing::limits() };
    let (dispatcher, collector) = started(limits);
    (1..=3).for_each(|number| push(&dispatcher, 1, number));
    let first = collector.take();
    assert!(matches!(dispatcher.recall(&delivery(1, 1), UnixMillis(0)), Err(NotRecalled::AttemptInProgress)));
    let cancelled = dispatcher.recall(&delivery(1, 2), UnixMillis(0)).unwrap();
    let kept = dispatcher.recall(&delivery(1, 3), UnixMillis(0)).unwrap();
    drop(first);
    assert!(collector.take().is_empty());
    cancelled.cancelled(Some(Lease::of_stored(DeliveryId(2), UnixMillis(900_000))));
    assert!(collector.take().is_empty());
    drop(kept);
    let started: Vec<_> = collector.take().into_iter().map(|(work, _)| work.delivery).collect();
    assert_eq!(started, [DeliveryId(3)]);
}

#[tokio::test]
async fn the_feeder_is_woken_only_for_what_is_due_before_it_looks_again() {
    let (dispatcher, _collector) = started(testing::limits());
    dispatcher.set_next_look(Some(UnixMillis(1_000)));
    for (due_at, wakes) in [(999, true), (1_000, false), (2_000, false)] {
        dispatcher.due_at(UnixMillis(due_at));
        assert_eq!(is_woken(&dispatcher), wakes, "{due_at}");
    }
    dispatcher.set_next_look(None);
    dispatcher.due_at(UnixMillis(2_000));
    assert!(is_woken(&dispatcher), "nothing was known to be due");
    dispatcher.stored_on_disk(HookId(1), TenantId(1));
    assert!(is_woken(&dispatcher));
}

#[tokio::test]
async fn room_that_is_given_back_wakes_the_feeder_if_there_is_more_on_disk() {
    let (dispatcher, _collector) = started(testing::limits());
    for backlog in [false, true] {
        let work = work(1, 1, 1);
        let work = dispatcher.reserve(work, UnixMillis(0)).unwrap();
        dispatcher.queue().set_backlog(HookId(1), TenantId(1), backlog);
        dispatcher.unreserve(&work);
        assert_eq!(is_woken(&dispatcher), backlog);
    }
}

#[tokio::test]
async fn a_delayed_hook_starts_by_itself_when_the_delay_ends() {
    let (dispatcher, collector) = started(testing::limits());
    let until = clock::monotonic() + Duration::from_millis(5);
    dispatcher.delay_hook(HookId(1), TenantId(1), until);
    push(&dispatcher, 1, 1);
    let started = tokio::time::timeout(Duration::from_secs(30), collector.started.notified());
    started.await.expect("it starts");
    assert!(clock::monotonic() >= until);
    assert_eq!(collector.take().len(), 1);
}

#[tokio::test]
async fn a_delay_that_ends_now_replaces_a_long_one() {
    let (dispatcher, collector) = started(testing::limits());
    let now = clock::monotonic();
    dispatcher.delay_hook(HookId(1), TenantId(1), now + Duration::from_secs(3600));
    push(&dispatcher, 1, 1);
    assert_eq!(collector.take().len(), 0);
    dispatcher.delay_hook(HookId(1), TenantId(1), now);
    assert_eq!(collector.take().len(), 1);
}

/// The number of tasks, once those that have ended are gone.
async fn tasks() -> usize {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn a_nearer_time_replaces_the_timer_of_a_later_one() {
    let (dispatcher, collector) = started(testing::limits());
    let now = clock::monotonic();
    for hook in (1..=100_u32).rev() {
        let until = now + Duration::from_secs(1_000) * hook;
        dispatcher.delay_hook(HookId(i64::from(hook)), TenantId(1), until);
    }
    assert_eq!(tasks().await, 1);
    dispatcher.delay_hook(HookId(201), TenantId(1), now + Duration::from_millis(5));
    push(&dispatcher, 201, 2);
    let started = tokio::time::timeout(Duration::from_secs(30), collector.started.notified());
    started.await.expect("it starts");
    assert_eq!(tasks().await, 1, "that of the next hook");
}

#[tokio::test]
async fn room_that_a_start_leaves_wakes_the_feeder_for_what_is_on_disk() {
    let (dispatcher, collector) = started(DispatcherLimits { queued_per_hook: 4, ..testing::limits() });
    let works: Vec<_> =
        (1..=4).filter_map(|number| dispatcher.reserve(work(1, 1, number), UnixMillis(0))).collect();
    dispatcher.stored_on_disk(HookId(1), TenantId(1));
    assert!(!is_woken(&dispatcher), "there is no room");
    dispatcher.push_reserved(works);
    assert!(!is_woken(&dispatcher), "one has started, and three are queued");
    let (_, mut first) = collector.take().remove(0);
    first.report(Observation::Answered);
    assert_eq!(collector.take().len(), 2);
    assert!(is_woken(&dispatcher));
}
