use super::*;
use crate::clock::SystemClock;
use crate::delivery::testing::{self, Collector};
use crate::delivery::{DispatcherLimits, StartAttempt};
use crate::domain::{AuditEntry, Delivery, DeliveryState};
use crate::storage::conformance::{TENANT, World};
use crate::storage::sqlite::{self, SqliteOptions};
use crate::storage::{DeliveryQuery, Revision};

/// An engine without workers and feeder.
struct Setup {
    world: World,
    ingest: Ingest,
    collector: Arc<Collector>,
    hooks: Vec<Arc<Hook>>,
    _dir: tempfile::TempDir,
}

/// With two hooks for all events, the second of them disabled.
async fn setup(limits: DispatcherLimits) -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap().stores());
    let hooks = [world.hook(), Hook { enabled: false, ..world.hook() }].map(Arc::new);
    for hook in &hooks {
        world.storage.hooks.insert(hook, Revision::ANY, &AuditEntry::of_test()).await.unwrap();
    }
    let sources = testing::sources();
    let directory = Directory::load(world.storage.clone(), Arc::clone(&sources.ids), SystemClock::shared());
    let directory = directory.await.unwrap();
    let (dispatcher, collector) = (Dispatcher::new(limits), Arc::new(Collector::default()));
    dispatcher.start(Arc::clone(&collector) as Arc<dyn StartAttempt>, tokio::runtime::Handle::current());
    let ingest = Ingest::new(sources, directory, &world.storage, (dispatcher, Notices::channel().0), None);
    Setup { world, ingest, collector, hooks: hooks.to_vec(), _dir: dir }
}

fn event(id: Option<&str>, data: &str) -> IncomingEvent {
    IncomingEvent {
        tenant: TENANT,
        id: id.map(|id| EventId::from_sender(id).unwrap()),
        idempotency_key: None,
        event_type: "order.paid".parse().unwrap(),
        occurred_at: None,
        project: None,
        ordering_key: None,
        trace: None,
        data: data.into(),
    }
}

impl Setup {
    /// The events of the attempts that have started since.
    fn started(&self) -> Vec<EventKey> {
        self.collector.take().into_iter().map(|(work, _permit)| work.event.key).collect()
    }

    async fn stored(&self) -> Vec<Delivery> {
        let query = DeliveryQuery { limit: 100, ..DeliveryQuery::default() };
        self.world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries
    }
}

#[tokio::test]
async fn an_accepted_event_is_on_disk_and_starts_at_once() {
    let setup = setup(testing::limits()).await;
    let receipts = setup.ingest.accept(vec![event(None, "1")], EventSource::V3).await.unwrap();
    let Receipt { id, key, deliveries, duplicate } = receipts[0].clone();
    assert_eq!((id, deliveries, duplicate), (EventId::of_key(key), 1, false), "the disabled hook has none");
    let stored = setup.stored().await;
    assert_eq!((stored.len(), stored[0].event, stored[0].state), (1, key, DeliveryState::Delivering));
    assert_eq!(setup.started(), [key]);
}

#[tokio::test]
async fn a_repeated_event_has_the_first_receipt_and_takes_no_room() {
    let setup = setup(DispatcherLimits { queued_per_hook: 2, ..testing::limits() }).await;
    let first = setup.ingest.accept(vec![event(Some("a"), "1")], EventSource::V3).await.unwrap().remove(0);
    assert_eq!(setup.started().len(), 1);
    for _ in 0..3 {
        let again =
            setup.ingest.accept(vec![event(Some("a"), "1")], EventSource::V3).await.unwrap().remove(0);
        assert_eq!(again, Receipt { duplicate: true, ..first.clone() });
    }
    assert!(setup.started().is_empty());
    setup.ingest.accept(vec![event(Some("b"), "1")], EventSource::V3).await.unwrap();
    assert_eq!(setup.started().len(), 1, "the room of the repetitions is free");
    assert_eq!(setup.stored().await.len(), 2);
}

#[tokio::test]
async fn a_conflict_names_its_event_and_nothing_of_the_call_is_stored() {
    let setup = setup(testing::limits()).await;
    setup.ingest.accept(vec![event(Some("a"), "1")], EventSource::V3).await.unwrap();
    assert_eq!(setup.started().len(), 1);
    let call = vec![event(Some("b"), "1"), event(Some("a"), "2")];
    let error = setup.ingest.accept(call, EventSource::V3).await.unwrap_err();
    assert!(matches!(error, IngestError::Conflict { index: 1, on: ConflictOn::Id }), "{error}");
    assert!(setup.started().is_empty());
    assert_eq!(setup.stored().await.len(), 1);
}

#[tokio::test]
async fn a_delivery_without_room_is_stored_as_due() {
    let setup = setup(DispatcherLimits { queued_per_hook: 1, ..testing::limits() }).await;
    let states = async |data: &str| {
        setup.ingest.accept(vec![event(None, data)], EventSource::V3).await.unwrap();
        setup.stored().await.iter().map(|delivery| delivery.state).collect::<Vec<_>>()
    };
    // The first one is in flight, the second one is queued, and newer ones wait on disk. The newest is listed first.
    let held = (states("1").await, setup.collector.take());
    assert_eq!(states("2").await, [DeliveryState::Delivering; 2]);
    assert_eq!(states("3").await[0], DeliveryState::Pending);
    drop(held);
    assert_eq!(setup.started().len(), 1);
    assert_eq!(states("4").await[0], DeliveryState::Pending, "it does not overtake the one on disk");
}

#[tokio::test]
async fn prepared_events_that_are_dropped_leave_nothing_behind() {
    let setup = setup(DispatcherLimits { queued_per_hook: 1, ..testing::limits() }).await;
    for _ in 0..3 {
        drop(setup.ingest.prepare(vec![event(None, "1")], EventSource::V3).unwrap());
    }
    setup.ingest.accept(vec![event(None, "1")], EventSource::V3).await.unwrap();
    assert_eq!(setup.stored().await[0].state, DeliveryState::Delivering);
}

#[tokio::test]
async fn a_disabled_hook_is_tested_if_there_is_room() {
    for (queued_per_hook, is_sent) in [(1, true), (0, false)] {
        let setup = setup(DispatcherLimits { queued_per_hook, ..testing::limits() }).await;
        let tested = setup.ingest.test(&setup.hooks[1], EventType::test(), "{}".into()).await;
        assert_eq!(tested.is_ok(), is_sent);
        assert_eq!(setup.started().len(), usize::from(is_sent));
        let stored: Vec<_> = setup.stored().await.iter().map(|delivery| delivery.trigger).collect();
        assert_eq!(stored, [Trigger::Test][..usize::from(is_sent)]);
    }
}
