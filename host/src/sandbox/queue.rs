//! Whose turn it is: one line for each tenant, and tenants taking turns.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// Work waiting, by tenant. Every tenant with work stands in `turns` exactly once.
pub(super) struct FairQueue<K, T> {
    lines: HashMap<K, VecDeque<T>>,
    turns: VecDeque<K>,
    len: usize,
}

impl<K: Copy + Eq + Hash, T> FairQueue<K, T> {
    pub(super) fn new() -> Self {
        Self { lines: HashMap::new(), turns: VecDeque::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// At the end of its tenant's line.
    pub(super) fn push(&mut self, tenant: K, work: T) {
        self.line(tenant).push_back(work);
    }

    /// Work that has begun, before all else of its tenant's, but after the other tenants.
    pub(super) fn push_begun(&mut self, tenant: K, work: T) {
        self.line(tenant).push_front(work);
    }

    fn line(&mut self, tenant: K) -> &mut VecDeque<T> {
        self.len += 1;
        let line = self.lines.entry(tenant).or_default();
        if line.is_empty() {
            self.turns.push_back(tenant);
        }
        line
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let tenant = self.turns.pop_front()?;
        let line = self.lines.get_mut(&tenant)?;
        let work = line.pop_front()?;
        self.len -= 1;
        if line.is_empty() {
            self.lines.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        Some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_take_turns_however_much_one_of_them_sends() {
        let mut queue = FairQueue::new();
        for work in ["a1", "a2", "a3"] {
            queue.push('a', work);
        }
        queue.push('b', "b1");
        assert_eq!(queue.pop(), Some("a1"));
        queue.push_begun('a', "a1 again");
        queue.push('c', "c1");
        let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(rest, ["b1", "a1 again", "c1", "a2", "a3"]);
        assert_eq!(queue.len(), 0);
    }
}
