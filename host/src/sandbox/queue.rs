//! Whose turn it is: first the tenant, then its hook, that has used the least processor time.
//!
//! Weighted fair queueing on two levels. Each tenant, and each source of a tenant's work, has a virtual time: the
//! processor time that it has used. The least goes first. What begins to wait starts no earlier than those who are
//! served now (the *floor*), so idle time is no credit, and what was used while nobody else waited is no debt.
//! The cost of a turn is known only at its end: until then the turn is charged with what is expected of it, so that one
//! source cannot take all threads at once.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::domain::TenantId;

use super::types::Source;

/// A dry run is charged so many times its cost among its tenant's own work: deliveries go first, and a dry run is never
/// held up for good.
const DRY_RUN_WEIGHT: u64 = 8;
/// So many idle tenants, and idle sources of a tenant, are remembered before the settled ones are forgotten.
const REMEMBERED_IDLE: usize = 256;

/// Work waiting. Times are in nanoseconds.
pub(super) struct FairQueue<T> {
    tenants: HashMap<TenantId, Tenant<T>>,
    turns: Turns<TenantId>,
    len: usize,
}

/// Who has work waiting, least used first.
struct Turns<K> {
    waiting: BTreeSet<(u64, K)>,
    /// The virtual time of the last that was served. It never goes back.
    floor: u64,
}

struct Tenant<T> {
    used: u64,
    sources: HashMap<Source, Line<T>>,
    turns: Turns<Source>,
}

struct Line<T> {
    used: u64,
    /// With the cost that is expected.
    work: VecDeque<(u64, T)>,
}

/// At which end of its line work is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It has begun, and goes before the rest of its source's.
    Front,
    Back,
}

impl<K: Copy + Ord> Turns<K> {
    fn new() -> Self {
        Self { waiting: BTreeSet::new(), floor: 0 }
    }

    /// Begins to wait. Answers with its virtual time from now on.
    fn enter(&mut self, used: u64, who: K) -> u64 {
        let used = used.max(self.floor);
        self.waiting.insert((used, who));
        used
    }

    fn first(&mut self) -> Option<K> {
        let (used, who) = self.waiting.pop_first()?;
        self.floor = self.floor.max(used);
        Some(who)
    }

    /// Changes the virtual time of `who`, which may be waiting.
    fn charge(&mut self, used: u64, who: K, by: i64) -> u64 {
        let charged = used.saturating_add_signed(by);
        if by != 0 && self.waiting.remove(&(used, who)) {
            self.waiting.insert((charged, who));
        }
        charged
    }
}

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self { tenants: HashMap::new(), turns: Turns::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Has work wait that is expected to cost so much processor time.
    pub(super) fn push(&mut self, tenant: TenantId, source: Source, expected: u64, work: T, place: Place) {
        let is_new = !self.tenants.contains_key(&tenant);
        if is_new && self.tenants.len() >= REMEMBERED_IDLE + 2 * self.turns.waiting.len() {
            let floor = self.turns.floor;
            self.tenants.retain(|_, tenant| !tenant.turns.waiting.is_empty() || tenant.used > floor);
        }
        let of = self.tenants.entry(tenant).or_insert_with(Tenant::new);
        if of.turns.waiting.is_empty() {
            of.used = self.turns.enter(of.used, tenant);
        }
        of.push(source, expected, work, place);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let id = self.turns.first()?;
        let tenant = self.tenants.get_mut(&id)?;
        let (expected, work) = tenant.pop()?;
        tenant.used = tenant.used.saturating_add(expected);
        if !tenant.turns.waiting.is_empty() {
            tenant.used = self.turns.enter(tenant.used, id);
        }
        self.len -= 1;
        Some(work)
    }

    /// Says what a turn has cost for which `expected` was charged.
    pub(super) fn charge(&mut self, id: TenantId, source: Source, expected: u64, cost: u64) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        tenant.used = self.turns.charge(tenant.used, id, difference(expected, cost));
        let Some(line) = tenant.sources.get_mut(&source) else { return };
        let by = difference(weighed(source, expected), weighed(source, cost));
        line.used = tenant.turns.charge(line.used, source, by);
    }

    /// Takes out what waits of one source, in its order.
    pub(super) fn take(&mut self, id: TenantId, source: Source) -> VecDeque<T> {
        self.take_where(id, source, |_| true)
    }

    /// Takes out what `is_wanted` of one source, in its order.
    pub(super) fn take_where(
        &mut self,
        id: TenantId,
        source: Source,
        mut is_wanted: impl FnMut(&T) -> bool,
    ) -> VecDeque<T> {
        let Some(tenant) = self.tenants.get_mut(&id) else { return VecDeque::new() };
        let Some(line) = tenant.sources.get_mut(&source) else { return VecDeque::new() };
        if line.work.is_empty() {
            return VecDeque::new();
        }
        let (mut taken, mut left) = (VecDeque::new(), VecDeque::new());
        for (expected, work) in line.work.drain(..) {
            if is_wanted(&work) {
                taken.push_back(work);
            } else {
                left.push_back((expected, work));
            }
        }
        line.work = left;
        if line.work.is_empty() {
            tenant.turns.waiting.remove(&(line.used, source));
        }
        if tenant.turns.waiting.is_empty() {
            self.turns.waiting.remove(&(tenant.used, id));
        }
        self.len -= taken.len();
        taken
    }

    /// The sources of a tenant of which something waits.
    pub(super) fn sources(&self, id: TenantId) -> Vec<Source> {
        let tenant = self.tenants.get(&id);
        tenant.iter().flat_map(|tenant| &tenant.turns.waiting).map(|(_, source)| *source).collect()
    }
}

