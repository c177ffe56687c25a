//! Holds work of plugins that keep hitting their limits until their pause ends.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::domain::TenantId;

use super::types::Source;

type Key = (TenantId, Source);

/// Paused work by source.
pub(super) struct Paused<T> {
    ends: BTreeSet<(Instant, Key)>,
    queues: HashMap<Key, (Instant, VecDeque<T>)>,
    len: usize,
}

impl<T> Paused<T> {
    pub(super) fn new() -> Self {
        Self { ends: BTreeSet::new(), queues: HashMap::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Holds work, and all work of the same source, until `until`.
    pub(super) fn push(&mut self, until: Instant, key: Key, work: T) {
        let (before, queue) = self.queues.entry(key).or_insert_with(|| (until, VecDeque::new()));
        self.ends.remove(&(*before, key));
        *before = until;
        self.ends.insert((until, key));
        queue.push_back(work);
        self.len += 1;
    }

    /// Returns when the next pause ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// Removes the work of one source whose pause has ended.
    pub(super) fn pop(&mut self, now: Instant) -> Option<VecDeque<T>> {
        let (until, key) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.ends.remove(&(until, key));
        let (_, queue) = self.queues.remove(&key)?;
        self.len -= queue.len();
        Some(queue)
    }

    /// Removes the work of one source that matches `predicate`.
    pub(super) fn take_where(&mut self, key: Key, mut predicate: impl FnMut(&T) -> bool) -> Vec<T> {
        let Some((until, queue)) = self.queues.get_mut(&key) else { return Vec::new() };
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for work in queue.drain(..) {
            if predicate(&work) {
                taken.push(work);
            } else {
                left.push_back(work);
            }
        }
        self.len -= taken.len();
        *queue = left;
        if queue.is_empty() {
            let until = *until;
            self.ends.remove(&(until, key));
            self.queues.remove(&key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    #[test]
    fn all_work_of_a_source_returns_when_its_pause_ends() {
        let now = clock::monotonic();
        let at = |seconds| now + Duration::from_secs(seconds);
        let (one, other) = ((TenantId(1), Source::DryRun), (TenantId(2), Source::DryRun));
        let mut paused = Paused::new();
        paused.push(at(2), one, 'a');
        paused.push(at(1), other, 'x');
        paused.push(at(3), one, 'b');
        paused.push(at(3), one, 'c');
        assert_eq!((paused.len(), paused.next_end()), (4, Some(at(1))));
        assert_eq!(paused.pop(now), None);
        assert_eq!(paused.pop(at(2)), Some(VecDeque::from(['x'])));
        assert_eq!(paused.pop(at(2)), None, "its pause was extended");
        assert_eq!(paused.take_where(one, |work| *work == 'b'), ['b']);
        assert_eq!(paused.pop(at(3)), Some(VecDeque::from(['a', 'c'])));
        assert_eq!((paused.len(), paused.next_end()), (0, None));
        paused.push(at(4), one, 'd');
        assert_eq!(paused.take_where(one, |_| true), ['d']);
        assert_eq!((paused.len(), paused.next_end()), (0, None));
    }
}
