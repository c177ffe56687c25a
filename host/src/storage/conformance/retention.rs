//! Deleting events with all that belongs to them, and erasing their content.

use super::{LEASE_END, NOW, OTHER_TENANT, TENANT, World, entry};
use crate::domain::kept_body::KeptBody;
use crate::domain::{
    AttemptId, DeliveryId, DeliveryState, EventId, EventKey, Fault, FaultKind, Job, JobId, JobProgress,
    JobRate, JobState, JobWork, Outcome, Replay, RequestBody, UnixMillis,
};
use crate::storage::{
    Acceptance, Accepted, Changed, Deleted, Purged, Record, Redelivered, RetryPolicy, StorageError,
    StoredEvent, Trim, Trimmed,
};

const LATER: UnixMillis = UnixMillis(NOW.0 + 1_000_000);

async fn delete(world: &World, events: &[EventKey]) -> Purged {
    world.storage.retention.delete_events(events).await.unwrap()
}

async fn event_of(world: &World, delivery: DeliveryId) -> EventKey {
    world.delivery(delivery).await.event
}

async fn is_there(world: &World, event: EventKey) -> bool {
    world.storage.events.event(TENANT, &EventId::of_key(event)).await.unwrap().is_some()
}

/// A delivery that failed twice and then succeeded, with bodies that are kept.
async fn three_attempts(world: &World) -> (DeliveryId, Vec<AttemptId>) {
    let hook = world.stored_hook().await;
    let id = world.delivery_in(hook, DeliveryState::Delivering).await;
    let mut attempts = Vec::new();
    let kept = || Some(Box::new(KeptBody::of(&RequestBody::Text("sent".into()), LATER)));
    for (number, state) in
        [(1, DeliveryState::Waiting), (2, DeliveryState::Waiting), (3, DeliveryState::Succeeded)]
    {
        let mut record = Record { attempts: number, kept_body: kept(), ..world.record_of(id, state) };
        if number > 1 {
            let claimed = world.claim(world.delivery(id).await.hook, UnixMillis(NOW.0 + 10_000), 1).await;
            record.lease = claimed[0].delivery.lease.unwrap().id;
        }
        if let Some(attempt) = &mut record.attempt {
            attempt.number = number;
            attempts.push(attempt.id);
        }
        world.record(record).await;
    }
    (id, attempts)
}

/// Nothing of it is left, and what belongs to others is.
pub async fn an_event_is_deleted_with_all_that_belongs_to_it(world: &World) {
    let (id, attempts) = three_attempts(world).await;
    let (other, others) = three_attempts(world).await;
    let without = world.event();
    let (event, lonely) = (event_of(world, id).await, without.event.key);
    world.store(without).await;
    let between = world.storage.retention.events_between(EventKey(event.0 - 1), lonely, 10).await.unwrap();
    let bytes = world.event().event.data.len() as u64;
    assert_eq!(between.first(), Some(&StoredEvent { key: event, tenant: TENANT, bytes }));
    assert_eq!(between.last(), Some(&StoredEvent { key: lonely, tenant: TENANT, bytes }));
    let purged = delete(world, &[event, lonely, EventKey(77)]).await;
    let deleted = Deleted { events: 2, deliveries: 1, attempts: 3, bodies: 3 };
    assert_eq!(purged, Purged { deleted, kept: Vec::new() });
    assert!(!is_there(world, event).await && !is_there(world, lonely).await);
    let deliveries = &world.storage.deliveries;
    assert_eq!(deliveries.delivery(TENANT, id).await.unwrap(), None);
    assert!(deliveries.with_attempts(TENANT, id, None, 9).await.unwrap().is_none());
    for attempt in attempts {
        assert_eq!(world.storage.kept_bodies.kept_body(TENANT, attempt, NOW).await.unwrap(), None);
    }
    assert_eq!(world.attempts(other).await.len(), 3);
    for attempt in others {
        assert!(world.storage.kept_bodies.kept_body(TENANT, attempt, NOW).await.unwrap().is_some());
    }
    assert_eq!(delete(world, &[event]).await, Purged::default(), "a second time");
}

