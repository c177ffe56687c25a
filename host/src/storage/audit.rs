//! The audit log. Entries about changes are written by the transactions that make them: see the other traits.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::{AuditEntry, AuditFilter, AuditId, UnixMillis};

/// See the module's head.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds an entry about something that changes no stored configuration, such as the reading of a secret.
    async fn append(&self, entry: &AuditEntry) -> Result<(), StorageError>;
    /// Entries, newest first. May end early; see [`ListedEntries`].
    async fn list(&self, query: &AuditQuery) -> Result<ListedEntries, StorageError>;
    /// Removes entries made before `end`, at most `most`, the oldest first. Returns how many.
    async fn remove_entries(&self, end: UnixMillis, most: u32) -> Result<u64, StorageError>;
}

/// Which entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// Those that it selects.
    pub filter: AuditFilter,
    /// Only those older than this one.
    pub before: Option<AuditId>,
    /// The most entries to return.
    pub limit: usize,
}

/// Entries of the audit log, newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ListedEntries {
    /// The entries.
    pub entries: Vec<AuditEntry>,
    /// Before which entry to search on; `None` if everything was searched, or if there are as many as were asked for.
    pub searched_to: Option<AuditId>,
}

/// How many entries of its tenant and time one search visits.
pub(super) const MAX_VISITED: usize = 5_000;

impl AuditQuery {
    /// The ids that the entries may have: from the first one to below the second one.
    pub(super) fn ids(&self) -> (i64, i64) {
        let since = self.filter.since.map_or(i64::MIN, |time| AuditId::first_at(time).0);
        let until = self.filter.until.map_or(i64::MAX, |time| AuditId::first_at(time).0);
        (since, self.before.map_or(until, |before| before.0.min(until)))
    }
}

/// Selects entries from the rows that a search visits.
pub(super) struct Selection<'q> {
    query: &'q AuditQuery,
    visited: usize,
    listed: ListedEntries,
}

impl<'q> Selection<'q> {
    pub(super) fn of(query: &'q AuditQuery) -> Self {
        Self { query, visited: 0, listed: ListedEntries::default() }
    }

    /// Visits the next row, which has no entry if it is damaged. Returns whether the search goes on.
    pub(super) fn visit(&mut self, id: AuditId, entry: Option<AuditEntry>) -> bool {
        self.visited += 1;
        self.listed.entries.extend(entry.filter(|entry| self.query.filter.selects(entry)));
        if self.listed.entries.len() >= self.query.limit {
            return false;
        }
        if self.visited >= MAX_VISITED {
            self.listed.searched_to = Some(id);
            return false;
        }
        true
    }

    pub(super) fn listed(self) -> ListedEntries {
        self.listed
    }
}