impl<T> Tenant<T> {
    fn new() -> Self {
        Self { used: 0, sources: HashMap::new(), turns: Turns::new() }
    }

    fn push(&mut self, source: Source, expected: u64, work: T, place: Place) {
        let is_new = !self.sources.contains_key(&source);
        if is_new && self.sources.len() >= REMEMBERED_IDLE + 2 * self.turns.waiting.len() {
            let floor = self.turns.floor;
            self.sources.retain(|_, line| !line.work.is_empty() || line.used > floor);
        }
        let line = self.sources.entry(source).or_insert_with(|| Line { used: 0, work: VecDeque::new() });
        if line.work.is_empty() {
            line.used = self.turns.enter(line.used, source);
        }
        match place {
            Place::Front => line.work.push_front((expected, work)),
            Place::Back => line.work.push_back((expected, work)),
        }
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        let source = self.turns.first()?;
        let line = self.sources.get_mut(&source)?;
        let (expected, work) = line.work.pop_front()?;
        line.used = line.used.saturating_add(weighed(source, expected));
        if !line.work.is_empty() {
            line.used = self.turns.enter(line.used, source);
        }
        Some((expected, work))
    }
}

fn weighed(source: Source, time: u64) -> u64 {
    match source {
        Source::Hook(_) => time,
        Source::DryRun => time.saturating_mul(DRY_RUN_WEIGHT),
    }
}

