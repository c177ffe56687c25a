//! What one transaction writes, and what the ledger is told when it is committed.
//!
//! Decided in one go and without waiting, from what was handed in and what the [`Ledger`] knows; a plan that is not
//! committed has changed nothing.

use std::collections::HashSet;

use super::batch::Script;
use super::claims::Claim;
use super::delivery_rows::{self, DeliveryInsert};
use super::events::Stored;
use super::recording::{Divided, RecordRow};
use super::spans::{self, HookSpan};
use super::unwritten::{Ledger, Settle, SharedLedger};
use crate::domain::{EventKey, HookId};
use crate::storage::{Accepted, StorageError};

/// See the module's head.
pub struct Plan<'a> {
    stored: Stored<'a>,
    divided: Divided<'a>,
    /// New rows of deliveries, in the order of the table, so that each of its pages is looked for once.
    rows: Vec<DeliveryInsert>,
    /// The new `written_until`, if it moves.
    written_until: Option<EventKey>,
}

impl<'a> Plan<'a> {
    /// What is written of events, records, questions and claims.
    pub fn new(
        mut stored: Stored<'a>,
        records: impl Iterator<Item = &'a RecordRow>,
        questions: &HashSet<Settle>,
        claims: impl Iterator<Item = &'a Claim>,
        (ledger, deleted_hooks): (&Ledger, &HashSet<HookId>),
    ) -> Self {
        let (mut divided, mut written) = Divided::new(records, ledger, deleted_hooks);
        let mut rows = std::mem::take(&mut stored.rows);
        rows.append(&mut divided.rows);
        // Those that somebody asks for, whose leases have ended, or that have waited for long.
        let wanted = questions.iter().flat_map(|question| ledger.wanted(*question));
        let expired = claims.flat_map(|claim| ledger.expired(claim));
        for (id, unwritten) in wanted.chain(expired).chain(ledger.old(stored.change.last_event)) {
            if written.insert(id) {
                rows.push(unwritten.first_row(id, deleted_hooks));
            }
        }
        stored.change.removed = written.into_iter().collect();
        rows.sort_unstable_by_key(|row| (row.event.tenant, row.id));
        stored.change.spans = ledger.spans.missing(rows.iter().map(|row| HookSpan::of(row.hook, row.id)));
        let written_until = ledger.next_written_until(&stored.change);
        Self { stored, divided, rows, written_until }
    }

    /// Adds all of it to `script`.
    pub fn write(&self, script: &mut Script) -> Result<(), StorageError> {
        self.stored.write_events(script)?;
        delivery_rows::write(script, &self.rows)?;
        spans::write(script, &self.stored.change.spans)?;
        self.divided.write_changes(script)?;
        if let Some(until) = self.written_until {
            script.push_value("UPDATE written_until SET event_key = ?;", until.0)?;
        }
        Ok(())
    }

    /// After the commit: what the senders of events are told.
    pub fn committed(self, ledger: &SharedLedger) -> Vec<Vec<Accepted>> {
        ledger.lock().apply(self.stored.change, self.written_until);
        self.stored.answers
    }
}
