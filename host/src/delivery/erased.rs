//! Events that were erased lately. What of them is still in memory is not sent, on whichever node.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::domain::EventKey;

/// How many are remembered, the newest. Leases of older ones have ended mostly, and nothing of them is claimed.
const REMEMBERED: usize = 100_000;

/// See the module's head.
#[derive(Debug, Default)]
pub struct ErasedEvents {
    any: AtomicBool,
    events: RwLock<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    known: HashSet<EventKey>,
    /// The oldest first.
    order: VecDeque<EventKey>,
}

impl ErasedEvents {
    /// Remembers that these are erased.
    pub fn add(&self, events: impl IntoIterator<Item = EventKey>) {
        let mut remembered = self.events.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            if remembered.known.insert(event) {
                remembered.order.push_back(event);
            }
            if remembered.order.len() > REMEMBERED
                && let Some(oldest) = remembered.order.pop_front()
            {
                remembered.known.remove(&oldest);
            }
        }
        self.any.store(!remembered.known.is_empty(), Ordering::Release);
    }

    /// Whether `event` is one of them.
    pub(super) fn has(&self, event: EventKey) -> bool {
        // Mostly there are none.
        self.any.load(Ordering::Acquire)
            && self.events.read().unwrap_or_else(PoisonError::into_inner).known.contains(&event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let erased = ErasedEvents::default();
        assert!(!erased.has(EventKey(1)));
        erased.add((0..REMEMBERED as i64 + 1).map(EventKey));
        erased.add([EventKey(1)]);
        for (event, expected) in [(0, false), (1, true), (REMEMBERED as i64, true), (-1, false)] {
            assert_eq!(erased.has(EventKey(event)), expected, "{event}");
        }
    }
}
