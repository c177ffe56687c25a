//! What the stores ask of the [writer](super::writer).

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::claims::{Claim, Leased};
use super::purge::Purge;
use super::rowless::Materialize;
use super::rows::RecordRow;
use crate::storage::{Acceptance, Accepted, Purged, StorageError};

/// One call that waits to be committed.
#[derive(Debug)]
pub struct Job<Work, Answer> {
    pub work: Work,
    pub reply: oneshot::Sender<Result<Answer, StorageError>>,
    /// The runtime on which the caller waits for the answer.
    pub runtime: Handle,
}

/// A request to the writer.
#[derive(Debug)]
pub enum Message {
    /// Store events.
    Accept(Job<Vec<Acceptance>, Vec<Accepted>>),
    /// Record what attempts came to.
    Record(Job<Arc<Vec<RecordRow>>, ()>),
    /// Lease deliveries.
    Claim(Job<Claim, Vec<Leased>>),
    /// Write rows for deliveries that have none.
    Materialize(Job<Materialize, ()>),
    /// Delete events with all that belongs to them.
    Purge(Job<Purge, Purged>),
    /// Commit what is queued, then end.
    Close(oneshot::Sender<()>),
}
