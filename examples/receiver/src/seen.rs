//! Detects duplicates.
//!
//! Webhooks are delivered at least once: if a receiver's answer is lost, it gets the same webhook again, with the same
//! `webhook-id`. Store the ids of processed webhooks in your database, in the same transaction as the work itself. This
//! example keeps them in memory.

use std::collections::{HashSet, VecDeque};

/// The most recent ids, up to a limit.
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

    /// Remembers `id`. Returns false if it was known already.
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
