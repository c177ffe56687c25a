//! Weighted fair queue: the next work belongs to the tenant, and within it to the source, with the least CPU time.
//!
//! Each tenant, and each source of a tenant's work, has a virtual time: the CPU time that it has used. The least goes
//! first. One that starts to wait gets at least the virtual time of the one served last (the *floor*), so idle time
//! gives no credit, and use of an idle sandbox gives no debt. The cost of a run is known only at its end. Until then
//! the run is charged its expected cost, so that one source cannot occupy all threads at once.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::domain::TenantId;

use super::types::Source;

/// Factor by which dry runs cost more among the work of their tenant: deliveries go first, and dry runs do not starve.
const DRY_RUN_WEIGHT: u64 = 8;
/// Number of idle tenants, and of idle sources of a tenant, above which those below the floor are forgotten.
const REMEMBERED_IDLE: usize = 256;

/// The queue. Times are in nanoseconds.
pub(super) struct FairQueue<T> {
    tenants: HashMap<TenantId, Tenant<T>>,
    ready: ReadySet<TenantId>,
    len: usize,
}

/// Tenants or sources with waiting work, ordered by virtual time.
struct ReadySet<K> {
    waiting: BTreeSet<(u64, K)>,
    /// Virtual time of the last one served. It never decreases.
    floor: u64,
}

struct Tenant<T> {
    used: u64,
    sources: HashMap<Source, SourceQueue<T>>,
    ready: ReadySet<Source>,
}

struct SourceQueue<T> {
    used: u64,
    /// With the expected cost.
    work: VecDeque<(u64, T)>,
}

/// The end of its source's queue at which work is inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QueueEnd {
    /// Work that has started goes before the other work of its source.
    Front,
    Back,
}

impl<K: Copy + Ord> ReadySet<K> {
    fn new() -> Self {
        Self { waiting: BTreeSet::new(), floor: 0 }
    }

    /// Inserts a key. Returns its new virtual time.
    fn insert(&mut self, used: u64, key: K) -> u64 {
        let used = used.max(self.floor);
        self.waiting.insert((used, key));
        used
    }

    fn first(&mut self) -> Option<K> {
        let (used, key) = self.waiting.pop_first()?;
        self.floor = self.floor.max(used);
        Some(key)
    }

    /// Changes the virtual time of `key`, which may be in the set. Returns the new virtual time.
    fn charge(&mut self, used: u64, key: K, by: i64) -> u64 {
        let charged = used.saturating_add_signed(by);
        if by != 0 && self.waiting.remove(&(used, key)) {
            self.waiting.insert((charged, key));
        }
        charged
    }
}