/// Whatever it waits for; and it is deleted once that is over.
pub async fn an_event_with_an_unfinished_delivery_is_kept(world: &World) {
    let hook = world.stored_hook().await;
    let mut events = Vec::new();
    for state in [DeliveryState::Pending, DeliveryState::Delivering, DeliveryState::Waiting] {
        events.push(event_of(world, world.delivery_in(hook, state).await).await);
    }
    // In memory, and without a row of its own.
    let rowless = world.event_for(hook, Some(LEASE_END));
    let (id, last) = (rowless.deliveries[0].id, rowless.event.key);
    world.store(rowless).await;
    events.push(last);
    let mut kept = delete(world, &events).await.kept;
    kept.sort_unstable();
    assert_eq!(kept, events);
    for event in &events {
        assert!(is_there(world, *event).await);
    }
    world.record(world.record_of(id, DeliveryState::Succeeded)).await;
    assert_eq!(delete(world, &events).await.deleted.events, 1);
    // A delivery that was final is due again: its event must be there.
    let retried = world.delivery_in(hook, DeliveryState::Exhausted).await;
    let event = event_of(world, retried).await;
    world.storage.deliveries.retry(TENANT, retried, NOW).await.unwrap();
    assert_eq!(delete(world, &[event]).await.kept, [event]);
    world.storage.deliveries.cancel(TENANT, retried).await.unwrap();
    // And so is one that was made later.
    let made = DeliveryId(world.id());
    let redelivered = world.storage.events.redeliver(TENANT, hook, event, made, NOW).await.unwrap();
    assert!(matches!(redelivered, Redelivered::Made(_)), "{redelivered:?}");
    assert_eq!(delete(world, &[event]).await.kept, [event]);
    world.storage.deliveries.cancel(TENANT, made).await.unwrap();
    let deleted = delete(world, &[event]).await.deleted;
    assert_eq!((deleted.events, deleted.deliveries), (1, 2));
}

/// It goes in several steps.
pub async fn an_event_with_many_deliveries_is_deleted(world: &World) {
    let hook = world.stored_hook().await;
    let mut acceptance = world.event();
    for _ in 0..350 {
        acceptance.deliveries.extend(world.event_for(hook, Some(LEASE_END)).deliveries);
    }
    let (event, ids) =
        (acceptance.event.key, acceptance.deliveries.iter().map(|new| new.id).collect::<Vec<_>>());
    world.store(acceptance).await;
    let (last, first) = ids.split_last().unwrap();
    let records = |ids: &[DeliveryId]| -> Vec<Record> {
        ids.iter().map(|id| world.record_of(*id, DeliveryState::Succeeded)).collect()
    };
    world.storage.deliveries.record(records(first), RetryPolicy::NONE).await.unwrap();
    assert_eq!(delete(world, &[event]).await, Purged { kept: vec![event], ..Purged::default() });
    world.storage.deliveries.record(records(&[*last]), RetryPolicy::NONE).await.unwrap();
    let deleted = Deleted { events: 1, deliveries: 350, attempts: 350, bodies: 0 };
    assert_eq!(delete(world, &[event]).await.deleted, deleted);
    assert!(!is_there(world, event).await);
}

/// Only those that they have not examined.
pub async fn unfinished_replays_hold_their_events(world: &World) {
    let hook = world.stored_hook().await;
    let replay = Replay {
        hook,
        since: NOW,
        until: LATER,
        types: Vec::new(),
        states: Vec::new(),
        missed: true,
        pipeline: None,
    };
    let job = Job {
        id: JobId(world.id()),
        tenant: TENANT,
        work: JobWork::Replay(replay),
        rate: JobRate::DEFAULT,
        started_by: None,
        state: JobState::Running,
        reason: None,
        progress: JobProgress { examined_to: 77, ..JobProgress::default() },
        finished_at: None,
    };
    assert!(world.storage.jobs.insert_job(&job, 10, &entry()).await.unwrap());
    let held = world.storage.retention.held_by_replays().await.unwrap();
    assert_eq!(held, [(TENANT, EventKey(77), EventKey(EventKey::first_at(LATER).0 - 1))]);
    world.storage.jobs.change_job(TENANT, job.id, JobState::Cancelled, NOW, &entry()).await.unwrap();
    assert_eq!(world.storage.retention.held_by_replays().await.unwrap(), []);
}

