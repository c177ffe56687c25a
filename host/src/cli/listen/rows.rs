//! The rows of the table: the newest deliveries, bounded.

use std::collections::VecDeque;

use super::update::{Forwarded, Outcome, Update};
use super::wire::{Attempt, Delivery};

/// How many rows are kept.
const MAX_ROWS: usize = 1_000;

/// A delivery as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) delivery: Delivery,
    /// The last one that was told.
    pub(super) attempt: Option<Attempt>,
    pub(super) forwarding: Forwarding,
}

/// What becomes of forwarding a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Forwarding {
    No,
    Running,
    Ended(Outcome),
}

/// The rows, newest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows(VecDeque<Row>);

impl Rows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&Row> {
        self.0.get(index)
    }

    /// The rows from `first` on.
    pub(super) fn from(&self, first: usize) -> impl Iterator<Item = (usize, &Row)> {
        self.0.iter().enumerate().skip(first)
    }

    /// The row of a delivery.
    pub(super) fn of(&self, id: &str) -> Option<&Row> {
        self.0.iter().find(|row| row.delivery.id == id)
    }

    fn of_mut(&mut self, id: &str) -> Option<&mut Row> {
        self.0.iter_mut().find(|row| row.delivery.id == id)
    }

    /// Notes that a delivery is being forwarded.
    pub(super) fn forwarding(&mut self, id: &str) {
        if let Some(row) = self.of_mut(id) {
            row.forwarding = Forwarding::Running;
        }
    }

    /// Notes what happened. Returns how many rows came to the front.
    pub(super) fn apply(&mut self, update: &Update, forwards: bool) -> usize {
        match update {
            Update::Earlier(deliveries) => {
                for delivery in deliveries.iter().rev() {
                    self.push(Row { delivery: delivery.clone(), attempt: None, forwarding: Forwarding::No });
                }
                deliveries.len()
            }
            Update::Changed { change, is_new } => {
                let (delivery, attempt) = (change.delivery.clone(), change.attempt.clone());
                if let Some(row) = self.of_mut(&delivery.id) {
                    row.delivery = delivery;
                    row.attempt = attempt.or_else(|| row.attempt.take());
                    return 0;
                }
                let forwarding = if *is_new && forwards { Forwarding::Running } else { Forwarding::No };
                self.push(Row { delivery, attempt, forwarding });
                1
            }
            Update::Forwarded(Forwarded { delivery, outcome }) => {
                if let Some(row) = self.of_mut(&delivery.id) {
                    row.forwarding = Forwarding::Ended(outcome.clone());
                }
                0
            }
            _ => 0,
        }
    }

    fn push(&mut self, row: Row) {
        self.0.push_front(row);
        self.0.truncate(MAX_ROWS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::samples::{attempted, created, delivery};

    #[test]
    fn a_delivery_has_one_row_with_what_was_told_last() {
        let mut rows = Rows::default();
        let changed = |change, is_new| Update::Changed { change, is_new };
        assert_eq!(rows.apply(&changed(created(delivery()), true), true), 1);
        assert_eq!(rows.get(0).unwrap().forwarding, Forwarding::Running);
        assert_eq!(rows.apply(&changed(attempted("waiting", 503), false), true), 0);
        let mut retried = attempted("pending", 503);
        retried.attempt = None;
        rows.apply(&changed(retried, false), true);
        let outcome = Outcome::Dropped;
        rows.apply(&Update::Forwarded(Forwarded { delivery: delivery(), outcome: outcome.clone() }), true);
        assert_eq!(rows.len(), 1);
        let row = rows.get(0).unwrap();
        assert_eq!(
            (row.delivery.state.as_str(), row.attempt.as_ref().unwrap().status),
            ("pending", Some(503))
        );
        assert_eq!(row.forwarding, Forwarding::Ended(outcome));
    }

    #[test]
    fn the_newest_rows_are_kept() {
        let mut rows = Rows::default();
        for number in 0..=MAX_ROWS {
            let one = Delivery { id: number.to_string(), ..delivery() };
            rows.apply(&Update::Changed { change: created(one), is_new: true }, false);
        }
        assert_eq!((rows.len(), rows.get(0).unwrap().delivery.id.as_str()), (MAX_ROWS, "1000"));
        assert_eq!(rows.of("0"), None);
    }
}
