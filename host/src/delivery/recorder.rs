//! Writes down what came of attempts: whatever has gathered, in one call.
//!
//! One loop for the whole engine. Workers hand in what they know and are done; while one call is on its way to the
//! disk, the next gathers. An attempt's place among those unfinished is free again only when its record is on disk, so
//! that no more is in here than may be unfinished.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::Dispatcher;
use super::dispatcher::Slot;
use crate::storage::{DeliveryStore, Record, RetryPolicy};

/// How many records go to the disk together at most.
const AT_ONCE: usize = 512;
/// Meanwhile the attempts' places stay taken, so that soon no more are begun: what is sent and not recorded is sent again.
const RETRIES: RetryPolicy =
    RetryPolicy { max_elapsed: Duration::from_secs(30), interval: Duration::from_secs(1) };
/// How many wait in the queue; who finds it full waits.
const QUEUE: usize = 1_024;

/// Where workers hand in. Clones share the loop. See the module's head.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<(Record, Slot)>,
}

impl Recorder {
    /// Starts the loop on `runtime`. It ends when nobody can hand in anything any more.
    #[must_use]
    pub fn start(runtime: &Handle, deliveries: Arc<dyn DeliveryStore>, dispatcher: Arc<Dispatcher>) -> Self {
        let (queue, handed_in) = mpsc::channel(QUEUE);
        runtime.spawn(run(handed_in, deliveries, dispatcher));
        Self { queue }
    }

    /// Returns when the loop has ended, which it does only if it fails.
    pub async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Has `record` written; `slot` is held until it is.
    pub async fn hand_in(&self, record: Record, slot: Slot) {
        let delivery = record.delivery;
        if self.queue.send((record, slot)).await.is_err() {
            tracing::error!(%delivery, "cannot record an attempt: the recorder has ended");
        }
    }
}

async fn run(
    mut handed_in: mpsc::Receiver<(Record, Slot)>,
    deliveries: Arc<dyn DeliveryStore>,
    dispatcher: Arc<Dispatcher>,
) {
    let mut gathered = Vec::with_capacity(AT_ONCE);
    while handed_in.recv_many(&mut gathered, AT_ONCE).await > 0 {
        let (records, slots): (Vec<Record>, Vec<Slot>) = gathered.drain(..).unzip();
        let (first, count) = (records[0].delivery, records.len());
        let next_due = records.iter().filter_map(|record| record.due_at).min();
        match deliveries.record(records, RETRIES).await {
            Ok(()) => {
                if let Some(due_at) = next_due {
                    dispatcher.due_at(due_at);
                }
            }
            // Their leases end by themselves, and they are made again: at least once.
            Err(error) => {
                tracing::error!(%first, count, error = &error as &dyn std::error::Error, "attempts stay unrecorded, and will be made again");
            }
        }
        drop(slots);
    }
}
