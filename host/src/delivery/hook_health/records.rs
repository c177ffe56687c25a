//! The records of all hooks. Counts, and what storage lacks, follow each change by its difference: nothing here that attempts
//! use looks at all records.

use std::collections::hash_map::Entry;

use rustc_hash::{FxHashMap, FxHashSet};

use super::record::HealthRecord;
use crate::domain::{HookHealth, HookId, TenantId};

/// See the module's head.
#[derive(Debug, Default)]
pub(super) struct HealthRecords {
    by_hook: FxHashMap<HookId, HealthRecord>,
    /// Those that storage lacks.
    dirty: FxHashSet<HookId>,
    open: usize,
    /// Whether a circuit has closed, or is probed earlier: what is held may go.
    released: bool,
}

impl HealthRecords {
    /// How many hooks have a record.
    pub(super) fn len(&self) -> usize {
        self.by_hook.len()
    }

    /// How many circuits are open.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn get(&self, hook: HookId) -> Option<&HealthRecord> {
        self.by_hook.get(&hook)
    }

    pub(super) fn hooks(&self) -> Vec<HookId> {
        self.by_hook.keys().copied().collect()
    }

    /// Those whose row in storage is not older than the record.
    pub(super) fn stored_hooks(&self) -> Vec<HookId> {
        let stored = self.by_hook.iter().filter(|(_, record)| record.is_stored && !record.is_dirty);
        stored.map(|(hook, _)| *hook).collect()
    }

    /// Whether a circuit has closed or is probed earlier, since [`Self::take_released`].
    pub(super) fn is_released(&self) -> bool {
        self.released
    }

    /// Whether what is held may go, since the last call.
    pub(super) fn take_released(&mut self) -> bool {
        std::mem::take(&mut self.released)
    }

    /// Changes the record of `hook`, if there is one, and forgets it if it says nothing any more.
    pub(super) fn change<T>(
        &mut self,
        hook: HookId,
        change: impl FnOnce(&mut HealthRecord) -> T,
    ) -> Option<T> {
        let Entry::Occupied(mut entry) = self.by_hook.entry(hook) else { return None };
        let record = entry.get_mut();
        let before = record.circuit;
        let result = change(record);
        self.open = self.open + usize::from(record.circuit.is_some()) - usize::from(before.is_some());
        self.released |= match (before, record.circuit) {
            (Some(before), Some(now)) => now.until < before.until,
            (Some(_), None) => true,
            (None, _) => false,
        };
        if record.is_dirty {
            self.dirty.insert(hook);
        }
        if record.is_clean() {
            entry.remove();
        }
        Some(result)
    }

    /// The same, for a hook that may have no record yet.
    pub(super) fn change_or_add<T>(
        &mut self,
        (hook, tenant): (HookId, TenantId),
        change: impl FnOnce(&mut HealthRecord) -> T,
    ) -> Option<T> {
        self.by_hook.entry(hook).or_insert_with(|| HealthRecord::new(tenant));
        self.change(hook, change)
    }

    /// Takes over what is stored, unless the record has changed since.
    pub(super) fn take_over(&mut self, stored: &HookHealth) {
        let is_known = self.by_hook.contains_key(&stored.hook);
        self.change_or_add((stored.hook, stored.tenant), |record| {
            if !is_known {
                *record = HealthRecord::of(stored);
            } else if !record.is_dirty {
                record.adopt(stored);
            }
        });
    }

    /// Another node has seen a success.
    pub(super) fn recovered(&mut self, hook: HookId) {
        self.change(hook, |record| {
            if record.is_stored && !record.is_dirty {
                *record = HealthRecord::new(record.tenant);
            }
        });
    }

    /// What the caller must store now: hooks that are not well, and those that are.
    pub(super) fn take_dirty(&mut self) -> (Vec<HookHealth>, Vec<HookId>) {
        let (mut unwell, mut well) = (Vec::new(), Vec::new());
        for hook in std::mem::take(&mut self.dirty) {
            let stored = self.change(hook, |record| {
                record.is_dirty = false;
                record.is_stored = record.is_unwell();
                record.is_stored.then(|| record.stored(hook))
            });
            match stored.flatten() {
                Some(health) => unwell.push(health),
                None => well.push(hook),
            }
        }
        (unwell, well)
    }

    /// Storage still lacks it.
    pub(super) fn not_stored(&mut self, unwell: &[HookHealth], well: &[HookId]) {
        for one in unwell {
            self.change(one.hook, |record| record.is_dirty = true);
        }
        // Their records may be forgotten already, but their rows are there.
        self.dirty.extend(well);
    }

    /// Forgets hooks that were deleted.
    pub(super) fn forget(&mut self, hooks: &[HookId]) {
        for hook in hooks {
            self.dirty.remove(hook);
            self.change(*hook, |record| *record = HealthRecord::new(record.tenant));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{OpenCircuit, UnixMillis};

    const TENANT: TenantId = TenantId(1);

    fn health(hook: i64, until: Option<i64>) -> HookHealth {
        HookHealth {
            hook: HookId(hook),
            tenant: TENANT,
            failing_since: Some(UnixMillis(1)),
            all_failed_since: Some(UnixMillis(1)),
            failed: 3,
            attempts: 3,
            reason: String::new(),
            circuit: until.map(|until| OpenCircuit {
                since: UnixMillis(1),
                until: UnixMillis(until),
                failed_probes: 0,
            }),
        }
    }

    #[test]
    fn counts_follow_changes_and_only_what_lets_deliveries_go_is_told() {
        let mut records = HealthRecords::default();
        for (what, until, open, released) in [
            ("fails", None, 0, false),
            ("opens", Some(10), 1, false),
            ("is probed later", Some(20), 1, false),
            ("is probed earlier", Some(15), 1, true),
            ("closes", None, 0, true),
            ("opens again", Some(30), 1, false),
        ] {
            records.take_over(&health(1, until));
            assert_eq!(
                (records.len(), records.open(), records.take_released()),
                (1, open, released),
                "{what}"
            );
        }
        records.recovered(HookId(1));
        assert_eq!((records.len(), records.open(), records.take_released()), (0, 0, true));
    }

    #[test]
    fn what_could_not_be_stored_is_stored_by_the_next_call() {
        let mut records = HealthRecords::default();
        records.take_over(&health(1, None));
        records.take_over(&health(2, None));
        records.change(HookId(1), |record| record.is_dirty = true);
        records.change(HookId(2), |record| {
            *record = HealthRecord::new(TENANT);
            record.is_dirty = true;
        });
        let expected = (vec![health(1, None)], vec![HookId(2)]);
        assert_eq!(records.take_dirty(), expected);
        assert_eq!((records.len(), records.take_dirty()), (1, (Vec::new(), Vec::new())));
        records.not_stored(&expected.0, &expected.1);
        assert_eq!(records.take_dirty(), expected);
    }
}