/// First their bodies, then all of them; and not those that were made later.
pub async fn attempts_and_bodies_are_trimmed(world: &World) {
    let store = &world.storage.retention;
    let (id, attempts) = three_attempts(world).await;
    let ends = DeliveryId::first_at(LATER);
    let has = async |what| store.deliveries_between((TENANT, what), DeliveryId(0), ends, 10).await.unwrap();
    let trim = async |what, until| store.trim_attempts(TENANT, &[id], what, until).await.unwrap();
    assert_eq!(has(Trim::Bodies).await, [(id, true)]);
    assert_eq!(trim(Trim::Bodies, NOW).await, Trimmed { kept: vec![id], ..Trimmed::default() });
    let trimmed = trim(Trim::Bodies, LATER).await;
    assert_eq!(trimmed, Trimmed { deleted: Deleted { bodies: 6, ..Deleted::default() }, kept: Vec::new() });
    assert_eq!(has(Trim::Bodies).await, [(id, false)]);
    assert_eq!(has(Trim::Attempts).await, [(id, true)]);
    assert!(world.last_attempt(id).await.is_some_and(|last| last.number == 3));
    for attempt in world.attempts(id).await {
        let Outcome::Response(response) = attempt.outcome else { panic!("{attempt:?}") };
        assert!(response.body.is_empty() && response.status == 500);
        assert_eq!(world.storage.kept_bodies.kept_body(TENANT, attempts[0], NOW).await.unwrap(), None);
    }
    let trimmed = trim(Trim::Attempts, LATER).await;
    assert_eq!(trimmed.deleted, Deleted { attempts: 3, ..Deleted::default() });
    assert_eq!(has(Trim::Attempts).await, [(id, false)]);
    assert!(world.attempts(id).await.is_empty());
    assert_eq!(world.last_attempt(id).await, None);
    assert_eq!(world.delivery(id).await.attempts, 3, "how many there were is known");
}

fn named(world: &World, id: &str, content: u8) -> Acceptance {
    let mut acceptance = world.event();
    let event = std::sync::Arc::make_mut(&mut acceptance.event);
    event.id = EventId::from_sender(id).unwrap();
    acceptance.content = [content; 32];
    acceptance
}

/// A repetition is not accepted again only because the event was deleted.
pub async fn a_name_is_known_when_its_event_is_deleted(world: &World) {
    let mut first = named(world, "order-1", 1);
    first.idempotency_key = Some("k".to_owned());
    let key = first.event.key;
    world.store(first).await;
    assert_eq!(delete(world, &[key]).await.deleted.events, 1);
    let id = EventId::from_sender("order-1").unwrap();
    assert!(world.storage.events.event(TENANT, &id).await.unwrap().is_none());
    let again = world.storage.events.accept(vec![named(world, "order-1", 1)]).await.unwrap();
    assert_eq!(again, [Accepted::Duplicate { key, id, deliveries: 0 }]);
}

