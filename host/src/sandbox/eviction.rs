//! Selects the compiled code to remove when the cache exceeds its limit. Pure code.
//!
//! Code without an owner is removed first, then the least recently used code of the tenant that holds most. So one
//! tenant's uploads do not evict the code of tenants that hold less. The standard plugins are removed last.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::SystemTime;

use super::Owners;
use crate::domain::TenantId;

/// A file of compiled code.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) owners: Owners,
    pub(super) used: LastUse,
}

/// Time of the last use. Code in memory has a sequence number and sorts after code that is not in memory.
pub(super) type LastUse = (Option<u64>, SystemTime);

/// Returns the files to remove so that at most `max_bytes` remain.
pub(super) fn evict(mut entries: Vec<Entry>, max_bytes: u64) -> Vec<PathBuf> {
    let mut total: u64 = entries.iter().map(|entry| entry.bytes).sum();
    // Most recently used first.
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
    let mut evicted = Vec::new();
    while total > max_bytes && !entries.is_empty() {
        let entry = entries.remove(victim(&entries));
        total -= entry.bytes;
        evicted.push(entry.path);
    }
    evicted
}

fn victim(entries: &[Entry]) -> usize {
    let last = |is_it: &dyn Fn(&Owners) -> bool| entries.iter().rposition(|entry| is_it(&entry.owners));
    if let Some(index) = last(&|owners| *owners == Owners::Unowned) {
        return index;
    }
    let most = held(entries).into_iter().max_by_key(|(tenant, bytes)| (*bytes, std::cmp::Reverse(*tenant)));
    let of_most = most.and_then(|(tenant, _)| {
        last(&|owners| matches!(owners, Owners::Tenants(tenants) if tenants.contains(&tenant)))
    });
    of_most.unwrap_or(entries.len() - 1)
}

/// Returns the bytes that each tenant holds. A file with several owners is divided between them.
fn held(entries: &[Entry]) -> HashMap<TenantId, u64> {
    let mut held = HashMap::new();
    for entry in entries {
        if let Owners::Tenants(tenants) = &entry.owners {
            for tenant in tenants {
                *held.entry(*tenant).or_default() += entry.bytes / tenants.len() as u64;
            }
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn entry(name: &str, bytes: u64, tenants: &[i64], used: u64) -> Entry {
        let owners = Owners::Tenants(tenants.iter().copied().map(TenantId).collect());
        Entry {
            path: name.into(),
            bytes,
            owners,
            used: (None, SystemTime::UNIX_EPOCH + Duration::from_secs(used)),
        }
    }

    fn owned(owners: Owners, entry: Entry) -> Entry {
        Entry { owners, ..entry }
    }

    #[test]
    fn the_least_recently_used_code_of_the_largest_holder_is_evicted_first() {
        let in_memory =
            Entry { used: (Some(1), SystemTime::UNIX_EPOCH), ..entry("large, in memory", 10, &[1], 0) };
        let entries = vec![
            entry("large, used late", 10, &[1], 9),
            in_memory,
            entry("large, used early", 10, &[1], 2),
            entry("small, used first", 9, &[2], 1),
            entry("shared", 8, &[2, 3], 3),
            owned(Owners::Engine, entry("standard", 50, &[], 0)),
            owned(Owners::Unowned, entry("unowned", 1, &[], 10)),
        ];
        for (max, expected) in [
            (98, &[][..]),
            (97, &["unowned"]),
            (96, &["unowned", "large, used early"]),
            (80, &["unowned", "large, used early", "large, used late"]),
            (70, &["unowned", "large, used early", "large, used late", "small, used first"]),
            (
                67,
                &[
                    "unowned",
                    "large, used early",
                    "large, used late",
                    "small, used first",
                    "large, in memory",
                ],
            ),
        ] {
            let evicted: Vec<_> = evict(entries.clone(), max);
            let evicted: Vec<_> = evicted.iter().map(|path| path.to_str().unwrap()).collect();
            assert_eq!(evicted, expected, "{max}");
        }
        assert_eq!(evict(entries, 0).len(), 7, "a limit of 0 evicts everything");
    }
}
