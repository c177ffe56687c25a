//! Deliveries that are cancelled while they are in memory, or on their way into it.

use super::*;

#[test]
fn what_is_cancelled_is_not_started() {
    let (hook, tenant, lease) = (HookId(10), TenantId(1), UnixMillis(60_000));
    let work = |number| Work { lease_until: lease, ..work(1, 10, number) };
    let recall = |lanes: &mut Lanes, number| lanes.recall(DeliveryId(number), (tenant, hook), UnixMillis(0));
    let end = |lanes: &mut Lanes, ticket, cancelled| {
        lanes.end_recall((tenant, ticket), cancelled, Instant::now());
    };
    let mut lanes = filled(limits(), &[(1, 10, 3)]);
    let under_way = lanes.start_next(Instant::now()).unwrap();
    assert_eq!(recall(&mut lanes, under_way.work.delivery.0), Err(NotRecalled::UnderWay));
    lanes.answered(under_way.place, Observation::Answered, Instant::now());
    assert_eq!(recall(&mut lanes, 0), Err(NotRecalled::UnderWay), "its record is not written yet");
    lanes.finished(under_way.place);

    let (gone, back) = (recall(&mut lanes, 1).unwrap(), recall(&mut lanes, 2).unwrap());
    assert!(lanes.start_next(Instant::now()).is_none(), "neither is started while it is being cancelled");
    end(&mut lanes, gone, RecallEnd::Cancelled { lease: Some(lease) });
    end(&mut lanes, back, RecallEnd::PutBack);
    let started = lanes.start_next(Instant::now()).unwrap();
    assert_eq!(started.work.delivery, DeliveryId(2), "what could not be cancelled is attempted");

    for until in [lease.0 - 1, lease.0] {
        let claimed = Work { lease_until: UnixMillis(until), ..work(3) };
        assert!(lanes.reserve(&claimed));
        lanes.push(claimed, Instant::now());
    }
    let twice = recall(&mut lanes, 3).unwrap();
    end(&mut lanes, twice, RecallEnd::Cancelled { lease: Some(lease) });
    assert!(lanes.start_next(Instant::now()).is_none(), "it was in memory twice");

    // Those that arrive later: while it is being cancelled, after that, and under a later lease, as after a retry.
    let push = |lanes: &mut Lanes, work: Work| {
        assert!(lanes.reserve(&work));
        lanes.push(work, Instant::now());
        lanes.start_next(Instant::now()).map(|started| started.work.delivery)
    };
    let during = recall(&mut lanes, 4).unwrap();
    assert_eq!(push(&mut lanes, work(4)), None);
    end(&mut lanes, during, RecallEnd::Cancelled { lease: Some(lease) });
    let before = recall(&mut lanes, 5).unwrap();
    end(&mut lanes, before, RecallEnd::Cancelled { lease: Some(lease) });
    assert_eq!(push(&mut lanes, work(5)), None);
    let retried = recall(&mut lanes, 6).unwrap();
    end(&mut lanes, retried, RecallEnd::Cancelled { lease: Some(lease) });
    let later = Work { lease_until: UnixMillis(lease.0 + 1), ..work(6) };
    assert_eq!(push(&mut lanes, later), Some(DeliveryId(6)));
    let waited = recall(&mut lanes, 7).unwrap();
    end(&mut lanes, waited, RecallEnd::Cancelled { lease: None });
    assert_eq!(push(&mut lanes, work(7)), Some(DeliveryId(7)), "nothing was leased that could have arrived");
    assert_eq!((lanes.queued, lanes.queued_bytes), (0, 0));
}

#[test]
fn what_may_still_arrive_is_bounded_and_forgotten_when_its_lease_would_have_ended() {
    let mut lanes = empty(limits());
    let key = (TenantId(1), HookId(10));
    let recalled = |lanes: &mut Lanes, now| {
        (0..200)
            .take_while(|number| {
                let Ok(ticket) = lanes.recall(DeliveryId(*number), key, UnixMillis(now)) else {
                    return false;
                };
                lanes.end_recall(
                    (key.0, ticket),
                    RecallEnd::Cancelled { lease: Some(UnixMillis(100)) },
                    Instant::now(),
                );
                true
            })
            .count()
    };
    assert_eq!((recalled(&mut lanes, 0), recalled(&mut lanes, 99)), (100, 0));
    assert_eq!(lanes.recall(DeliveryId(1), key, UnixMillis(99)), Err(NotRecalled::TooMany));
    assert!(lanes.recall(DeliveryId(1), key, UnixMillis(100)).is_ok());
}

#[test]
fn room_of_what_is_cancelled_is_for_what_waits_on_disk() {
    let (key, lease) = ((TenantId(1), HookId(10)), Some(UnixMillis(60_000)));
    let small = DispatcherLimits { queued_per_hook: 4, ..limits() };
    let mut lanes = filled(small, &[(1, 10, 3)]);
    lanes.set_backlog(key.1, key.0, true);
    let asked: Vec<bool> =
        [RecallEnd::PutBack, RecallEnd::Cancelled { lease }, RecallEnd::Cancelled { lease }]
            .into_iter()
            .zip([0, 0, 1])
            .map(|(end, number)| {
                let ticket = lanes.recall(DeliveryId(number), key, UnixMillis(0)).unwrap();
                lanes.end_recall((key.0, ticket), end, Instant::now())
            })
            .collect();
    assert_eq!(asked, [false, true, true]);

    // One that arrives only after it was cancelled.
    let ticket = lanes.recall(DeliveryId(7), key, UnixMillis(0)).unwrap();
    assert!(!lanes.end_recall((key.0, ticket), RecallEnd::Cancelled { lease }, Instant::now()));
    lanes.set_backlog(key.1, key.0, false);
    assert!(lanes.reserve(&work(1, 10, 7)));
    lanes.set_backlog(key.1, key.0, true);
    assert!(lanes.push(work(1, 10, 7), Instant::now()));
}
