//! Records attempts on disk, all that have gathered in one call.
//!
//! There is one loop for the whole engine. While one call is being committed, and for as long as the store asks for, the
//! records for the next one gather. An attempt counts as unfinished until its record is on disk, which limits the number of records here.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::dispatcher::{AttemptPermit, Dispatcher};
use super::live::DeliveryChange;
use super::work::Work;
use crate::clock;
use crate::domain::{DeliveryState, HookId, TenantId};
use crate::metrics;
use crate::storage::{DeliveryStore, Record, RetryPolicy};

/// How many records are written together at most.
const MAX_BATCH: usize = 512;
/// How long a record is retried. Meanwhile its attempt counts as unfinished, so that soon no more attempts start: what is
/// sent and not recorded is sent again. An outage of the database is waited for until leases end. Any other failure may be
/// of these records alone, and the next ones must not wait that long.
const RETRIES: RetryPolicy = RetryPolicy {
    max_elapsed: Duration::from_secs(30),
    max_outage: Duration::from_secs(15 * 60),
    interval: Duration::from_secs(1),
};
/// How many records may be queued. Workers wait while the queue is full.
const MAX_QUEUED: usize = 1_024;

/// Takes the records of workers. Clones share the loop. See the module's head.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Submitted>,
}

/// A record, its permit, and what is told of it.
type Submitted = (Record, AttemptPermit, Option<Arc<DeliveryChange>>);

impl Recorder {
    /// Starts the loop on `runtime`. It ends when all clones are dropped.
    #[must_use]
    pub fn start(runtime: &Handle, deliveries: Arc<dyn DeliveryStore>, dispatcher: Arc<Dispatcher>) -> Self {
        let (queue, submitted) = mpsc::channel(MAX_QUEUED);
        runtime.spawn(run(submitted, deliveries, dispatcher));
        Self { queue }
    }

    /// Returns when the loop has ended, which happens only if it fails.
    pub async fn ended(&self) {
        self.queue.closed().await;
    }

    /// Has the `record` of `work` written. When it is on disk, `permit` is dropped, and those who watch are told.
    pub async fn submit(&self, work: &Work, record: Record, permit: AttemptPermit) {
        let (delivery, change) = (record.delivery, permit.change(work, &record));
        if self.queue.send((record, permit, change)).await.is_err() {
            tracing::error!(%delivery, "cannot record an attempt: the recorder stopped");
        }
    }
}

async fn run(
    mut submitted: mpsc::Receiver<Submitted>,
    deliveries: Arc<dyn DeliveryStore>,
    dispatcher: Arc<Dispatcher>,
) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut not_before = None;
    loop {
        if let Some(not_before) = not_before {
            tokio::time::sleep_until(not_before).await;
        }
        if submitted.recv_many(&mut batch, MAX_BATCH).await == 0 {
            return;
        }
        let interval = deliveries.record_interval();
        not_before = (!interval.is_zero()).then(|| (clock::monotonic() + interval).into());
        let (mut records, mut permits, mut changes) =
            (Vec::with_capacity(batch.len()), Vec::new(), Vec::new());
        for (record, permit, change) in batch.drain(..) {
            records.push(record);
            permits.push(permit);
            changes.extend(change);
        }
        let (first, count) = (records[0].delivery, records.len());
        let next_due = records.iter().filter_map(|record| record.due_at).min();
        let left =
            records.iter().filter_map(|record| Some((record.leaves.as_ref()?.group.hook, record.tenant)));
        let advanced: FxHashSet<(HookId, TenantId)> = left.collect();
        let finished = count_finished(&records);
        match deliveries.record(records, RETRIES).await {
            Ok(()) => {
                for (state, count) in DeliveryState::ALL.into_iter().zip(finished) {
                    metrics::deliveries::FINISHED.of(state).add(count);
                }
                if let Some(due_at) = next_due {
                    dispatcher.due_at(due_at);
                }
                changes.into_iter().for_each(|change| dispatcher.live().tell(change));
                // The next ones of their groups are due.
                for (hook, tenant) in advanced {
                    dispatcher.stored_on_disk(hook, tenant);
                }
            }
            // Their leases end, and the attempts are made again: delivery is at least once.
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(%first, count, error, "cannot record attempts; they will be made again");
            }
        }
        drop(permits);
    }
}

/// How many of `records` end their deliveries, by state.
fn count_finished(records: &[Record]) -> [u64; DeliveryState::ALL.len()] {
    let mut counts = [0; DeliveryState::ALL.len()];
    for record in records.iter().filter(|record| record.state.is_final()) {
        counts[record.state as usize] += 1;
    }
    counts
}

#[cfg(test)]
mod tests;
