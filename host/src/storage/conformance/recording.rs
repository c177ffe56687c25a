//! Records of attempts.

use std::collections::HashMap;
use std::time::Duration;

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry, request};
use crate::domain::attempt::{LogLevel, LogLine, ResolvedPlugin, UnreachableKind};
use crate::domain::{
    Attempt, AttemptId, Delivery, DeliveryId, DeliveryState, Digest, Fault, FaultKind, HookId, LastAttempt,
    LeaseId, Outcome, Request, RequestBody, Response, Role, StepOutput, StepReport, UnixMillis,
};
use crate::storage::{Record, Rendered, RenderedRequest, RetryPolicy};

const HOOK: HookId = HookId(3);

/// To every state that there is after an attempt.
pub async fn a_record_moves_a_delivery_on(world: &World) {
    for state in DeliveryState::ALL.into_iter().filter(|state| *state != DeliveryState::Delivering) {
        let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
        let record = Record { attempts: 3, failures: 2, ..world.record_of(id, state) };
        world.record(record.clone()).await;
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.attempts, delivery.failures), (state, 3, 2));
        assert_eq!(delivery.due_at, record.due_at);
        assert_eq!(world.attempts(id).await.len(), 1);
    }
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let given_back = Record { attempt: None, attempts: 0, ..world.record_of(id, DeliveryState::Pending) };
    world.record(given_back).await;
    assert_eq!(world.attempts(id).await.len(), 0);
}

fn fault(kind: FaultKind) -> Fault {
    let backtrace = vec!["a".to_owned(), "b".to_owned()];
    Fault { code: Some("E1".to_owned()), retryable: true, backtrace, ..Fault::new(kind, "w\u{f6}rds\n") }
}

fn outcomes() -> Vec<Outcome> {
    let response = |status, body: Vec<u8>, body_truncated| {
        let headers = vec![("x".into(), "\u{fffd}".into())];
        Outcome::Response(Response { status, headers, body, body_truncated, body_failure: None })
    };
    let mut all = vec![
        response(200, Vec::new(), false),
        response(599, (0..=255).cycle().take(Response::MAX_RECORDED_BODY).collect(), true),
        Outcome::TimedOut { after: Duration::from_nanos(20_000_000_001) },
        Outcome::Dropped { step: 15 },
    ];
    use UnreachableKind::{Connect, Dns, Protocol, Refused, Tls};
    let unreachable = |kind| Outcome::Unreachable { kind, message: "no \"route\"".to_owned() };
    all.extend([Dns, Refused, Connect, Tls, Protocol].map(unreachable));
    use FaultKind::{
        Deadline, Failure, InvalidOutput, OutOfFuel, OutOfMemory, OutputTooLarge, Trap, Unavailable,
    };
    let kinds = [Trap, OutOfFuel, Deadline, OutOfMemory, OutputTooLarge, InvalidOutput, Failure, Unavailable];
    all.extend(kinds.map(|kind| Outcome::Faulted { step: 0, fault: Fault::new(kind, "") }));
    all.extend(kinds.map(|kind| Outcome::Faulted { step: 2, fault: fault(kind) }));
    all
}

fn steps() -> Vec<StepReport> {
    use LogLevel::{Debug, Error, Info, Warn};
    let plain = StepReport {
        plugin: "latest".parse().unwrap(),
        resolved: None,
        roles: Vec::new(),
        fuel: u64::MAX,
        fuel_granted: u64::MAX,
        duration: Duration::from_nanos(1),
        memory_bytes: 0,
        output: StepOutput::default(),
        logs: Vec::new(),
        fault: None,
    };
    let logs = [Debug, Info, Warn, Error].map(|level| LogLine { level, message: format!("{level}\0") });
    let digest = Digest::of(b"wasm");
    let full = StepReport {
        plugin: "name@3".parse().unwrap(),
        resolved: Some(ResolvedPlugin { name: "name".parse().unwrap(), version: 3, digest }),
        roles: Role::ALL.to_vec(),
        memory_bytes: 1 << 32,
        logs: logs.to_vec(),
        fault: Some(fault(FaultKind::Trap)),
        ..plain.clone()
    };
    vec![plain.clone(), full, StepReport { plugin: digest.to_string().parse().unwrap(), ..plain }]
}

/// With and without steps and request.
pub async fn every_shape_of_attempt_is_read_back(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let mut expected = Vec::new();
    for (number, outcome) in (1..).zip(outcomes()) {
        let mut attempt = Attempt { number, outcome, ..world.attempt(id) };
        if number % 2 == 0 {
            attempt.steps = steps();
            attempt.request = None;
        }
        expected.push(format!("{attempt:?}"));
        let attempt = Some(attempt);
        world.record(Record { attempt, ..world.record_of(id, DeliveryState::Waiting) }).await;
    }
    let stored = world.attempts(id).await;
    assert_eq!(stored.iter().map(|attempt| format!("{attempt:?}")).collect::<Vec<_>>(), expected);
}

