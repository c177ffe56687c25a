//! Searches for a tenant's events, and what became of them.
//!
//! No index serves them: it would cost every accepted event. A search visits the events of all tenants, newest first, in
//! steps, and ends early after many.

use std::collections::HashMap;

use super::error::StorageError;
use crate::domain::{Delivery, DeliveryState, EventId, EventKey, EventType, TypePattern, UnixMillis};

/// The filters of a list of events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only events of these types.
    pub event_type: Option<TypePattern>,
    /// Only events of this project.
    pub project: Option<i64>,
    /// Only events accepted at this time or later.
    pub since: Option<UnixMillis>,
    /// Only events accepted before this time.
    pub until: Option<UnixMillis>,
    /// Only events older than this one: the last one of the page before.
    pub before: Option<EventKey>,
    /// The most events to return.
    pub limit: u32,
}

impl EventQuery {
    /// The least and the greatest key to find.
    pub(super) fn keys(&self) -> (i64, i64) {
        let until = self.until.map(EventKey::first_at);
        let first = self.since.map_or(0, |since| EventKey::first_at(since).0);
        let last = [until, self.before].into_iter().flatten().min();
        (first, last.map_or(i64::MAX, |before| before.0.saturating_sub(1)))
    }
}

/// An event without its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSummary {
    /// The engine's id.
    pub key: EventKey,
    /// The sender's id, or the engine's.
    pub id: EventId,
    /// Its type.
    pub event_type: EventType,
    /// Its project.
    pub project: Option<i64>,
    /// When it happened.
    pub occurred_at: UnixMillis,
}

/// A page of a tenant's events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListedEvents {
    /// The events, newest first.
    pub events: Vec<EventSummary>,
    /// If the search ended early: the oldest event that it visited. The next search continues before it.
    pub searched_to: Option<EventKey>,
}

/// How many deliveries of events are in each state. States without any are left out.
pub type DeliveryCounts = HashMap<EventKey, Vec<(DeliveryState, u32)>>;

/// The result of [`EventStore::redeliver`](super::EventStore::redeliver).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redelivered {
    /// The new delivery.
    Made(Delivery),
    /// The tenant has no such event.
    NoEvent,
    /// The tenant has no such hook.
    NoHook,
    /// The event has [`MAX_DELIVERIES`] deliveries.
    TooMany,
    /// The event's content was erased.
    Erased,
}

/// An event with as many deliveries gets no more by hand: its row names each.
pub const MAX_DELIVERIES: u32 = 10_000;
/// How many events one step of a search visits, of all tenants: some milliseconds of work.
pub(super) const STEP: u32 = 10_000;
/// How many events one search visits.
pub(super) const MAX_VISITED: u32 = 100_000;
/// A page whose events have more deliveries ends early, since its reader wants them counted.
const MAX_COUNTED: i64 = 10_000;

/// Key, sender's id, type, project, time and number of deliveries of an event.
pub(super) type SummaryRow = (i64, Option<String>, String, Option<i64>, i64, i64);

/// Collects what the steps of a search find.
pub(super) struct Collected {
    limit: usize,
    listed: ListedEvents,
    counted: i64,
}

impl Collected {
    pub(super) fn new(query: &EventQuery) -> Self {
        Self { limit: query.limit as usize, listed: ListedEvents::default(), counted: 0 }
    }

    /// How many more events are wanted.
    pub(super) fn wanted(&self) -> i64 {
        i64::try_from(self.limit - self.listed.events.len()).unwrap_or(i64::MAX)
    }

    /// Adds the events of one step, newest first. Whether the page is complete.
    pub(super) fn add(&mut self, rows: Vec<SummaryRow>) -> Result<bool, StorageError> {
        for (key, external_id, event_type, project, occurred_at, deliveries) in rows {
            self.counted = self.counted.saturating_add(deliveries);
            let last = self.listed.events.last().map(|event| event.key);
            if let Some(last) = last.filter(|_| self.counted > MAX_COUNTED) {
                self.listed.searched_to = Some(last);
                return Ok(true);
            }
            let key = EventKey(key);
            self.listed.events.push(EventSummary {
                key,
                id: external_id.map_or_else(|| EventId::of_key(key), |text| EventId::from_path(&text)),
                event_type: super::columns::event_type_of(key, &event_type)?,
                project,
                occurred_at: UnixMillis(occurred_at),
            });
        }
        Ok(self.listed.events.len() >= self.limit)
    }

    /// The page. `visited_to` is the oldest event that was visited, if there may be older ones.
    pub(super) fn finish(mut self, visited_to: Option<i64>) -> ListedEvents {
        if self.listed.searched_to.is_none() && self.listed.events.len() < self.limit {
            self.listed.searched_to = visited_to.map(EventKey);
        }
        self.listed
    }
}

/// Collects counts from rows of event, state and number.
pub(super) fn counts_from_rows(rows: Vec<(i64, i64, i64)>) -> Result<DeliveryCounts, StorageError> {
    let mut counts = DeliveryCounts::new();
    for (event, state, count) in rows {
        let state = super::columns::state_from_code(state)?;
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        counts.entry(EventKey(event)).or_default().push((state, count));
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: i64, deliveries: i64) -> SummaryRow {
        (key, None, "a".to_owned(), None, 0, deliveries)
    }

    fn keys(listed: &ListedEvents) -> Vec<i64> {
        listed.events.iter().map(|event| event.key.0).collect()
    }

    #[test]
    fn a_search_that_ends_early_says_where() {
        let query = EventQuery { limit: 2, ..EventQuery::default() };
        let mut found = Collected::new(&query);
        assert!(!found.add(vec![row(9, 1)]).unwrap());
        let listed = found.finish(Some(5));
        assert_eq!((keys(&listed), listed.searched_to), (vec![9], Some(EventKey(5))));
        let mut found = Collected::new(&query);
        assert!(found.add(vec![row(9, 1), row(8, 1)]).unwrap());
        assert_eq!(found.finish(Some(5)).searched_to, None, "the page is full");
    }

    #[test]
    fn events_with_many_deliveries_come_in_several_pages() {
        let query = EventQuery { limit: 9, ..EventQuery::default() };
        let mut found = Collected::new(&query);
        assert!(found.add(vec![row(9, MAX_COUNTED), row(8, 1), row(7, 1)]).unwrap());
        let listed = found.finish(None);
        assert_eq!((keys(&listed), listed.searched_to), (vec![9], Some(EventKey(9))));
        let mut found = Collected::new(&query);
        assert!(!found.add(vec![row(8, MAX_COUNTED + 1)]).unwrap(), "one event is always shown");
    }
}
