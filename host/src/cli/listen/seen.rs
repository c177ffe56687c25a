//! Which deliveries were seen, so that each is announced and forwarded once, and in which state.

use std::collections::BTreeMap;

use super::wire::Delivery;
use crate::domain::{DeliveryId, DeliveryState};

/// How many deliveries are kept in mind. Older ones count as seen.
const MAX_KEPT: usize = 20_000;
/// How many of the newest are asked about again after a break.
const MAX_UNFINISHED: usize = 2_000;

/// See the module's head.
#[derive(Debug)]
pub(super) struct Seen {
    /// All deliveries up to this one count as seen.
    up_to: DeliveryId,
    /// States and attempts.
    kept: BTreeMap<DeliveryId, (String, u32)>,
}

/// What is new about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is seen for the first time.
    First,
    /// Its state changed, or it was attempted.
    Changed,
    None,
}

impl Seen {
    /// Everything up to this delivery was seen.
    pub(super) fn up_to(id: DeliveryId) -> Self {
        Self { up_to: id, kept: BTreeMap::new() }
    }

    /// Whether there is nothing new about the delivery but its state.
    pub(super) fn knows(&self, delivery: &Delivery) -> bool {
        let id = delivery.number();
        id <= self.up_to || self.kept.contains_key(&id)
    }

    /// Sees a delivery. One that was `created` just now is new whatever its id says: ids have the time of the node that
    /// gave them, whose clock may be late.
    pub(super) fn see(&mut self, delivery: &Delivery, is_created: bool) -> News {
        let (id, now) = (delivery.number(), (delivery.state.clone(), delivery.attempt_count));
        // A list may have told more than the stream, which then repeats it.
        if self.kept.get(&id).is_some_and(|(_, attempts)| *attempts > now.1) {
            return News::None;
        }
        let before = self.kept.insert(id, now.clone());
        let is_first = before.is_none() && (is_created || id > self.up_to);
        if self.kept.len() > MAX_KEPT
            && let Some((oldest, _)) = self.kept.pop_first()
        {
            self.up_to = self.up_to.max(oldest);
        }
        match before {
            None if is_first => News::First,
            Some(before) if before != now => News::Changed,
            _ => News::None,
        }
    }

    /// The oldest delivery about which there may be news: an unfinished one since the start, or else the newest.
    pub(super) fn oldest_open(&self) -> DeliveryId {
        let newest = self.kept.keys().next_back().copied().unwrap_or(self.up_to);
        let is_open = |state: &str| state.parse().is_ok_and(|state: DeliveryState| !state.is_final());
        let latest = self.kept.iter().rev().take(MAX_UNFINISHED);
        let mut open = latest.filter(|(id, (state, _))| **id > self.up_to && is_open(state));
        open.next_back().map_or(newest, |(id, _)| *id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::samples::delivery;

    fn see(seen: &mut Seen, id: i64, state: &str, attempts: u32) -> News {
        let id = DeliveryId(id).to_string();
        seen.see(&Delivery { id, state: state.to_owned(), attempt_count: attempts, ..delivery() }, false)
    }

    #[test]
    fn each_delivery_is_first_once_in_any_order() {
        use News::{Changed, First, None};
        let mut seen = Seen::up_to(DeliveryId(10));
        for (id, state, attempts, news) in [
            (12, "pending", 0, First),
            (11, "pending", 0, First),
            (12, "pending", 0, None),
            (12, "waiting", 1, Changed),
            (12, "waiting", 2, Changed),
            (12, "waiting", 1, None),
            (10, "waiting", 1, None),
            (10, "succeeded", 2, Changed),
        ] {
            assert_eq!(see(&mut seen, id, state, attempts), news, "{id} {state} {attempts}");
        }
    }

    #[test]
    fn what_is_created_is_new_although_its_id_is_old() {
        let mut seen = Seen::up_to(DeliveryId(10));
        let late = Delivery { id: DeliveryId(5).to_string(), ..delivery() };
        assert!(seen.knows(&late));
        assert_eq!([seen.see(&late, true), seen.see(&late, true)], [News::First, News::None]);
    }

    #[test]
    fn what_is_forgotten_counts_as_seen() {
        let mut seen = Seen::up_to(DeliveryId(0));
        let count = i64::try_from(MAX_KEPT).unwrap() + 5;
        assert!((1..=count).all(|id| see(&mut seen, id, "succeeded", 1) == News::First));
        assert_eq!(seen.kept.len(), MAX_KEPT);
        assert!((1..=count).all(|id| see(&mut seen, id, "succeeded", 1) == News::None));
    }

    #[test]
    fn after_a_break_the_oldest_unfinished_delivery_may_have_news() {
        let mut seen = Seen::up_to(DeliveryId(7));
        assert_eq!(seen.oldest_open(), DeliveryId(7));
        for (id, state) in
            [(6, "waiting"), (8, "succeeded"), (9, "waiting"), (10, "pending"), (11, "exhausted")]
        {
            see(&mut seen, id, state, 1);
        }
        assert_eq!(seen.oldest_open(), DeliveryId(9));
        see(&mut seen, 9, "succeeded", 2);
        see(&mut seen, 10, "dropped", 1);
        assert_eq!(seen.oldest_open(), DeliveryId(11));
    }
}
