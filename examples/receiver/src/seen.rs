//! What has come before.
//!
//! Webhooks are delivered at least once: a receiver that answered, but whose answer was lost, gets the
//! same webhook again, under the same `webhook-id`. Keep the ids that you have dealt with, in your
//! database and in the same transaction as the work itself; here they are in memory.

use std::collections::{HashSet, VecDeque};

/// The last ids, up to a bound.
#[derive(Debug)]
pub struct Seen {
    ids: HashSet<String>,
    oldest_first: VecDeque<String>,
    capacity: usize,
}

impl Seen {
    /// Remembers the last `capacity` ids, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { ids: HashSet::new(), oldest_first: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Remembers `id`; false if it was there already.
    pub fn first_time(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.oldest_first.push_back(id.to_owned());
        if self.oldest_first.len() > self.capacity
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once_and_the_oldest_are_forgotten() {
        let mut seen = Seen::new(2);
        let answers = ["a", "a", "b", "a", "c", "b", "a"].map(|id| seen.first_time(id));
        assert_eq!(answers, [true, false, true, false, true, false, true]);
    }
}
