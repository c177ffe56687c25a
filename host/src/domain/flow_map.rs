//! A map of what few hooks or tenants have, which is shared and hardly ever changes.

use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use rustc_hash::{FxBuildHasher, FxHashMap};

/// Into how many parts a map is divided.
const PARTS: usize = 64;

type Part<K, V> = Arc<FxHashMap<K, V>>;

/// See the module's head. Clones share it. A change copies one of its parts, and what differs between two maps is found
/// without a look at the parts that they share.
#[derive(Debug, Clone)]
pub struct FlowMap<K, V> {
    parts: Arc<[Part<K, V>]>,
    len: usize,
}

impl<K, V> Default for FlowMap<K, V> {
    fn default() -> Self {
        let empty = Part::default();
        Self { parts: (0..PARTS).map(|_| Arc::clone(&empty)).collect(), len: 0 }
    }
}

impl<K: Copy + Eq + Hash, V: Clone + PartialEq> FlowMap<K, V> {
    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this and `other` are clones of the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.parts, &other.parts)
    }

    /// What `key` has.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        // Mostly there is nothing, which costs less than to hash.
        if self.is_empty() { None } else { self.parts[part_of(key)].get(key) }
    }

    /// Whether `key` has something.
    #[must_use]
    pub fn contains_key(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Changes what `key` has. Clones keep what they have.
    pub fn set(&mut self, key: K, value: Option<V>) {
        if self.get(&key) == value.as_ref() {
            return;
        }
        let part = Arc::make_mut(&mut Arc::make_mut(&mut self.parts)[part_of(&key)]);
        let before = part.len();
        match value {
            Some(value) => drop(part.insert(key, value)),
            None => drop(part.remove(&key)),
        }
        self.len = self.len - before + part.len();
    }

    /// The keys that have something else in `other`.
    #[must_use]
    pub fn changed(&self, other: &Self) -> Vec<K> {
        let mut changed = Vec::new();
        for (this, other) in self.parts.iter().zip(&*other.parts) {
            if !Arc::ptr_eq(this, other) {
                changed.extend(this.keys().filter(|key| this.get(key) != other.get(key)));
                changed.extend(other.keys().filter(|key| !this.contains_key(key)));
            }
        }
        changed
    }
}

impl<K: Copy + Eq + Hash, V: Clone + PartialEq> FromIterator<(K, V)> for FlowMap<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::default();
        entries.into_iter().for_each(|(key, value)| map.set(key, Some(value)));
        map
    }
}

/// The number of the part that has `key`. A part's own table uses the other bits of the hash.
fn part_of(key: &impl Hash) -> usize {
    (FxBuildHasher.hash_one(key) >> 32) as usize % PARTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_found_and_leaves_clones_as_they_are() {
        let before: FlowMap<i64, u32> = (0..1_000).map(|key| (key, 1)).collect();
        let mut after = before.clone();
        assert!(after.is_same(&before) && !after.is_empty());
        after.set(5, Some(1));
        assert!(after.is_same(&before), "nothing has changed");
        after.set(5, Some(2));
        after.set(6, None);
        after.set(2_000, Some(3));
        after.set(2_001, None);
        let mut changed = before.changed(&after);
        changed.sort_unstable();
        assert_eq!(changed, [5, 6, 2_000]);
        assert_eq!([5, 6, 7, 2_000].map(|key| after.get(&key).copied()), [Some(2), None, Some(1), Some(3)]);
        assert_eq!([5, 6, 7, 2_000].map(|key| before.get(&key).copied()), [Some(1), Some(1), Some(1), None]);
        let shared = before.parts.iter().zip(&*after.parts).filter(|(this, other)| Arc::ptr_eq(this, other));
        assert!(shared.count() >= PARTS - 3, "a change copies one part");
        (0..3_000).for_each(|key| after.set(key, None));
        assert!(after.is_empty() && !before.is_empty());
    }
}
