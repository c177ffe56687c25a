//! What was too old but could not be deleted, and is looked at again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::TenantId;

/// How many ids are remembered; about 10 MB.
const REMEMBERED: usize = 200_000;
/// How often all of them are looked at again, at most.
const AGAIN_EVERY: Duration = Duration::from_secs(10);
/// How many are looked at at once: other events are deleted in between.
const AT_ONCE: usize = 1_000;
/// If more were left behind, how long until a pass begins again at the first of those.
const BEGIN_AGAIN_EVERY: Duration = Duration::from_secs(3_600);
/// How long those are not looked at whose deletion failed.
const SET_ASIDE_FOR: Duration = Duration::from_secs(3_600);
/// How many are set aside; more are looked at again with the others.
const MAX_SET_ASIDE: usize = 10_000;

/// An id that is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// The id.
    pub id: i64,
    /// Whose it is.
    pub tenant: TenantId,
    /// How much is kept because of it.
    pub bytes: u64,
}

/// Ids that are looked at again from time to time, and how much is kept because of them.
#[derive(Debug, Default)]
pub struct LeftBehind {
    ids: BTreeMap<i64, (TenantId, u64)>,
    /// How much is kept of each tenant, with what was not remembered.
    bytes: BTreeMap<TenantId, u64>,
    /// The part of it that was not remembered.
    forgotten_bytes: BTreeMap<TenantId, u64>,
    /// The first that was not remembered.
    forgotten: Option<i64>,
    looked_at: Option<Instant>,
    /// Those whose deletion failed, and since when the first of them is set aside.
    aside: BTreeMap<i64, (TenantId, u64)>,
    aside_since: Option<Instant>,
    /// While they are looked at again: the next id.
    next: Option<i64>,
    /// When the first was not remembered, or a pass began again.
    began_at: Option<Instant>,
}

impl LeftBehind {
    /// Remembers ids.
    pub fn add(&mut self, ids: impl Iterator<Item = Left>, now: Instant) {
        for Left { id, tenant, bytes } in ids {
            *self.bytes.entry(tenant).or_default() += bytes;
            if self.ids.len() < REMEMBERED || self.ids.contains_key(&id) {
                if let Some(before) = self.ids.insert(id, (tenant, bytes)) {
                    subtract(&mut self.bytes, before);
                }
            } else {
                self.forgotten = Some(self.forgotten.map_or(id, |first| first.min(id)));
                *self.forgotten_bytes.entry(tenant).or_default() += bytes;
                self.began_at.get_or_insert(now);
            }
            self.looked_at.get_or_insert(now);
        }
    }

    /// Remembers one whose deletion failed, and which is not looked at with the others.
    pub fn set_aside(&mut self, left: Left, now: Instant) {
        if self.aside.len() >= MAX_SET_ASIDE {
            return self.add(std::iter::once(left), now);
        }
        let Left { id, tenant, bytes } = left;
        *self.bytes.entry(tenant).or_default() += bytes;
        if let Some(before) = self.aside.insert(id, (tenant, bytes)) {
            subtract(&mut self.bytes, before);
        }
        self.aside_since.get_or_insert(now);
    }

    /// Whether it is set aside.
    pub fn is_set_aside(&self, id: i64) -> bool {
        self.aside.contains_key(&id)
    }

    /// Those that were set aside for long enough are looked at with the others again.
    fn end_aside(&mut self, now: Instant) {
        if self.aside_since.is_none_or(|at| now.saturating_duration_since(at) < SET_ASIDE_FOR) {
            return;
        }
        self.aside_since = None;
        for (id, (tenant, bytes)) in std::mem::take(&mut self.aside) {
            subtract(&mut self.bytes, (tenant, bytes));
            self.add(std::iter::once(Left { id, tenant, bytes }), now);
        }
    }

    /// How much is kept of each tenant.
    pub fn bytes(&self) -> impl Iterator<Item = (TenantId, u64)> {
        self.bytes.iter().map(|(tenant, bytes)| (*tenant, *bytes))
    }

    /// Takes some ids if it is time to look at them again; the next call takes the next ones.
    pub fn due(&mut self, now: Instant) -> Vec<Left> {
        self.end_aside(now);
        let is_time = self.looked_at.is_some_and(|at| now.saturating_duration_since(at) >= AGAIN_EVERY);
        if self.next.is_none() && is_time {
            (self.next, self.looked_at) = (Some(i64::MIN), None);
        }
        let Some(next) = self.next else { return Vec::new() };
        let due = self.ids.range(next..).take(AT_ONCE);
        let due: Vec<_> =
            due.map(|(id, (tenant, bytes))| Left { id: *id, tenant: *tenant, bytes: *bytes }).collect();
        for left in &due {
            self.ids.remove(&left.id);
            subtract(&mut self.bytes, (left.tenant, left.bytes));
        }
        self.next = due.last().filter(|_| due.len() == AT_ONCE).map(|left| left.id + 1);
        due
    }

    /// The id at which a pass begins again, if some are not remembered and it is time for that. There may still be no room for
    /// them: then those that can be deleted are, and the others are counted again.
    pub fn begin_again(&mut self, now: Instant) -> Option<i64> {
        let is_time = self.began_at.is_some_and(|at| now.saturating_duration_since(at) >= BEGIN_AGAIN_EVERY);
        let first = self.forgotten.filter(|_| is_time)?;
        (self.forgotten, self.began_at) = (None, Some(now));
        for of_tenant in std::mem::take(&mut self.forgotten_bytes) {
            subtract(&mut self.bytes, of_tenant);
        }
        Some(first)
    }
}

