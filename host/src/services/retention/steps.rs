//! What each step of retention needs: the lease of the node that deletes, and the pauses between steps.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::counters::RetentionCounters;
use crate::clock;
use crate::domain::{NodeNumber, TenantId};
use crate::log_limiter::LogLimiter;
use crate::sources::Sources;
use crate::storage::{RetentionStore, StorageError};

/// How many events or deliveries one look visits.
pub(super) const VISITED: u32 = 1_000;
/// How many events or deliveries one step deletes.
pub(super) const STEP: usize = 50;
/// How long one class or tenant may take before it is the next one's turn.
pub(super) const TIME_EACH: Duration = Duration::from_secs(5);
/// How long it waits after a step if nothing is late.
const PAUSE: Duration = Duration::from_millis(50);
/// If events are late by more than this part of the time for which they are kept, it does not wait.
const LATE_PART: u32 = 100;
/// How often it tells other nodes that it goes on.
const RENEWED_EVERY: Duration = Duration::from_secs(10);

/// If so many steps fail in a row, it is not because of single rows.
const MAX_FAILURES: u32 = 16;

/// See the module's head.
pub(super) struct Steps {
    pub(super) sources: Sources,
    pub(super) store: Arc<dyn RetentionStore>,
    pub(super) counters: Arc<RetentionCounters>,
    node: NodeNumber,
    renewed_at: Option<Instant>,
    /// How many steps have failed since one succeeded.
    failed_in_a_row: u32,
    /// For each part that has failed.
    failures: BTreeMap<&'static str, LogLimiter>,
}

/// Another node deletes.
pub(super) struct OtherNodeDeletes;

/// What becomes of the rows of a step that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// They are tried in halves.
    Halve,
    /// It is the one row that fails.
    SetAside,
    /// No row is the cause: they are tried again later.
    Leave,
}

/// Why a part ends before it is done.
pub(super) enum Stopped {
    OtherNodeDeletes,
    Failed(StorageError),
}

impl From<StorageError> for Stopped {
    fn from(error: StorageError) -> Self {
        Self::Failed(error)
    }
}

impl From<OtherNodeDeletes> for Stopped {
    fn from(OtherNodeDeletes: OtherNodeDeletes) -> Self {
        Self::OtherNodeDeletes
    }
}

impl Steps {
    /// Of `node`, which deletes if no other node does.
    pub(super) fn new(sources: Sources, store: Arc<dyn RetentionStore>, node: NodeNumber) -> Self {
        let (counters, renewed_at, failures) = (Arc::default(), None, BTreeMap::new());
        Self { sources, store, counters, node, renewed_at, failed_in_a_row: 0, failures }
    }

    /// A step succeeded, or others begin.
    pub(super) fn forget_failures(&mut self) {
        self.failed_in_a_row = 0;
    }

    /// A step of so many rows failed.
    pub(super) fn failed(&mut self, rows: usize, error: &StorageError) -> AfterFailure {
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        let is_of_a_row = !error.is_outage() && self.failed_in_a_row <= MAX_FAILURES;
        match rows {
            _ if !is_of_a_row && !error.is_damaged() => AfterFailure::Leave,
            1 => AfterFailure::SetAside,
            _ => AfterFailure::Halve,
        }
    }

    /// Tells that a row is set aside: a damaged table may have very many.
    pub(super) fn tell_set_aside(
        &mut self,
        part: &'static str,
        row: &dyn Display,
        tenant: TenantId,
        error: &StorageError,
    ) {
        if let Some(unlogged) = self.failures.entry(part).or_default().permit() {
            let error = error as &dyn std::error::Error;
            tracing::error!(
                part,
                %row,
                %tenant,
                unlogged,
                error,
                "cannot delete what is older than its retention; trying again in an hour"
            );
        }
    }

    /// Goes on only if no other node deletes meanwhile.
    pub(super) async fn renew(&mut self) -> Result<(), Stopped> {
        if self.renewed_at.is_some_and(|at| clock::elapsed(at) < RENEWED_EVERY) {
            return Ok(());
        }
        self.renewed_at = None;
        if !self.store.takes_lease(self.node).await? {
            return Err(OtherNodeDeletes.into());
        }
        self.renewed_at = Some(clock::monotonic());
        Ok(())
    }

    /// Whether a part was done. If it failed, that is logged, and the next part goes on.
    ///
    /// # Errors
    /// If another node deletes: then no part goes on.
    pub(super) fn go_on(
        &mut self,
        part: &'static str,
        done: Result<(), impl Into<Stopped>>,
    ) -> Result<bool, OtherNodeDeletes> {
        let error = match done.map_err(Into::into) {
            Ok(()) => return Ok(true),
            Err(Stopped::OtherNodeDeletes) => return Err(OtherNodeDeletes),
            Err(Stopped::Failed(error)) => error,
        };
        if let Some(unlogged) = self.failures.entry(part).or_default().permit() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                part,
                unlogged,
                error,
                "cannot delete what is older than its retention; trying again"
            );
        }
        Ok(false)
    }

    /// Waits after a step, if what it deleted was not late by much.
    pub(super) async fn pause(&mut self, late_by: Duration, keep: Duration) -> Result<(), Stopped> {
        let late = (keep / LATE_PART).max(Duration::from_secs(1));
        let left = 1.0 - late_by.as_secs_f64() / late.as_secs_f64();
        if left > 0.0 {
            tokio::time::sleep(PAUSE.mul_f64(left)).await;
        }
        self.renew().await
    }

    /// Waits a little between steps that have nothing to do with the age of events.
    pub(super) async fn pause_briefly(&mut self) -> Result<(), Stopped> {
        tokio::time::sleep(PAUSE / 5).await;
        self.renew().await
    }
}