/// The first has its delivery's number, and the later ones numbers of their own.
pub async fn attempts_are_read_back_in_order(world: &World) {
    let mut expected = Vec::new();
    for _ in 0..2 {
        let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
        let first = Attempt { id: AttemptId::under_stored_lease(id), ..world.attempt(id) };
        let [second, third] = [2, 3].map(|number| Attempt { number, ..world.attempt(id) });
        expected.push((id, [first.id, second.id, third.id]));
        for attempt in [first.clone(), third, second, first] {
            let attempt = Some(attempt);
            world.record(Record { attempt, ..world.record_of(id, DeliveryState::Waiting) }).await;
        }
    }
    for (id, expected) in expected {
        let attempts = world.attempts(id).await;
        assert_eq!(attempts.iter().map(|attempt| attempt.id).collect::<Vec<_>>(), expected);
        assert!(attempts.iter().all(|attempt| attempt.delivery == id));
        let page = async |before, limit| {
            let found = world.storage.deliveries.with_attempts(TENANT, id, before, limit).await.unwrap();
            found.unwrap().1.iter().map(|attempt| attempt.id).collect::<Vec<_>>()
        };
        let [first, second, third] = expected;
        assert_eq!(page(None, 2).await, [third, second]);
        assert_eq!(page(Some(second), 2).await, [first]);
        assert_eq!(page(Some(third), 1).await, [second]);
        assert_eq!(page(Some(first), 2).await, []);
    }
}

/// Those with their delivery's id and those with ids of their own; none of a delivery without attempts.
pub async fn the_last_attempts_of_deliveries_are_read_back(world: &World) {
    let store = &world.storage.deliveries;
    let delivery = async || world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let record = async |attempt: Attempt| {
        let record = world.record_of(attempt.delivery, DeliveryState::Waiting);
        world.record(Record { attempt: Some(attempt), ..record }).await;
    };
    let (unattempted, once, retried, claimed) =
        (delivery().await, delivery().await, delivery().await, delivery().await);
    for id in [once, retried] {
        record(Attempt { id: AttemptId::under_stored_lease(id), ..world.attempt(id) }).await;
    }
    let [second, third] = [2, 3].map(|number| Attempt { number, ..world.attempt(retried) });
    for attempt in [third, second, world.attempt(claimed)] {
        record(attempt).await;
    }
    let answered = |number| LastAttempt { number, outcome: "response", status: Some(500), error: None };
    let all = [unattempted, once, retried, claimed, DeliveryId(7)];
    let expected = HashMap::from([(once, answered(1)), (retried, answered(3)), (claimed, answered(1))]);
    assert_eq!(store.last_attempts(TENANT, &all).await.unwrap(), expected);
    assert_eq!(store.last_attempts(TENANT, &[]).await.unwrap(), HashMap::new());
    assert_eq!(store.last_attempts(OTHER_TENANT, &all).await.unwrap(), HashMap::new());

    for (number, outcome) in (4..).zip(outcomes()) {
        let expected = match &outcome {
            Outcome::Response(response) => LastAttempt { status: Some(response.status), ..answered(number) },
            failed => LastAttempt::without_response(number, failed),
        };
        record(Attempt { number, outcome, ..world.attempt(retried) }).await;
        assert_eq!(world.last_attempt(retried).await, Some(expected));
    }
}

/// The attempt under way is kept all the same, and counted; nothing else of the record is.
pub async fn a_cancelled_delivery_stays_cancelled(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    world.storage.deliveries.cancel(TENANT, id).await.unwrap();
    world.record(world.record_of(id, DeliveryState::Waiting)).await;
    let delivery = world.delivery(id).await;
    assert_eq!((delivery.state, delivery.due_at), (DeliveryState::Cancelled, None));
    assert_eq!((delivery.attempts, delivery.failures), (1, 0));
    assert_eq!(world.attempts(id).await.len(), 1);
    assert_eq!(world.claim(HOOK, UnixMillis(NOW.0 + 100_000), 10).await.len(), 0);
}

/// The receiver took it before anybody could call it back: it is not told otherwise.
pub async fn a_delivery_that_succeeds_while_it_is_cancelled_has_succeeded(world: &World) {
    let hook = world.stored_hook().await;
    let (first, second) = (
        world.delivery_in(hook, DeliveryState::Delivering).await,
        world.delivery_in(hook, DeliveryState::Delivering).await,
    );
    world.storage.deliveries.cancel(TENANT, first).await.unwrap();
    world.storage.hooks.delete(TENANT, hook, &entry()).await.unwrap().unwrap().cancelling.await.unwrap();
    for id in [first, second] {
        assert_eq!(world.delivery(id).await.state, DeliveryState::Cancelled);
        world.record(world.record_of(id, DeliveryState::Succeeded)).await;
        let delivery = world.delivery(id).await;
        assert_eq!((delivery.state, delivery.due_at, delivery.attempts), (DeliveryState::Succeeded, None, 1));
    }
}