/// A tenant that has nothing left is not named.
fn subtract(sums: &mut BTreeMap<TenantId, u64>, (tenant, bytes): (TenantId, u64)) {
    let Some(sum) = sums.get_mut(&tenant) else { return };
    *sum = sum.saturating_sub(bytes);
    if *sum == 0 {
        sums.remove(&tenant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    /// So many bytes are kept because of each id.
    const BYTES: u64 = 7;

    fn left(id: i64, tenant: i64) -> Left {
        Left { id, tenant: TenantId(tenant), bytes: BYTES }
    }

    fn bytes(left: &LeftBehind) -> Vec<(i64, u64)> {
        left.bytes().map(|(tenant, bytes)| (tenant.0, bytes / BYTES)).collect()
    }

    #[test]
    fn what_is_left_behind_is_looked_at_again() {
        let (mut all, now) = (LeftBehind::default(), clock::monotonic());
        assert!(all.due(now).is_empty());
        all.add([left(3, 7), left(1, 8)].into_iter(), now);
        assert!(all.due(now).is_empty(), "not at once");
        assert_eq!(all.due(now + AGAIN_EVERY), [left(1, 8), left(3, 7)]);
        assert!(all.due(now + AGAIN_EVERY).is_empty());
    }

    #[test]
    fn what_is_kept_is_added_up_for_each_tenant() {
        let (mut all, now) = (LeftBehind::default(), clock::monotonic());
        all.add([left(3, 7), left(1, 8), left(2, 7)].into_iter(), now);
        all.add([left(3, 7)].into_iter(), now);
        assert_eq!(bytes(&all), [(7, 2), (8, 1)], "the same one counts once");
        let due = all.due(now + AGAIN_EVERY);
        assert_eq!(bytes(&all), []);
        all.add(due.into_iter().filter(|left| left.id != 1), now);
        assert_eq!(bytes(&all), [(7, 2)], "what could be deleted does not count any more");
    }

    /// So many held events of one tenant must not keep those of others from being deleted.
    #[test]
    fn a_part_is_looked_at_at_a_time_and_each_once() {
        let (mut left_behind, now) = (LeftBehind::default(), clock::monotonic());
        let all: Vec<_> = (0..AT_ONCE as i64 + 2).map(|id| left(id, 1)).collect();
        left_behind.add(all.iter().copied(), now);
        let first = left_behind.due(now + AGAIN_EVERY);
        assert_eq!(first, all[..AT_ONCE]);
        left_behind.add(first.into_iter(), now + AGAIN_EVERY);
        assert_eq!(left_behind.due(now + AGAIN_EVERY), all[AT_ONCE..]);
        assert!(left_behind.due(now + AGAIN_EVERY).is_empty(), "not at once again");
        assert_eq!(left_behind.due(now + AGAIN_EVERY * 2), all[..AT_ONCE]);
    }

    #[test]
    fn what_was_set_aside_counts_and_is_looked_at_again_an_hour_later() {
        let (mut all, now) = (LeftBehind::default(), clock::monotonic());
        all.add([left(1, 7), left(2, 7)].into_iter(), now);
        for _ in 0..2 {
            all.set_aside(left(3, 7), now);
        }
        assert_eq!(bytes(&all), [(7, 3)], "each counts once");
        assert_eq!([2, 3].map(|id| all.is_set_aside(id)), [false, true]);
        assert_eq!(all.due(now + AGAIN_EVERY), [left(1, 7), left(2, 7)]);
        assert_eq!(bytes(&all), [(7, 1)]);
        let later = now + SET_ASIDE_FOR;
        assert!(all.due(later).is_empty());
        assert!(!all.is_set_aside(3));
        assert_eq!(bytes(&all), [(7, 1)]);
        assert_eq!(all.due(later + AGAIN_EVERY), [left(3, 7)]);
        assert_eq!(bytes(&all), []);
    }

    #[test]
    fn a_pass_begins_again_each_hour_at_the_first_that_is_not_remembered() {
        let (mut all, now) = (LeftBehind::default(), clock::monotonic());
        let (count, first) = (REMEMBERED as u64, REMEMBERED as i64);
        all.add((0..first).map(|id| left(id, 1)), now);
        all.add([left(first, 2), left(first + 1, 2)].into_iter(), now);
        assert_eq!(bytes(&all), [(1, count), (2, 2)], "also what is not remembered counts");
        assert_eq!(all.begin_again(now), None, "not at once");
        let later = now + BEGIN_AGAIN_EVERY;
        // However long one tenant takes all the room, others get rid of what they have finished.
        assert_eq!(all.begin_again(later), Some(first));
        assert_eq!(bytes(&all), [(1, count)], "the pass finds them again");
        assert_eq!(all.begin_again(later), None);
        all.add([left(first + 1, 2)].into_iter(), later);
        assert_eq!(bytes(&all), [(1, count), (2, 1)]);
        assert_eq!(all.begin_again(later + BEGIN_AGAIN_EVERY), Some(first + 1));
    }
}
