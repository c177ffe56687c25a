//! Gathers calls that store events, and commits them together.
//!
//! Usually one transaction is under way. While it is, the next one gathers: the more load, the more events share a round
//! trip and a sync of the log. One that takes long, such as one that waits for another node's, does not delay the others.
//!
//! Beside other nodes, transactions also keep an [interval]: each costs the database much the same, however small, and
//! without it, more nodes would only make more and smaller ones.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::accepting;
use super::errors::{is_refused, repeat_on_conflict};
use super::interval;
use super::session::Session;
use crate::clock;
use crate::storage::{Acceptance, Accepted, StorageError};

/// How many calls wait, at most. Further callers wait until there is room.
const QUEUE: usize = 1_024;
/// After this time a transaction does not delay the next one any more.
const SLOW: Duration = Duration::from_millis(50);
/// How many such transactions are under way, at most.
const MAX_SLOW: usize = 2;
/// A transaction with this many events and deliveries takes no further call.
const MAX_GROUP_ROWS: usize = 2_000;
/// A transaction with this many bytes of data takes no further call.
const MAX_GROUP_BYTES: usize = 4 << 20;

/// A call, and where its answer goes.
#[derive(Debug)]
pub struct Call {
    batch: Vec<Acceptance>,
    reply: oneshot::Sender<Result<Vec<Accepted>, StorageError>>,
}

/// Where calls are handed in. The task ends with the last clone.
#[derive(Debug, Clone)]
pub struct Acceptor(mpsc::Sender<Call>);

impl Acceptor {
    /// Starts the task on the caller's runtime.
    pub fn start(session: Arc<Session>) -> Self {
        let (queue, calls) = mpsc::channel(QUEUE);
        tokio::spawn(run(session, calls));
        Self(queue)
    }

    /// Stores events, and returns when they are committed.
    pub async fn accept(&self, batch: Vec<Acceptance>) -> Result<Vec<Accepted>, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Call { batch, reply }).await.map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }
}

async fn run(session: Arc<Session>, mut calls: mpsc::Receiver<Call>) {
    let (usual, beside_slow) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(MAX_SLOW)));
    let mut not_before = None;
    while let Some(first) = calls.recv().await {
        let Ok(permit) = permit(&usual, &beside_slow).await else { return };
        if let Some(not_before) = not_before {
            tokio::time::sleep_until(not_before).await;
        }
        let interval = interval::between_transactions(&session.membership);
        not_before = (!interval.is_zero()).then(|| (clock::monotonic() + interval).into());
        let mut size = Size::default();
        size.add(&first);
        let mut group = vec![first];
        while size.has_room()
            && let Ok(next) = calls.try_recv()
        {
            size.add(&next);
            group.push(next);
        }
        let session = Arc::clone(&session);
        tokio::spawn(async move {
            commit(&session, group).await;
            drop(permit);
        });
    }
}

/// Waits for the end of the transaction that is under way, but not for a slow one.
async fn permit(
    usual: &Arc<Semaphore>,
    beside_slow: &Arc<Semaphore>,
) -> Result<OwnedSemaphorePermit, AcquireError> {
    let mut next = pin!(Arc::clone(usual).acquire_owned());
    match tokio::time::timeout(SLOW, &mut next).await {
        Ok(permit) => permit,
        Err(_) => tokio::select! {
            permit = next => permit,
            permit = Arc::clone(beside_slow).acquire_owned() => permit,
        },
    }
}

#[derive(Default)]
struct Size {
    rows: usize,
    bytes: usize,
}

impl Size {
    fn add(&mut self, call: &Call) {
        self.rows += call.batch.iter().map(|one| 1 + one.deliveries.len()).sum::<usize>();
        self.bytes += call.batch.iter().map(|one| one.event.data.len()).sum::<usize>();
    }

    fn has_room(&self) -> bool {
        self.rows < MAX_GROUP_ROWS && self.bytes < MAX_GROUP_BYTES
    }
}

async fn commit(session: &Session, group: Vec<Call>) {
    // They may have waited while this process was stopped.
    if session.check_alive().is_err() {
        for call in group {
            let _ = call.reply.send(Err(StorageError::Fenced));
        }
        return;
    }
    let batches: Vec<&[Acceptance]> = group.iter().map(|call| call.batch.as_slice()).collect();
    match repeat_on_conflict(|| accepting::accept(session, &batches)).await {
        Ok(answers) => {
            for (call, answers) in group.into_iter().zip(answers) {
                // A caller that has gone away does not need the answer. It sends nothing, either.
                if let Err(Ok(answers)) = call.reply.send(Ok(answers)) {
                    let stored = call.batch.iter().zip(&answers).filter(|(_, it)| **it == Accepted::Stored);
                    let new = stored.flat_map(|(one, _)| &one.deliveries).filter_map(accepting::leased);
                    session.lost_leases.add_stored(new);
                }
            }
        }
        // The rows of one call must not fail the others.
        Err(error) if group.len() > 1 && is_refused(&error) => {
            for call in group {
                let answers = accepting::accept(session, &[&call.batch]).await;
                let _ = call.reply.send(answers.map(|mut answers| answers.pop().unwrap_or_default()));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            // Each caller gets the same cause.
            for call in group {
                let _ = call.reply.send(Err(StorageError::RolledBack(Arc::clone(&error))));
            }
        }
    }
}