/// Neither data nor what was sent and answered; its name is known, and its deliveries are counted.
pub async fn an_erased_event_has_no_content(world: &World) {
    let hook = world.stored_hook().await;
    let mut acceptance = named(world, "order-2", 1);
    for lease in [None, Some(LEASE_END), Some(LEASE_END)] {
        acceptance.deliveries.extend(world.event_for(hook, lease).deliveries);
    }
    let (event, ids) =
        (acceptance.event.key, acceptance.deliveries.iter().map(|new| new.id).collect::<Vec<_>>());
    world.store(acceptance).await;
    let kept_body = Some(Box::new(KeptBody::of(&RequestBody::Text("sent".into()), LATER)));
    let mut record = Record { kept_body, ..world.record_of(ids[1], DeliveryState::Waiting) };
    let attempt = record.attempt.as_mut().unwrap();
    let message = "it named the customer".to_owned();
    attempt.outcome = Outcome::Faulted { step: 0, fault: Fault::new(FaultKind::Failure, message) };
    let attempt = attempt.id;
    world.record(record).await;
    assert!(world.last_attempt(ids[1]).await.unwrap().error.unwrap().contains("customer"));
    let id = EventId::from_sender("order-2").unwrap();
    let store = &world.storage.retention;
    assert_eq!(store.erase(OTHER_TENANT, &id, NOW).await.unwrap(), None);
    assert_eq!(store.erased_at(TENANT, event).await.unwrap(), None);
    assert_eq!(store.erase(TENANT, &id, NOW).await.unwrap(), Some(NOW));
    assert_eq!(store.erase(TENANT, &id, LATER).await.unwrap(), Some(NOW), "a second time");
    assert_eq!(store.erased_at(TENANT, event).await.unwrap(), Some(NOW));
    assert_eq!(&*world.storage.events.event(TENANT, &id).await.unwrap().unwrap().data, "null");
    for id in &ids {
        assert_eq!(world.delivery(*id).await.state, DeliveryState::Cancelled);
        assert!(world.attempts(*id).await.is_empty());
        assert_eq!(world.last_attempt(*id).await, None);
    }
    assert_eq!(world.delivery(ids[1]).await.attempts, 1, "that it was sent is known");
    assert_eq!(world.storage.kept_bodies.kept_body(TENANT, attempt, NOW).await.unwrap(), None);
    // The record of an attempt that was under way.
    world.record(world.record_of(ids[2], DeliveryState::Succeeded)).await;
    assert_eq!(world.attempts(ids[2]).await.len(), 1);
    store.erase_late(NOW).await.unwrap();
    assert!(world.attempts(ids[2]).await.is_empty());
    for content in [1, 2] {
        let again = world.storage.events.accept(vec![named(world, "order-2", content)]).await.unwrap();
        let duplicate = Accepted::Duplicate { key: event, id: id.clone(), deliveries: 3 };
        assert_eq!(again, [duplicate], "{content}");
    }
    assert_eq!(delete(world, &[event]).await.deleted.events, 1);
    assert_eq!(store.erased_at(TENANT, event).await.unwrap(), None);
}

/// By no way.
pub async fn an_erased_event_is_not_sent_again(world: &World) {
    let (hook, other) = (world.stored_hook().await, world.stored_hook().await);
    let delivery = world.delivery_in(hook, DeliveryState::Exhausted).await;
    let event = event_of(world, delivery).await;
    world.storage.retention.erase(TENANT, &EventId::of_key(event), NOW).await.unwrap();
    let id = DeliveryId(world.id());
    let redelivered = world.storage.events.redeliver(TENANT, other, event, id, NOW).await.unwrap();
    assert_eq!(redelivered, Redelivered::Erased);
    let retried = world.storage.deliveries.retry(TENANT, delivery, NOW).await.unwrap();
    assert_eq!(retried, Some(Changed::Erased(event)));
    let states = &world.storage.hook_states;
    let made =
        states.replay(TENANT, (other, None), vec![(event, DeliveryId(world.id()))], NOW).await.unwrap();
    assert_eq!(made, []);
    let query = crate::storage::MissedQuery {
        tenant: TENANT,
        hook: other,
        after: EventKey(0),
        before: EventKey::first_at(LATER),
        limit: 10,
    };
    let missed: Result<_, StorageError> = states.missed(&query, &|_, _| true).await;
    assert_eq!(missed.unwrap().events, []);
}
