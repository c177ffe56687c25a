//! Figures, asserted by nobody: `cargo test -p hookwright --lib storage::sqlite::tests::bench -- --ignored --nocapture`.
#![expect(clippy::print_stdout, reason = "people read the figures")]

use futures_util::future::join_all;

use super::*;
use crate::clock;
use crate::domain::{AuditEntry, DeliveryId};
use crate::storage::Acceptance;

/// CPU time of this process, in seconds, from Linux's `/proc`.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

async fn measure(what: &str, rows: usize, work: impl Future<Output = ()>) {
    let (start, cpu) = (clock::monotonic(), cpu_seconds());
    work.await;
    let (wall, cpu) = (clock::elapsed(start).as_secs_f64(), cpu_seconds() - cpu);
    let each = cpu * 1e6 / rows as f64;
    println!("{what:40} {:>9.0}/s {each:>6.1} µs CPU each, {wall:.2} s", rows as f64 / wall);
}

fn event(world: &World, hook: HookId) -> Acceptance {
    let mut acceptance = world.event_for(hook, Some(UnixMillis(NOW.0 + 60_000)));
    Arc::make_mut(&mut acceptance.event).data = format!("\"{}\"", "x".repeat(1_000)).into();
    acceptance
}

async fn in_parallel<T: Send + 'static>(callers: usize, items: Vec<T>, call: impl AsyncFn(T) + Sync) {
    let items = std::sync::Mutex::new(items);
    join_all((0..callers).map(async |_| {
        loop {
            let item = items.lock().unwrap().pop();
            match item {
                Some(item) => call(item).await,
                None => return,
            }
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn figures() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let count: usize = 100_000;
    for callers in [1, 64, 256] {
        let count = if callers == 1 { 2_000 } else { count };
        let hook = HookId(callers as i64);
        let events: Vec<_> = (0..count).map(|_| event(&world, hook)).collect();
        let deliveries: Vec<DeliveryId> = events.iter().map(|event| event.deliveries[0].id).collect();
        let accept = async |event| drop(world.storage.events.accept(vec![event]).await.unwrap());
        measure(&format!("accept, {callers} callers"), count, in_parallel(callers, events, accept)).await;
        let records: Vec<_> =
            deliveries.iter().map(|id| world.record_of(*id, DeliveryState::Succeeded)).collect();
        let record = async |record| world.record(record).await;
        measure(&format!("record, {callers} callers"), count, in_parallel(callers, records, record)).await;
    }
    let batches: Vec<Vec<_>> =
        (0..count / 100).map(|_| (0..100).map(|_| event(&world, HookId(3))).collect()).collect();
    let accept = async |batch| drop(world.storage.events.accept(batch).await.unwrap());
    measure("accept, 8 callers, 100 at once", count, in_parallel(8, batches, accept)).await;
    storage.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn figures_of_a_great_backlog() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let hook = world.stored_hook().await;
    let rows = 1_000_000;
    let mut batches = Vec::new();
    for _ in 0..rows / 1_000 {
        let mut batch: Vec<_> = (0..1_000).map(|_| world.event_for(hook, None)).collect();
        batch[0].deliveries[0].hook = HookId(hook.0 + batches.len() as i64 % 3 + 1);
        batches.push(batch);
    }
    let accept = async |batch| drop(world.storage.events.accept(batch).await.unwrap());
    measure("accept a million", rows, in_parallel(4, batches, accept)).await;
    measure("backlog of 4 hooks", 1, async {
        println!("{:?}", world.storage.deliveries.backlog().await.unwrap());
    })
    .await;
    let later = UnixMillis(NOW.0 + 10_000);
    measure("claim 100", 1, async {
        assert_eq!(world.claim(hook, later, 100).await.len(), 100);
    })
    .await;
    let pending = DeliveryState::Delivering;
    let query = DeliveryQuery { state: Some(pending), limit: 50, ..DeliveryQuery::default() };
    measure("list those under a lease", 1, async {
        assert_eq!(world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries.len(), 50);
    })
    .await;
    let query =
        DeliveryQuery { event_type: Some("rare".parse().unwrap()), limit: 50, ..DeliveryQuery::default() };
    measure("one page of a type that is not there", 1, async {
        assert_eq!(world.storage.deliveries.list(TENANT, &query).await.unwrap().deliveries, []);
    })
    .await;
    measure("delete the hook", rows, async {
        world
            .storage
            .hooks
            .delete(TENANT, hook, &AuditEntry::of_test())
            .await
            .unwrap()
            .unwrap()
            .cancelling
            .await
            .unwrap();
    })
    .await;
    measure("recover", 1, async {
        assert_eq!(world.storage.deliveries.recover(world.node, later).await.unwrap(), 0);
    })
    .await;
    storage.close().await.unwrap();
}

/// What events with ids of their senders cost, the more of them there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn figures_of_many_ids() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let storage = reopen(dir.path()).await;
    let world = World::new(storage.stores());
    let rows = 250_000;
    for part in 0..8 {
        let event = |number: usize| {
            let mut event = world.event();
            let id = crate::domain::hash::sha256(&[&(part * rows + number).to_be_bytes()]);
            let id = format!("order-{}", hex::encode(&id[..16]));
            Arc::make_mut(&mut event.event).id = EventId::from_sender(&id).unwrap();
            event.content = crate::domain::hash::sha256(&[id.as_bytes()]);
            event
        };
        let batches: Vec<Vec<_>> =
            (0..rows / 100).map(|batch| (0..100).map(|one| event(batch * 100 + one)).collect()).collect();
        let accept = async |batch| drop(world.storage.events.accept(batch).await.unwrap());
        let what = format!("accept ids from {} on", part * rows);
        measure(&what, rows, in_parallel(8, batches, accept)).await;
    }
    storage.close().await.unwrap();
}
