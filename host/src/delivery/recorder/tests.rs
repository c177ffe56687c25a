use std::sync::atomic::Ordering::Relaxed;

use futures_util::FutureExt as _;

use super::*;
use crate::delivery::dispatcher::StartAttempt;
use crate::delivery::testing::{self, Collector, SpyStore, work};
use crate::domain::{DeliveryId, DeliveryState, HookId, UnixMillis};
use crate::storage::conformance::World;
use crate::storage::sqlite::{self, SqliteOptions};

/// A recorder over a spied database, with the permits of its attempts.
struct Setup {
    world: World,
    store: Arc<SpyStore>,
    dispatcher: Arc<Dispatcher>,
    collector: Arc<Collector>,
    recorder: Recorder,
    _dir: tempfile::TempDir,
}

async fn setup() -> Setup {
    let dir = tempfile::tempdir().unwrap();
    let storage = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
    let world = World::new(storage.stores());
    let store = SpyStore::new(Arc::clone(&world.storage.deliveries));
    let (dispatcher, collector) = (Dispatcher::new(testing::limits()), Arc::new(Collector::default()));
    dispatcher.start(Arc::clone(&collector) as Arc<dyn StartAttempt>, Handle::current());
    let deliveries = Arc::clone(&store) as Arc<dyn DeliveryStore>;
    let recorder = Recorder::start(&Handle::current(), deliveries, Arc::clone(&dispatcher));
    Setup { world, store, dispatcher, collector, recorder, _dir: dir }
}

impl Setup {
    fn permit(&self, number: i64) -> AttemptPermit {
        let work = self.dispatcher.reserve(work(1, number, number), UnixMillis(0)).unwrap();
        self.dispatcher.push_reserved(vec![work]);
        self.collector.take().remove(0).1
    }

    async fn record(&self, state: DeliveryState) -> Record {
        let delivery = self.world.delivery_in(HookId(1), DeliveryState::Delivering).await;
        self.world.record_of(delivery, state)
    }

    /// Waits until everything that was submitted is recorded.
    async fn drained(&self) {
        let drained = tokio::time::timeout(Duration::from_secs(30), self.dispatcher.drain());
        drained.await.expect("the permits are dropped");
    }

    fn batches(&self) -> Vec<Vec<DeliveryId>> {
        let batches = self.store.records.batches.lock().unwrap();
        batches.iter().map(|batch| batch.iter().map(|record| record.delivery).collect()).collect()
    }
}

#[tokio::test]
async fn records_gather_while_others_are_written_and_permits_are_held_until_then() {
    let setup = setup().await;
    let gate = setup.store.records.write_gate.acquire().await.unwrap();
    let mut submitted = Vec::new();
    for number in 1..=3 {
        let record = setup.record(DeliveryState::Succeeded).await;
        submitted.push(record.delivery);
        setup.recorder.submit(&work(1, number, number), record, setup.permit(number)).await;
        if number == 1 {
            // The loop takes the first one, and waits at the gate.
            while setup.recorder.queue.capacity() < MAX_QUEUED {
                tokio::task::yield_now().await;
            }
        }
    }
    assert_eq!(setup.dispatcher.unfinished(), 3);
    drop(gate);
    setup.drained().await;
    assert_eq!(setup.batches(), [submitted[..1].to_vec(), submitted[1..].to_vec()]);
    for delivery in submitted {
        assert_eq!(setup.world.delivery(delivery).await.state, DeliveryState::Succeeded);
    }
}

#[tokio::test]
async fn a_retry_that_is_due_wakes_the_feeder_when_it_is_on_disk() {
    for (state, wakes) in [(DeliveryState::Succeeded, false), (DeliveryState::Waiting, true)] {
        let setup = setup().await;
        let woken = setup.dispatcher.feeder_wakes();
        setup.recorder.submit(&work(1, 1, 1), setup.record(state).await, setup.permit(1)).await;
        setup.drained().await;
        assert_eq!(woken.notified().now_or_never().is_some(), wakes, "{state:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_stays_leased_and_holds_no_permit() {
    let setup = setup().await;
    setup.store.records.fails.store(true, Relaxed);
    let record = setup.record(DeliveryState::Succeeded).await;
    let delivery = record.delivery;
    setup.recorder.submit(&work(1, 1, 1), record, setup.permit(1)).await;
    setup.drained().await;
    assert_eq!(setup.world.delivery(delivery).await.state, DeliveryState::Delivering);
    assert!(setup.recorder.ended().now_or_never().is_none(), "the recorder goes on");
}
