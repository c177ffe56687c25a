//! What was too old but could not be deleted, and is looked at again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

/// How many ids are remembered; about 10 MB.
const REMEMBERED: usize = 200_000;
/// How often all of them are looked at again, at most.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// If more were left behind, how long until a pass begins again at the first of those.
const BEGIN_AGAIN_EVERY: Duration = Duration::from_secs(3_600);

/// Ids that are looked at again from time to time, with their tenants.
#[derive(Debug, Default)]
pub struct LeftBehind {
    ids: BTreeMap<i64, TenantId>,
    /// The first that was not remembered.
    forgotten: Option<i64>,
    looked_at: Option<Instant>,
    began_at: Option<Instant>,
}

impl LeftBehind {
    /// Remembers ids.
    pub fn add(&mut self, ids: impl Iterator<Item = (i64, TenantId)>, now: Instant) {
        for (id, tenant) in ids {
            if self.ids.len() < REMEMBERED {
                self.ids.insert(id, tenant);
            } else {
                self.forgotten = Some(self.forgotten.map_or(id, |first| first.min(id)));
            }
            self.looked_at.get_or_insert(now);
        }
    }

    /// Takes all ids if it is time to look at them again.
    pub fn due(&mut self, now: Instant) -> Vec<(i64, TenantId)> {
        match self.looked_at {
            Some(at) if now.saturating_duration_since(at) >= AGAIN_EVERY => {
                self.looked_at = None;
                std::mem::take(&mut self.ids).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    /// The id at which a pass begins again, if some are not remembered and it is time for that.
    pub fn begin_again(&mut self, now: Instant) -> Option<i64> {
        let is_time = self.began_at.is_none_or(|at| now.saturating_duration_since(at) >= BEGIN_AGAIN_EVERY);
        let first = self.forgotten.filter(|_| is_time && self.ids.len() < REMEMBERED / 2)?;
        (self.forgotten, self.began_at) = (None, Some(now));
        Some(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn what_is_left_behind_is_looked_at_again() {
        let (mut left, now) = (LeftBehind::default(), clock::monotonic());
        assert!(left.due(now).is_empty());
        left.add([(3, TenantId(7)), (1, TenantId(8))].into_iter(), now);
        assert!(left.due(now).is_empty(), "not at once");
        assert_eq!(left.due(now + AGAIN_EVERY), [(1, TenantId(8)), (3, TenantId(7))]);
        assert!(left.due(now + AGAIN_EVERY).is_empty());
    }

    #[test]
    fn a_pass_begins_again_at_the_first_that_is_not_remembered() {
        let (mut left, now) = (LeftBehind::default(), clock::monotonic());
        left.add((0..REMEMBERED as i64 + 2).map(|id| (id, TenantId(1))), now);
        assert_eq!(left.begin_again(now), None, "there is no room for them");
        assert_eq!(left.due(now + AGAIN_EVERY).len(), REMEMBERED);
        assert_eq!(left.begin_again(now), Some(REMEMBERED as i64));
        assert_eq!(left.begin_again(now), None);
    }
}
