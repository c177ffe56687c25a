//! Work of plugins that keep reaching their limits, until their pause is over.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::Instant;

use crate::domain::TenantId;

use super::types::Source;

type Key = (TenantId, Source);

/// See the module's head.
pub(super) struct Paused<T> {
    ends: BTreeSet<(Instant, Key)>,
    lines: HashMap<Key, (Instant, VecDeque<T>)>,
    len: usize,
}

impl<T> Paused<T> {
    pub(super) fn new() -> Self {
        Self { ends: BTreeSet::new(), lines: HashMap::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Keeps work, and all that is here of the same source, until `until`.
    pub(super) fn push(&mut self, until: Instant, key: Key, work: T) {
        let (before, line) = self.lines.entry(key).or_insert_with(|| (until, VecDeque::new()));
        self.ends.remove(&(*before, key));
        *before = until;
        self.ends.insert((until, key));
        line.push_back(work);
        self.len += 1;
    }

    /// When the next pause is over.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(until, _)| *until)
    }

    /// The work of one source whose pause is over.
    pub(super) fn pop(&mut self, now: Instant) -> Option<VecDeque<T>> {
        let (until, key) = self.ends.first().copied().filter(|(until, _)| *until <= now)?;
        self.ends.remove(&(until, key));
        let (_, line) = self.lines.remove(&key)?;
        self.len -= line.len();
        Some(line)
    }

    /// Takes out what `is_wanted` of one source.
    pub(super) fn take_where(&mut self, key: Key, mut is_wanted: impl FnMut(&T) -> bool) -> Vec<T> {
        let Some((until, line)) = self.lines.get_mut(&key) else { return Vec::new() };
        let (mut taken, mut left) = (Vec::new(), VecDeque::new());
        for work in line.drain(..) {
            if is_wanted(&work) {
                taken.push(work);
            } else {
                left.push_back(work);
            }
        }
        self.len -= taken.len();
        *line = left;
        if line.is_empty() {
            let until = *until;
            self.ends.remove(&(until, key));
            self.lines.remove(&key);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_comes_back_as_a_whole_when_its_pause_is_over() {
        let now = Instant::now();
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
        assert_eq!(paused.pop(at(2)), None, "its pause was made longer");
        assert_eq!(paused.take_where(one, |work| *work == 'b'), ['b']);
        assert_eq!(paused.pop(at(3)), Some(VecDeque::from(['a', 'c'])));
        assert_eq!((paused.len(), paused.next_end()), (0, None));
        paused.push(at(4), one, 'd');
        assert_eq!(paused.take_where(one, |_| true), ['d']);
        assert_eq!((paused.len(), paused.next_end()), (0, None));
    }
}