/// Someone was slower than their lease, and another one has the delivery, or has it done.
pub async fn a_record_of_another_lease_changes_nothing(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let stale = async |attempts, state, rendered| {
        let record = Record { attempts, failures: 9, rendered, ..world.record_of(id, state) };
        let before = world.delivery(id).await;
        let others = world.attempts(id).await.len();
        world.record(record).await;
        let attempts = attempts.max(before.attempts);
        assert_eq!(world.delivery(id).await, Delivery { attempts, ..before });
        assert_eq!(world.attempts(id).await.len(), others + 1);
    };
    let claim = async |now| {
        let claimed = world.claim(HOOK, now, 10).await.remove(0);
        (claimed.delivery.lease.unwrap(), claimed.rendered)
    };
    let (second, rendered) = claim(LEASE_END).await;
    assert_eq!(rendered, None);
    stale(1, DeliveryState::Waiting, Rendered::Store(request("stale"))).await;
    let (third, rendered) = claim(second.until).await;
    assert_eq!(rendered, None, "only who has the lease stores a request");
    let record = Record {
        lease: third.id,
        attempts: 2,
        due_at: Some(third.until),
        ..world.record_of(id, DeliveryState::Waiting)
    };
    world.record(record).await;
    for state in [DeliveryState::Waiting, DeliveryState::Succeeded] {
        stale(3, state, Rendered::Remove).await;
        stale(3, state, Rendered::Store(request("stale"))).await;
    }
    let (fourth, rendered) = claim(third.until).await;
    assert_eq!(rendered, Some(request("rendered")), "only who has the lease removes or replaces it");
    stale(3, DeliveryState::Exhausted, Rendered::Remove).await;
    let record = world.record_of(id, DeliveryState::Succeeded);
    world.record(Record { lease: fourth.id, attempts: 4, ..record }).await;
    stale(5, DeliveryState::Waiting, Rendered::Store(request("stale"))).await;
    assert_eq!(world.delivery(id).await.state, DeliveryState::Succeeded);
}

/// Stored, replaced, kept, removed; every kind of body.
pub async fn rendered_requests_live_until_the_end(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let other = RequestBody::Binary(vec![255, 0]);
    let with = |body| {
        let RenderedRequest { request, hook_updated_at } = request("");
        RenderedRequest { request: Request { body, ..request }, hook_updated_at }
    };
    let (binary, none) = (with(other), with(RequestBody::None));
    let rows = [
        (Rendered::Store(request("one")), Some(request("one"))),
        (Rendered::Keep, Some(request("one"))),
        (Rendered::Store(binary.clone()), Some(binary)),
        (Rendered::Store(none.clone()), Some(none)),
        (Rendered::Store(request("")), Some(request(""))),
        (Rendered::Remove, None),
        (Rendered::Keep, None),
    ];
    let (mut now, mut lease) = (NOW, LeaseId::of_stored(id));
    for (attempts, (rendered, expected)) in (1..).zip(rows) {
        let due_at = Some(now);
        let record = world.record_of(id, DeliveryState::Waiting);
        world.record(Record { attempts, lease, due_at, rendered, ..record }).await;
        let claimed = world.claim(HOOK, now, 10).await;
        assert_eq!(claimed.len(), 1);
        assert_eq!(claimed[0].rendered, expected);
        lease = claimed[0].delivery.lease.unwrap().id;
        now = UnixMillis(now.0 + 60_000);
    }
}

/// Tenants stay isolated even if a record has the wrong tenant.
pub async fn a_record_of_another_tenant_changes_nothing(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let record = world.record_of(id, DeliveryState::Succeeded);
    world.record(Record { tenant: OTHER_TENANT, attempt: None, ..record }).await;
    assert_eq!(world.delivery(id).await.state, DeliveryState::Delivering);
}

/// In two calls, or in one.
pub async fn a_record_that_comes_twice_counts_once(world: &World) {
    let id = world.delivery_in(HOOK, DeliveryState::Delivering).await;
    let record = world.record_of(id, DeliveryState::Exhausted);
    let late = Record { state: DeliveryState::Succeeded, ..record.clone() };
    world.storage.deliveries.record(vec![record.clone(), late], RetryPolicy::NONE).await.unwrap();
    world.record(record).await;
    assert_eq!(world.delivery(id).await.state, DeliveryState::Exhausted, "the first had the lease");
    assert_eq!(world.attempts(id).await.len(), 1);
}