impl<T> FairQueue<T> {
    pub(super) fn new() -> Self {
        Self { tenants: HashMap::new(), ready: ReadySet::new(), len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Queues work with this expected cost.
    pub(super) fn push(&mut self, tenant: TenantId, source: Source, expected: u64, work: T, end: QueueEnd) {
        let is_new = !self.tenants.contains_key(&tenant);
        if is_new && self.tenants.len() >= REMEMBERED_IDLE + 2 * self.ready.waiting.len() {
            let floor = self.ready.floor;
            self.tenants.retain(|_, tenant| !tenant.ready.waiting.is_empty() || tenant.used > floor);
        }
        let of = self.tenants.entry(tenant).or_insert_with(Tenant::new);
        if of.ready.waiting.is_empty() {
            of.used = self.ready.insert(of.used, tenant);
        }
        of.push(source, expected, work, end);
        self.len += 1;
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let id = self.ready.first()?;
        let tenant = self.tenants.get_mut(&id)?;
        let (expected, work) = tenant.pop()?;
        tenant.used = tenant.used.saturating_add(expected);
        if !tenant.ready.waiting.is_empty() {
            tenant.used = self.ready.insert(tenant.used, id);
        }
        self.len -= 1;
        Some(work)
    }

    /// Corrects the charge of a finished run from `expected` to `cost`.
    pub(super) fn charge(&mut self, id: TenantId, source: Source, expected: u64, cost: u64) {
        let Some(tenant) = self.tenants.get_mut(&id) else { return };
        tenant.used = self.ready.charge(tenant.used, id, difference(expected, cost));
        let Some(queue) = tenant.sources.get_mut(&source) else { return };
        let by = difference(weighted(source, expected), weighted(source, cost));
        queue.used = tenant.ready.charge(queue.used, source, by);
    }

    /// Removes the work of one source, in order.
    pub(super) fn take(&mut self, id: TenantId, source: Source) -> VecDeque<T> {
        self.take_where(id, source, |_| true)
    }

    /// Removes the work of one source that matches `predicate`, in order.
    pub(super) fn take_where(
        &mut self,
        id: TenantId,
        source: Source,
        mut predicate: impl FnMut(&T) -> bool,
    ) -> VecDeque<T> {
        let Some(tenant) = self.tenants.get_mut(&id) else { return VecDeque::new() };
        let Some(queue) = tenant.sources.get_mut(&source) else { return VecDeque::new() };
        if queue.work.is_empty() {
            return VecDeque::new();
        }
        let (mut taken, mut left) = (VecDeque::new(), VecDeque::new());
        for (expected, work) in queue.work.drain(..) {
            if predicate(&work) {
                taken.push_back(work);
            } else {
                left.push_back((expected, work));
            }
        }
        queue.work = left;
        if queue.work.is_empty() {
            tenant.ready.waiting.remove(&(queue.used, source));
        }
        if tenant.ready.waiting.is_empty() {
            self.ready.waiting.remove(&(tenant.used, id));
        }
        self.len -= taken.len();
        taken
    }

    /// Sources of a tenant that have waiting work.
    pub(super) fn sources(&self, id: TenantId) -> Vec<Source> {
        let tenant = self.tenants.get(&id);
        tenant.iter().flat_map(|tenant| &tenant.ready.waiting).map(|(_, source)| *source).collect()
    }
}

impl<T> Tenant<T> {
    fn new() -> Self {
        Self { used: 0, sources: HashMap::new(), ready: ReadySet::new() }
    }

    fn push(&mut self, source: Source, expected: u64, work: T, end: QueueEnd) {
        let is_new = !self.sources.contains_key(&source);
        if is_new && self.sources.len() >= REMEMBERED_IDLE + 2 * self.ready.waiting.len() {
            let floor = self.ready.floor;
            self.sources.retain(|_, queue| !queue.work.is_empty() || queue.used > floor);
        }
        let queue =
            self.sources.entry(source).or_insert_with(|| SourceQueue { used: 0, work: VecDeque::new() });
        if queue.work.is_empty() {
            queue.used = self.ready.insert(queue.used, source);
        }
        match end {
            QueueEnd::Front => queue.work.push_front((expected, work)),
            QueueEnd::Back => queue.work.push_back((expected, work)),
        }
    }

    fn pop(&mut self) -> Option<(u64, T)> {
        let source = self.ready.first()?;
        let queue = self.sources.get_mut(&source)?;
        let (expected, work) = queue.work.pop_front()?;
        queue.used = queue.used.saturating_add(weighted(source, expected));
        if !queue.work.is_empty() {
            queue.used = self.ready.insert(queue.used, source);
        }
        Some((expected, work))
    }
}

fn weighted(source: Source, time: u64) -> u64 {
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

    /// Serves `runs` runs of sources that always have work, and returns the CPU time of each source. The third member
    /// of a source is the cost of its runs. The expected cost is 0.
    fn served(sources: &[(i64, Source, u64)], runs: usize) -> Vec<u64> {
        let mut queue = FairQueue::new();
        for (number, (tenant, source, _)) in sources.iter().enumerate() {
            queue.push(TenantId(*tenant), *source, 0, number, QueueEnd::Back);
        }
        let mut had = vec![0; sources.len()];
        for _ in 0..runs {
            let number = queue.pop().unwrap();
            let (tenant, source, cost) = sources[number];
            had[number] += cost;
            queue.push(TenantId(tenant), source, 0, number, QueueEnd::Back);
            queue.charge(TenantId(tenant), source, 0, cost);
        }
        had
    }

    #[test]
    fn shares_are_of_time_and_not_of_runs() {
        for (name, sources, shares) in [
            ("tenants", vec![(1, hook(1), 10 * MS), (2, hook(2), MS)], vec![1, 1]),
            (
                "a tenant with many hooks has no larger share",
                vec![(1, hook(1), MS), (1, hook(2), MS), (1, hook(3), MS), (2, hook(4), MS)],
                vec![1, 1, 1, 3],
            ),
            ("hooks of a tenant", vec![(1, hook(1), 10 * MS), (1, hook(2), MS)], vec![1, 1]),
            (
                "dry runs have a small share of their tenant's time",
                vec![(1, hook(1), MS), (1, Source::DryRun, MS)],
                vec![8, 1],
            ),
        ] {
            let had = served(&sources, 40_000);
            let unit = had.iter().sum::<u64>() / shares.iter().sum::<u64>();
            for (had, share) in had.iter().zip(&shares) {
                let wanted = share * unit;
                assert!(had.abs_diff(wanted) <= unit / 20 + 10 * MS, "{name}: {had}, expected {wanted}");
            }
        }
    }

    #[test]
    fn idle_time_gives_no_credit_and_uncontended_use_no_debt() {
        let mut queue = FairQueue::new();
        for _ in 0..1_000 {
            queue.push(TenantId(1), hook(1), 0, 'a', QueueEnd::Back);
            queue.pop().unwrap();
            queue.charge(TenantId(1), hook(1), 0, 500 * MS);
        }
        queue.push(TenantId(1), hook(1), 0, 'a', QueueEnd::Back);
        queue.push(TenantId(2), hook(2), 0, 'b', QueueEnd::Back);
        let mut had = HashMap::new();
        for _ in 0..20 {
            let who = queue.pop().unwrap();
            *had.entry(who).or_insert(0) += 1;
            let (tenant, source) = if who == 'a' { (1, hook(1)) } else { (2, hook(2)) };
            queue.push(TenantId(tenant), source, 0, who, QueueEnd::Back);
            queue.charge(TenantId(tenant), source, 0, MS);
        }
        // Only the last uncontended run is charged.
        assert!(had[&'b'] >= 10, "{had:?}");
        let mut later = HashMap::new();
        for _ in 0..2_000 {
            let who = queue.pop().unwrap();
            *later.entry(who).or_insert(0) += 1;
            let (tenant, source) = if who == 'a' { (1, hook(1)) } else { (2, hook(2)) };
            queue.push(TenantId(tenant), source, 0, who, QueueEnd::Back);
            queue.charge(TenantId(tenant), source, 0, MS);
        }
        assert!(later[&'a'] >= 700, "{later:?}");
    }

    #[test]
    fn the_expected_cost_is_charged_first_and_corrected_at_the_end() {
        let mut queue = FairQueue::new();
        for work in ["a1", "a2", "a3"] {
            queue.push(TenantId(1), hook(1), 5 * MS, work, QueueEnd::Back);
        }
        for work in ["b1", "b2", "b3"] {
            queue.push(TenantId(2), hook(2), 2 * MS, work, QueueEnd::Back);
        }
        let order: Vec<_> = (0..4).map(|_| queue.pop().unwrap()).collect();
        assert_eq!(order, ["a1", "b1", "b2", "b3"]);
        queue.charge(TenantId(1), hook(1), 5 * MS, MS);
        queue.push(TenantId(2), hook(2), 0, "b4", QueueEnd::Back);
        assert_eq!(queue.pop(), Some("a2"));
    }

    #[test]
    fn started_work_goes_before_other_work_of_its_source() {
        let mut queue = FairQueue::new();
        queue.push(TenantId(1), hook(1), MS, "new", QueueEnd::Back);
        queue.push(TenantId(1), hook(1), MS, "begun", QueueEnd::Front);
        assert_eq!([queue.pop(), queue.pop(), queue.pop()], [Some("begun"), Some("new"), None]);
    }

    #[test]
    fn removing_work_keeps_the_order_of_the_rest() {
        let mut queue = FairQueue::new();
        for work in [1, 2, 3, 4] {
            queue.push(TenantId(1), hook(1), MS, work, QueueEnd::Back);
        }
        queue.push(TenantId(2), hook(2), MS, 5, QueueEnd::Back);
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
            queue.push(TenantId(number), hook(number), 0, (), QueueEnd::Back);
            queue.pop().unwrap();
            queue.push(TenantId(0), hook(number), 0, (), QueueEnd::Back);
            queue.pop().unwrap();
        }
        assert!(queue.tenants.len() <= REMEMBERED_IDLE + 2, "{}", queue.tenants.len());
        assert!(queue.tenants.values().all(|it| it.sources.len() <= REMEMBERED_IDLE + 2));
    }
}
