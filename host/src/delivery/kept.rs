//! What is kept of hooks in memory and can be made again. Pure bookkeeping.
//!
//! If there is too much, the tenant with most of it loses its oldest, so that one tenant's many hooks cost no other tenant
//! anything.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::domain::TenantId;

/// See the module's head.
pub(super) struct Kept<K, V> {
    limit: usize,
    /// Each with its tenant, and its number in the order in which they came.
    entries: HashMap<K, (TenantId, u64, V)>,
    /// The keys of each tenant by number, never empty.
    tenants: HashMap<TenantId, BTreeMap<u64, K>>,
    next: u64,
}

impl<K: Copy + Eq + Hash, V> Kept<K, V> {
    /// Keeps at most `limit` entries.
    pub(super) fn at_most(limit: usize) -> Self {
        Self { limit, entries: HashMap::new(), tenants: HashMap::new(), next: 0 }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, _, value)| value)
    }

    /// Keeps `value` for `tenant`, instead of an earlier one with this key.
    pub(super) fn insert(&mut self, tenant: TenantId, key: K, value: V) {
        self.remove(&key);
        if self.entries.len() >= self.limit {
            let largest = self.tenants.values().max_by_key(|keys| keys.len());
            if let Some(oldest) = largest.and_then(|keys| keys.values().next().copied()) {
                self.remove(&oldest);
            }
        }
        let number = self.next;
        self.next += 1;
        self.tenants.entry(tenant).or_default().insert(number, key);
        self.entries.insert(key, (tenant, number, value));
    }

    fn remove(&mut self, key: &K) {
        let Some((tenant, number, _)) = self.entries.remove(key) else { return };
        if let Some(keys) = self.tenants.get_mut(&tenant) {
            keys.remove(&number);
            if keys.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_the_tenant_with_most_loses_its_oldest() {
        let (one, two) = (TenantId(1), TenantId(2));
        let mut kept = Kept::at_most(3);
        for (tenant, key) in [(two, 'x'), (one, 'a'), (one, 'b'), (one, 'a'), (one, 'c'), (one, 'd')] {
            kept.insert(tenant, key, tenant);
        }
        let left: String = "abcdx".chars().filter(|key| kept.get(key).is_some()).collect();
        assert_eq!(left, "cdx", "`a` came again after `b`");
        assert_eq!(kept.tenants.values().map(BTreeMap::len).sum::<usize>(), kept.entries.len());
    }
}
