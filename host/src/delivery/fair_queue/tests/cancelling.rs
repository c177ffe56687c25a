//! Deliveries that are cancelled while they are in memory, or on their way into it.

use super::*;

#[test]
fn a_cancelled_delivery_is_not_started() {
    let (hook, tenant, lease) = (HookId(10), TenantId(1), UnixMillis(60_000));
    let work = |number| Work { lease_until: lease, ..work(1, 10, number) };
    let recall =
        |queue: &mut FairQueue, number| queue.recall(DeliveryId(number), (tenant, hook), UnixMillis(0));
    let end = |queue: &mut FairQueue, ticket, cancelled| {
        queue.end_recall((tenant, ticket), cancelled, clock::monotonic());
    };
    let mut queue = filled(limits(), &[(1, 10, 3)]);
    let under_way = queue.start_next(clock::monotonic()).unwrap();
    assert_eq!(recall(&mut queue, under_way.work.delivery.0), Err(NotRecalled::AttemptInProgress));
    queue.request_ended(under_way.key, Observation::Answered, clock::monotonic());
    assert_eq!(recall(&mut queue, 0), Err(NotRecalled::AttemptInProgress), "its record is not written yet");
    queue.recorded(under_way.key);

    let cancelled = |number| RecallEnd::Cancelled { lease: Some(lease_of(number, lease)) };
    let (gone, back) = (recall(&mut queue, 1).unwrap(), recall(&mut queue, 2).unwrap());
    assert!(queue.start_next(clock::monotonic()).is_none(), "neither is started while it is being cancelled");
    end(&mut queue, gone, cancelled(1));
    end(&mut queue, back, RecallEnd::PutBack);
    let started = queue.start_next(clock::monotonic()).unwrap();
    assert_eq!(started.work.delivery, DeliveryId(2), "what could not be cancelled is attempted");

    // Those that arrive later: while it is being cancelled, after that, and under a later lease, as after a retry.
    let push = |queue: &mut FairQueue, work: Work| {
        assert!(queue.reserve(&work));
        queue.push(work, clock::monotonic());
        queue.start_next(clock::monotonic()).map(|started| started.work.delivery)
    };
    let during = recall(&mut queue, 4).unwrap();
    assert_eq!(push(&mut queue, work(4)), None);
    end(&mut queue, during, cancelled(4));
    let before = recall(&mut queue, 5).unwrap();
    end(&mut queue, before, cancelled(5));
    assert_eq!(push(&mut queue, work(5)), None);
    let retried = recall(&mut queue, 6).unwrap();
    end(&mut queue, retried, cancelled(6));
    // The clock may have been set back meanwhile: the later lease is known by its id.
    let later = Work { lease: LeaseId(7), lease_until: UnixMillis(lease.0 - 1), ..work(6) };
    assert_eq!(push(&mut queue, later), Some(DeliveryId(6)));
    let waited = recall(&mut queue, 7).unwrap();
    end(&mut queue, waited, RecallEnd::Cancelled { lease: None });
    assert_eq!(push(&mut queue, work(7)), Some(DeliveryId(7)), "nothing was leased that could have arrived");
    assert_eq!((queue.queued, queue.queued_bytes), (0, 0));
}

#[test]
fn a_delivery_that_is_in_memory_twice_is_cancelled_whole() {
    let (key, until) = ((TenantId(1), HookId(10)), UnixMillis(60_000));
    let claimed = Work { lease: LeaseId(1_000), lease_until: until, ..work(1, 10, 3) };
    let ended = Lease { id: claimed.lease, ..lease_of(3, until) };
    // Under a lease that has ended, and under the one of a claim, which arrives before or after the cancellation.
    for claim_arrives_first in [true, false] {
        let mut queue = filled(limits(), &[]);
        let push = |queue: &mut FairQueue, work: Work| {
            assert!(queue.reserve(&work));
            queue.push(work, clock::monotonic());
        };
        push(&mut queue, work(1, 10, 3));
        if claim_arrives_first {
            push(&mut queue, claimed.clone());
        }
        let ticket = queue.recall(DeliveryId(3), key, UnixMillis(0)).unwrap();
        queue.end_recall((key.0, ticket), RecallEnd::Cancelled { lease: Some(ended) }, clock::monotonic());
        if !claim_arrives_first {
            push(&mut queue, claimed.clone());
        }
        assert!(queue.start_next(clock::monotonic()).is_none());
        assert_eq!((queue.queued, queue.queued_bytes), (0, 0));
    }
}

#[test]
fn cancelled_deliveries_that_may_still_arrive_are_limited_and_forgotten_when_their_lease_would_have_ended() {
    let mut queue = empty(limits());
    let key = (TenantId(1), HookId(10));
    let recalled = |queue: &mut FairQueue, now| {
        (0..200)
            .take_while(|number| {
                let Ok(ticket) = queue.recall(DeliveryId(*number), key, UnixMillis(now)) else {
                    return false;
                };
                queue.end_recall(
                    (key.0, ticket),
                    RecallEnd::Cancelled { lease: Some(lease_of(*number, UnixMillis(100))) },
                    clock::monotonic(),
                );
                true
            })
            .count()
    };
    assert_eq!((recalled(&mut queue, 0), recalled(&mut queue, 99)), (100, 0));
    assert_eq!(queue.recall(DeliveryId(1), key, UnixMillis(99)), Err(NotRecalled::TooMany));
    assert!(queue.recall(DeliveryId(1), key, UnixMillis(100)).is_ok());
}

#[test]
fn the_room_of_a_cancelled_delivery_is_for_the_backlog() {
    let key = (TenantId(1), HookId(10));
    let cancelled = |number| RecallEnd::Cancelled { lease: Some(lease_of(number, UnixMillis(60_000))) };
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut queue = filled(small, &[(1, 10, 3)]);
    queue.set_backlog(key.1, key.0, true);
    let asked: Vec<bool> = [(0, RecallEnd::PutBack), (0, cancelled(0)), (1, cancelled(1))]
        .into_iter()
        .map(|(number, end)| {
            let ticket = queue.recall(DeliveryId(number), key, UnixMillis(0)).unwrap();
            queue.end_recall((key.0, ticket), end, clock::monotonic())
        })
        .collect();
    assert_eq!(asked, [false, true, true]);

    // One that arrives only after it was cancelled.
    let ticket = queue.recall(DeliveryId(7), key, UnixMillis(0)).unwrap();
    assert!(!queue.end_recall((key.0, ticket), cancelled(7), clock::monotonic()));
    queue.set_backlog(key.1, key.0, false);
    assert!(queue.reserve(&work(1, 10, 7)));
    queue.set_backlog(key.1, key.0, true);
    assert!(queue.push(work(1, 10, 7), clock::monotonic()));
}
