//! Lists of deliveries: what is asked for, and what is found.

use crate::domain::{Delivery, DeliveryId, DeliveryState, HookId, TypePattern, UnixMillis};

/// The filters of a list of deliveries.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Only deliveries for this hook.
    pub hook: Option<HookId>,
    /// Only deliveries in this state.
    pub state: Option<DeliveryState>,
    /// Only deliveries of events of these types.
    pub event_type: Option<TypePattern>,
    /// Only deliveries created at this time or later.
    pub since: Option<UnixMillis>,
    /// Only deliveries created before this time.
    pub until: Option<UnixMillis>,
    /// Only deliveries older than this one: the last one of the page before.
    pub before: Option<DeliveryId>,
    /// Only deliveries newer than this one.
    pub after: Option<DeliveryId>,
    /// Which come first.
    pub order: ListOrder,
    /// The most deliveries to return.
    pub limit: u32,
}

/// Which deliveries of a list come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ListOrder {
    /// The newest.
    #[default]
    NewestFirst,
    /// The oldest.
    OldestFirst,
}

impl DeliveryQuery {
    /// The least and the greatest id to find.
    pub(super) fn ids(&self) -> (i64, i64) {
        let since = self.since.map(DeliveryId::first_at).map(|first| first.0);
        let first = since.into_iter().chain(self.after.map(|after| after.0.saturating_add(1))).max();
        let last = [self.until.map(DeliveryId::first_at), self.before].into_iter().flatten().min();
        (first.unwrap_or(0), last.map_or(i64::MAX, |before| before.0.saturating_sub(1)))
    }

    /// Keeps of a range of ids what a search visits that ends at `end`.
    pub(super) fn ending_at(&self, (first, last): (i64, i64), end: Option<i64>) -> (i64, i64) {
        match self.order {
            ListOrder::NewestFirst => (end.unwrap_or(first), last),
            ListOrder::OldestFirst => (first, end.unwrap_or(last)),
        }
    }
}

/// A page of a tenant's deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The deliveries, in order.
    pub deliveries: Vec<Delivery>,
    /// If the search visited as many deliveries as it may: the last one that it visited. The next search continues behind
    /// it.
    pub searched_to: Option<DeliveryId>,
}
