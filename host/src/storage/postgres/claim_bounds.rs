//! Where the due deliveries of each hook begin.
//!
//! What was claimed leaves rows that no longer count before those that are due. PostgreSQL removes them soon, unless an old
//! snapshot still sees them: then each claim would pass over all of them again. So a claim begins shortly before the end of
//! the last one. It is whole, so it begins at the very beginning, about once a second and after each change of the nodes:
//! there it finds what was committed late, and what a node with a slow clock wrote. No rule depends on how far clocks differ.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{HookId, UnixMillis};

/// Where a whole claim begins.
const WHOLE: i64 = i64::MIN;
/// A claim begins this long before the end of the last one, in milliseconds.
const OVERLAP_MS: i64 = 2_000;
/// A claim is whole if the last whole one is this long ago, in milliseconds.
const WHOLE_AFTER_MS: i64 = 1_000;
/// If whole claims take long, they are made less often: the next one after so many times their duration.
const WHOLE_AFTER_FACTOR: i64 = 20;
/// But at least this often, in milliseconds.
const MAX_WHOLE_AFTER_MS: i64 = 10_000;
/// How many hooks are remembered, at most. The others' claims are whole.
const MAX_HOOKS: usize = 10_000;

/// See the module's head.
#[derive(Debug, Default)]
pub struct ClaimBounds(Mutex<Bounds>);

#[derive(Debug, Default)]
struct Bounds {
    /// The nodes for which they hold, by the id of the view.
    view: i64,
    hooks: HashMap<HookId, Bound>,
}

#[derive(Debug, Clone, Copy)]
struct Bound {
    /// When the last delivery that was claimed had become due.
    last: UnixMillis,
    /// When the last whole claim was made.
    whole_at: UnixMillis,
    /// How long claims need not be whole after that.
    whole_after_ms: i64,
}

/// A claim of one hook that was made.
#[derive(Debug, Clone, Copy)]
pub struct BoundedClaim {
    /// Where it began.
    pub begin: i64,
    /// When it was made.
    pub at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// When the last of the deliveries that it leased had become due.
    pub last: Option<UnixMillis>,
}

impl ClaimBounds {
    fn lock(&self) -> MutexGuard<'_, Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For each hook, from when on what has become due is claimed. `view` is the id of the nodes' view: what other nodes
    /// owned before may begin anywhere.
    pub fn begins(&self, view: i64, hooks: impl Iterator<Item = HookId>, now: UnixMillis) -> Vec<i64> {
        let mut all = self.lock();
        if all.view != view {
            *all = Bounds { view, hooks: HashMap::new() };
        }
        hooks.map(|hook| all.hooks.get(&hook).map_or(WHOLE, |bound| bound.begin(now))).collect()
    }

    /// Something of `hook` is due that may have been due long ago: its next claim is whole.
    pub fn forget(&self, hook: HookId) {
        self.lock().hooks.remove(&hook);
    }

    /// A claim of `hook` was made.
    pub fn claimed(&self, hook: HookId, claim: BoundedClaim) {
        let mut all = self.lock();
        let known = all.hooks.get(&hook).copied();
        let Some(last) = claim.last.or(known.map(|bound| bound.last)) else { return };
        let bound = match known {
            _ if claim.begin == WHOLE => Bound::after_whole(claim, last),
            Some(known) => Bound { last, ..known },
            // The nodes have changed meanwhile.
            None => return,
        };
        if all.hooks.len() >= MAX_HOOKS && known.is_none() {
            all.hooks.clear();
        }
        all.hooks.insert(hook, bound);
    }
}

impl Bound {
    fn after_whole(claim: BoundedClaim, last: UnixMillis) -> Self {
        let took_ms = i64::try_from(claim.took.as_millis()).unwrap_or(i64::MAX);
        let whole_after_ms =
            took_ms.saturating_mul(WHOLE_AFTER_FACTOR).clamp(WHOLE_AFTER_MS, MAX_WHOLE_AFTER_MS);
        Self { last, whole_at: claim.at, whole_after_ms }
    }

    fn begin(&self, now: UnixMillis) -> i64 {
        // Also whole if the clock stepped back.
        let is_bounded = (0..self.whole_after_ms).contains(&(now.0 - self.whole_at.0));
        if is_bounded { self.last.0 - OVERLAP_MS } else { WHOLE }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: HookId = HookId(1);

    fn begin(bounds: &ClaimBounds, view: i64, now: i64) -> i64 {
        bounds.begins(view, [HOOK].into_iter(), UnixMillis(now))[0]
    }

    fn claim(bounds: &ClaimBounds, now: i64, took_ms: u64, last: Option<i64>) {
        let (begin, at) = (begin(bounds, 7, now), UnixMillis(now));
        let took = Duration::from_millis(took_ms);
        bounds.claimed(HOOK, BoundedClaim { begin, at, took, last: last.map(UnixMillis) });
    }

    #[test]
    fn a_claim_begins_before_the_end_of_the_last_one_and_is_whole_once_a_second() {
        let bounds = ClaimBounds::default();
        claim(&bounds, 50_000, 1, None);
        assert_eq!(begin(&bounds, 7, 50_001), WHOLE, "nothing was claimed yet");
        claim(&bounds, 50_001, 1, Some(40_000));
        assert_eq!(begin(&bounds, 7, 51_000), 38_000);
        claim(&bounds, 51_000, 1, Some(45_000));
        assert_eq!(begin(&bounds, 7, 51_001), WHOLE, "that is a second after the last whole one");
        claim(&bounds, 51_001, 1, None);
        assert_eq!(begin(&bounds, 7, 51_002), 43_000);
        assert_eq!(begin(&bounds, 7, 51_000), WHOLE, "the clock stepped back");
        assert_eq!(bounds.begins(7, [HookId(2), HOOK].into_iter(), UnixMillis(51_002)), [WHOLE, 43_000]);
    }

    #[test]
    fn whole_claims_that_take_long_are_made_less_often() {
        for (took_ms, after) in [(0, 1_000), (50, 1_000), (51, 1_020), (400, 8_000), (60_000, 10_000)] {
            let bounds = ClaimBounds::default();
            claim(&bounds, 50_000, took_ms, Some(50_000));
            claim(&bounds, 50_001, 0, Some(50_000));
            assert_eq!(begin(&bounds, 7, 50_000 + after - 1), 48_000, "{took_ms}");
            assert_eq!(begin(&bounds, 7, 50_000 + after), WHOLE, "{took_ms}");
        }
    }

    #[test]
    fn claims_are_whole_after_a_change_of_the_nodes() {
        let bounds = ClaimBounds::default();
        claim(&bounds, 50_000, 1, Some(50_000));
        let made_before = BoundedClaim {
            begin: begin(&bounds, 7, 50_001),
            at: UnixMillis(50_001),
            took: Duration::ZERO,
            last: Some(UnixMillis(50_001)),
        };
        assert_eq!(begin(&bounds, 8, 50_002), WHOLE);
        bounds.claimed(HOOK, made_before);
        assert_eq!(begin(&bounds, 8, 50_003), WHOLE, "a claim that ends later was not whole");
    }
}