fn difference(expected: u64, cost: u64) -> i64 {
    i64::try_from(i128::from(cost) - i128::from(expected)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HookId;

    const MS: u64 = 1_000_000;

    fn hook(number: i64) -> Source {
        Source::Hook(HookId(number))
    }

    /// Serves `turns` turns of sources that always have work, and says how much processor time each has had. A turn of a
    /// source costs what `cost` says, and is expected to cost nothing.
    fn served(sources: &[(i64, Source, u64)], turns: usize) -> Vec<u64> {
        let mut queue = FairQueue::new();
        for (number, (tenant, source, _)) in sources.iter().enumerate() {
            queue.push(TenantId(*tenant), *source, 0, number, Place::Back);
        }
        let mut had = vec![0; sources.len()];
        for _ in 0..turns {
            let number = queue.pop().unwrap();
            let (tenant, source, cost) = sources[number];
            had[number] += cost;
            queue.push(TenantId(tenant), source, 0, number, Place::Back);
            queue.charge(TenantId(tenant), source, 0, cost);
        }
        had
    }

    #[test]
    fn turns_go_by_time_used_and_not_by_number() {
        for (name, sources, shares) in [
            ("tenants", vec![(1, hook(1), 10 * MS), (2, hook(2), MS)], vec![1, 1]),
            (
                "a tenant has no more for its many hooks",
                vec![(1, hook(1), MS), (1, hook(2), MS), (1, hook(3), MS), (2, hook(4), MS)],
                vec![1, 1, 1, 3],
            ),
            ("hooks of a tenant", vec![(1, hook(1), 10 * MS), (1, hook(2), MS)], vec![1, 1]),
            (
                "dry runs have a small share of their tenant's",
                vec![(1, hook(1), MS), (1, Source::DryRun, MS)],
                vec![8, 1],
            ),
        ] {
            let had = served(&sources, 40_000);
            let unit = had.iter().sum::<u64>() / shares.iter().sum::<u64>();
            for (had, share) in had.iter().zip(&shares) {
                let wanted = share * unit;
                assert!(had.abs_diff(wanted) <= unit / 20 + 10 * MS, "{name}: {had} and not {wanted}");
            }
        }
    }

    #[test]
    fn neither_idle_time_nor_time_that_nobody_else_wanted_counts() {
        let mut queue = FairQueue::new();
        for _ in 0..1_000 {
            queue.push(TenantId(1), hook(1), 0, 'a', Place::Back);
            queue.pop().unwrap();
            queue.charge(TenantId(1), hook(1), 0, 500 * MS);
        }
        queue.push(TenantId(1), hook(1), 0, 'a', Place::Back);
        queue.push(TenantId(2), hook(2), 0, 'b', Place::Back);
        let mut had = HashMap::new();
        for _ in 0..20 {
            let who = queue.pop().unwrap();
            *had.entry(who).or_insert(0) += 1;
            let (tenant, source) = if who == 'a' { (1, hook(1)) } else { (2, hook(2)) };
            queue.push(TenantId(tenant), source, 0, who, Place::Back);
            queue.charge(TenantId(tenant), source, 0, MS);
        }
        // The last turn alone was made while nobody else waited, and is not held against it for longer than it took.
        assert!(had[&'b'] >= 10, "{had:?}");
        let mut later = HashMap::new();
        for _ in 0..2_000 {
            let who = queue.pop().unwrap();
            *later.entry(who).or_insert(0) += 1;
            let (tenant, source) = if who == 'a' { (1, hook(1)) } else { (2, hook(2)) };
            queue.push(TenantId(tenant), source, 0, who, Place::Back);
            queue.charge(TenantId(tenant), source, 0, MS);
        }
        assert!(later[&'a'] >= 700, "{later:?}");
    }

    #[test]
    fn what_is_expected_is_charged_at_once_and_set_right_at_the_end() {
        let mut queue = FairQueue::new();
        for work in ["a1", "a2", "a3"] {
            queue.push(TenantId(1), hook(1), 5 * MS, work, Place::Back);
        }
        for work in ["b1", "b2", "b3"] {
            queue.push(TenantId(2), hook(2), 2 * MS, work, Place::Back);
        }
        let order: Vec<_> = (0..4).map(|_| queue.pop().unwrap()).collect();
        assert_eq!(order, ["a1", "b1", "b2", "b3"]);
        queue.charge(TenantId(1), hook(1), 5 * MS, MS);
        queue.push(TenantId(2), hook(2), 0, "b4", Place::Back);
        assert_eq!(queue.pop(), Some("a2"));
    }

    #[test]
    fn what_has_begun_goes_before_the_rest_of_its_source() {
        let mut queue = FairQueue::new();
        queue.push(TenantId(1), hook(1), MS, "new", Place::Back);
        queue.push(TenantId(1), hook(1), MS, "begun", Place::Front);
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some("begun"), Some("new"), None]);
    }

    #[test]
    fn what_is_taken_out_leaves_the_others_their_turns() {
        let mut queue = FairQueue::new();
        for work in [1, 2, 3, 4] {
            queue.push(TenantId(1), hook(1), MS, work, Place::Back);
        }
        queue.push(TenantId(2), hook(2), MS, 5, Place::Back);
        assert_eq!(queue.take_where(TenantId(1), hook(1), |work| work % 2 == 0), [2, 4]);
        assert_eq!(queue.len(), 3);
        assert_eq!(queue.sources(TenantId(1)), [hook(1)]);
        assert_eq!(queue.take(TenantId(1), hook(1)), [1, 3]);
        assert_eq!(queue.take(TenantId(1), hook(1)), [0; 0]);
        assert!(queue.sources(TenantId(1)).is_empty());
        assert_eq!([queue.pop(), queue.pop()], [Some(5), None]);
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn idle_tenants_and_sources_are_forgotten() {
        let mut queue = FairQueue::new();
        for number in 0..10_000 {
            queue.push(TenantId(number), hook(number), 0, (), Place::Back);
            queue.pop().unwrap();
            queue.push(TenantId(0), hook(number), 0, (), Place::Back);
            queue.pop().unwrap();
        }
        assert!(queue.tenants.len() <= REMEMBERED_IDLE + 2, "{}", queue.tenants.len());
        assert!(queue.tenants.values().all(|it| it.sources.len() <= REMEMBERED_IDLE + 2));
    }
}
