//! What one transaction writes, and how it changes what is in [`Memory`] once it is committed.
//!
//! A plan is made in one step and without waiting. A plan that is not committed has changed nothing.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::claims::Claim;
use super::delivery_rows::{self, DeliveryInsert};
use super::events::EventWrites;
use super::id_buckets::{self, HookBucket};
use super::known_names::{self, KnownNames, NamesChange, SharedNames};
use super::ordering;
use super::recording::RecordWrites;
use super::rowless::{Materialize, RowlessDeliveries, SharedRowless};
use super::rows::RecordRow;
use super::script::Script;
use crate::domain::{EventKey, HookId, OrderingKey};
use crate::storage::{Accepted, StorageError};

/// What the writer keeps in memory of the database.
#[derive(Debug, Clone)]
pub struct Memory {
    pub rowless: Arc<SharedRowless>,
    pub names: Arc<SharedNames>,
}

/// See the module's documentation.
pub struct WritePlan<'a> {
    events: EventWrites<'a>,
    records: RecordWrites<'a>,
    /// New rows of deliveries, in the order of the table, so that SQLite looks for each page once.
    rows: Vec<DeliveryInsert>,
    /// The new `written_until`, if it moves.
    written_until: Option<EventKey>,
    /// The groups in which another delivery may be the first.
    groups: BTreeSet<(i64, OrderingKey)>,
    names: NamesChange,
}

impl<'a> WritePlan<'a> {
    /// The writes for events, records, requested rows and claims.
    pub fn new(
        mut events: EventWrites<'a>,
        records: impl Iterator<Item = &'a RecordRow>,
        requests: &HashSet<Materialize>,
        claims: impl Iterator<Item = &'a Claim>,
        (rowless, names, deleted_hooks): (&RowlessDeliveries, &KnownNames, &HashSet<HookId>),
    ) -> Self {
        let (mut records, mut written) = RecordWrites::new(records, rowless, deleted_hooks);
        let mut groups = std::mem::take(&mut events.groups);
        groups.append(&mut records.groups);
        let mut rows = std::mem::take(&mut events.rows);
        rows.append(&mut records.rows);
        let requested = requests.iter().flat_map(|request| rowless.selected(*request));
        let expired =
            claims.flat_map(|claim| rowless.expired(claim.hooks.iter().map(|one| one.hook), claim.now));
        for (id, delivery) in requested.chain(expired).chain(rowless.old(events.change.last_event)) {
            if written.insert(id) {
                rows.push(delivery.first_row(id, deleted_hooks));
            }
        }
        events.change.removed = written.into_iter().collect();
        rows.sort_unstable_by_key(|row| (row.event.tenant, row.id));
        events.change.buckets =
            rowless.buckets.missing(rows.iter().map(|row| HookBucket::of(row.hook, row.id)));
        let written_until = rowless.next_written_until(&events.change);
        let names = names.plan(events.events.iter().copied());
        Self { events, records, rows, written_until, groups, names }
    }

    /// Adds all writes to `script`.
    pub fn write(&self, script: &mut Script) -> Result<(), StorageError> {
        self.events.write(script)?;
        known_names::write(script, &self.names)?;
        delivery_rows::write(script, &self.rows)?;
        id_buckets::write(script, &self.events.change.buckets)?;
        self.records.write_changes(script)?;
        ordering::advance(script, &self.groups)?;
        if let Some(until) = self.written_until {
            script.push_value("UPDATE written_until SET event_key = ?;", until.0)?;
        }
        Ok(())
    }

    /// After the commit: the answers for the senders of events.
    pub fn committed(self, memory: &Memory) -> Vec<Vec<Accepted>> {
        memory.names.lock().apply(self.names);
        memory.rowless.lock().apply(self.events.change, self.written_until);
        self.events.answers
    }
}
