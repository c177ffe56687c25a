//! What was too old but could not be deleted, and is looked at again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

/// How many ids are remembered; about 10 MB.
const REMEMBERED: usize = 200_000;
/// How often all of them are looked at again, at most.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// How many are looked at at once: other events are deleted in between.
const AT_ONCE: usize = 1_000;
/// If more were left behind, how long until a pass begins again at the first of those.
const BEGIN_AGAIN_EVERY: Duration = Duration::from_secs(3_600);

/// Ids that are looked at again from time to time, with their tenants.
#[derive(Debug, Default)]
pub struct LeftBehind {
    ids: BTreeMap<i64, TenantId>,
    /// The first that was not remembered.
    forgotten: Option<i64>,
    looked_at: Option<Instant>,
    /// While they are looked at again: the next id.
    next: Option<i64>,
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

    /// Takes some ids if it is time to look at them again; the next call takes the next ones.
    pub fn due(&mut self, now: Instant) -> Vec<(i64, TenantId)> {
        let is_time = self.looked_at.is_some_and(|at| now.saturating_duration_since(at) >= AGAIN_EVERY);
        if self.next.is_none() && is_time {
            (self.next, self.looked_at) = (Some(i64::MIN), None);
        }
        let Some(next) = self.next else { return Vec::new() };
        let due: Vec<_> = self.ids.range(next..).take(AT_ONCE).map(|(id, tenant)| (*id, *tenant)).collect();
        for (id, _) in &due {
            self.ids.remove(id);
        }
        self.next = due.last().filter(|_| due.len() == AT_ONCE).map(|(id, _)| id + 1);
        due
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

    /// So many held events of one tenant must not keep those of others from being deleted.
    #[test]
    fn a_part_is_looked_at_at_a_time_and_each_once() {
        let (mut left, now) = (LeftBehind::default(), clock::monotonic());
        let all: Vec<_> = (0..AT_ONCE as i64 + 2).map(|id| (id, TenantId(1))).collect();
        left.add(all.iter().copied(), now);
        let first = left.due(now + AGAIN_EVERY);
        assert_eq!(first, all[..AT_ONCE]);
        left.add(first.into_iter(), now + AGAIN_EVERY);
        assert_eq!(left.due(now + AGAIN_EVERY), all[AT_ONCE..]);
        assert!(left.due(now + AGAIN_EVERY).is_empty(), "not at once again");
        assert_eq!(left.due(now + AGAIN_EVERY * 2), all[..AT_ONCE]);
    }

    #[test]
    fn a_pass_begins_again_at_the_first_that_is_not_remembered() {
        let (mut left, now) = (LeftBehind::default(), clock::monotonic());
        left.add((0..REMEMBERED as i64 + 2).map(|id| (id, TenantId(1))), now);
        assert_eq!(left.begin_again(now), None, "there is no room for them");
        for round in 0..REMEMBERED / AT_ONCE {
            assert_eq!(left.due(now + AGAIN_EVERY).len(), AT_ONCE, "{round}");
        }
        assert_eq!(left.begin_again(now), Some(REMEMBERED as i64));
        assert_eq!(left.begin_again(now), None);
    }
}
