//! Where the due deliveries of each hook begin.
//!
//! What was claimed leaves rows that no longer count before those that are due. PostgreSQL removes them soon, unless an old
//! snapshot still sees them: then each claim would pass over all of them again. So a claim begins shortly before the end of
//! the last one, and from time to time at the very beginning, where it finds what was committed late.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::domain::{HookId, UnixMillis};

/// A claim begins this long before the end of the last one, in milliseconds.
const OVERLAP_MS: i64 = 2_000;
/// A claim begins at the very beginning if the last one that did is this long ago, in milliseconds.
const WHOLE_AFTER_MS: i64 = 10_000;
/// How many hooks are remembered, at most. The others' claims begin at the very beginning.
const MAX_HOOKS: usize = 10_000;

/// See the module's head.
#[derive(Debug, Default)]
pub struct ClaimBounds(Mutex<HashMap<HookId, Bound>>);

#[derive(Debug, Clone, Copy)]
struct Bound {
    /// When the last delivery that was claimed had become due.
    last: UnixMillis,
    /// When a claim began at the very beginning.
    whole_at: UnixMillis,
}

impl ClaimBounds {
    /// From when on what has become due of `hook` is claimed.
    pub fn begin(&self, hook: HookId, now: UnixMillis) -> i64 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bound) = all.get_mut(&hook) else { return i64::MIN };
        if (0..WHOLE_AFTER_MS).contains(&(now.0 - bound.whole_at.0)) {
            return bound.last.0 - OVERLAP_MS;
        }
        bound.whole_at = now;
        i64::MIN
    }

    /// A claim of `hook` that began at `now` has leased deliveries. The last of them had become due at `last`.
    pub fn claimed(&self, hook: HookId, now: UnixMillis, last: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MAX_HOOKS && !all.contains_key(&hook) {
            all.clear();
        }
        all.entry(hook).or_insert(Bound { last, whole_at: now }).last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_begins_before_the_end_of_the_last_one_or_at_the_beginning() {
        let (bounds, hook) = (ClaimBounds::default(), HookId(1));
        assert_eq!(bounds.begin(hook, UnixMillis(50_000)), i64::MIN);
        bounds.claimed(hook, UnixMillis(50_000), UnixMillis(40_000));
        assert_eq!(bounds.begin(hook, UnixMillis(59_999)), 38_000);
        bounds.claimed(hook, UnixMillis(59_999), UnixMillis(45_000));
        assert_eq!(bounds.begin(hook, UnixMillis(60_000)), i64::MIN, "that is 10 s after the first");
        assert_eq!(bounds.begin(hook, UnixMillis(60_001)), 43_000);
        assert_eq!(bounds.begin(hook, UnixMillis(55_000)), i64::MIN, "the clock stepped back");
        assert_eq!(bounds.begin(HookId(2), UnixMillis(60_001)), i64::MIN);
    }
}
