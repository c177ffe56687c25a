//! What memory holds of names, and what a transaction changes of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::filter::NameFilter;
use super::hash::NameHash;
use crate::domain::{EventKey, TenantId};
use crate::storage::Acceptance;
use crate::storage::dedup::{self, Known, Mark, NameKind, Seen};

/// How many names a generation has: some 15 MB of memory. A larger one would write fewer pages for each name.
pub const GENERATION: usize = 1 << 18;
/// How many generations a bucket has.
pub(super) const GENERATIONS_PER_BUCKET: usize = 8;
/// How many buckets have filters, each of 3 MB: for 134 million names. Older ones are read for each name.
pub(super) const MAX_FILTERS: usize = 64;
/// For each new name, how many others move on. With more than one, a generation has moved before the next one is full.
const MOVES: usize = 2;

/// A range of stored names.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) number: i64,
    pub(super) last_event: EventKey,
    /// None while it is read, and for very old ones: each name may be in the bucket.
    pub(super) filter: Option<NameFilter>,
}

/// The bucket into which names move.
#[derive(Debug)]
pub(super) struct Filling {
    pub(super) generations: usize,
    pub(super) bucket: Bucket,
}

/// See the module's head.
#[derive(Debug)]
pub struct KnownNames {
    pub(super) generation: usize,
    pub(super) young: BTreeMap<NameHash, Known>,
    pub(super) moving: BTreeMap<NameHash, Known>,
    /// The last name of [`Self::moving`] that is in its bucket.
    pub(super) moved_to: Option<NameHash>,
    /// Buckets that do not change, oldest first.
    pub(super) buckets: Vec<Bucket>,
    pub(super) filling: Option<Filling>,
    pub(super) next_bucket: i64,
    /// The rows of `recent_names`.
    pub(super) rows: RecentRows,
    /// The position of the next one. A plan that is not committed leaves a gap.
    pub(super) next_row: AtomicI64,
    /// Events before were accepted so long ago that their names need not be known.
    pub(super) known_from: EventKey,
    /// Names of events of an earlier engine are in indexes of `events`.
    pub(super) has_indexed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RecentRows {
    /// The first one.
    pub(super) first: i64,
    /// Those before are of the generation that moves.
    pub(super) moving_until: i64,
    /// Those before are of generations that have moved, and can be deleted.
    pub(super) moved_until: i64,
}

/// What one transaction changes.
#[derive(Debug, Default)]
pub struct NamesChange {
    pub(super) added: Vec<(NameHash, Known)>,
    pub(super) first_position: i64,
    pub(super) moved: Vec<(NameHash, Known)>,
    pub(super) bucket: i64,
    pub(super) deleted_until: Option<i64>,
}

/// A name that may be in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub(super) bucket: i64,
    pub(super) hash: NameHash,
    pub(super) tenant: TenantId,
    pub(super) kind: NameKind,
    pub(super) name: String,
}

/// What memory knows of the names of a transaction.
#[derive(Debug, Default)]
pub struct Lookup {
    /// The names that are in memory.
    pub seen: Seen,
    /// Those that must be looked for on disk, newest bucket first.
    pub candidates: Vec<Candidate>,
    /// The indexes of an earlier engine must be read, too.
    pub has_indexed: bool,
}

impl Lookup {
    /// Whether nothing must be read.
    pub fn is_complete(&self) -> bool {
        self.candidates.is_empty() && !self.has_indexed
    }
}

impl KnownNames {
    /// Without any names; a generation has `generation`.
    pub fn new(generation: usize) -> Self {
        Self {
            generation,
            young: BTreeMap::new(),
            moving: BTreeMap::new(),
            moved_to: None,
            buckets: Vec::new(),
            filling: None,
            next_bucket: 0,
            rows: RecentRows::default(),
            next_row: AtomicI64::new(0),
            known_from: EventKey(0),
            has_indexed: false,
        }
    }

    pub(super) fn in_memory(&self, hash: NameHash) -> Option<Known> {
        self.young.get(&hash).or_else(|| self.moving.get(&hash)).copied()
    }

    /// The buckets in which a name may be, newest first.
    pub(super) fn buckets_of(&self, hash: NameHash) -> impl Iterator<Item = &Bucket> {
        let all = self.filling.iter().map(|filling| &filling.bucket).chain(self.buckets.iter().rev());
        all.filter(move |bucket| bucket.filter.as_ref().is_none_or(|filter| filter.may_contain(hash)))
    }

    /// Looks all names of `calls` up.
    pub fn look_up(&self, calls: &[&[Acceptance]]) -> Lookup {
        let mut found = Lookup::default();
        for (tenant, kind, name) in calls.iter().copied().flatten().flat_map(dedup::names) {
            found.has_indexed = self.has_indexed;
            let hash = NameHash::of(tenant, kind, name);
            if let Some(known) = self.in_memory(hash) {
                found.seen.add(tenant, kind, name.to_owned(), known);
                continue;
            }
            let buckets = self.buckets_of(hash).filter(|bucket| bucket.last_event >= self.known_from);
            found.candidates.extend(buckets.map(|bucket| {
                let (bucket, name) = (bucket.number, name.to_owned());
                Candidate { bucket, hash, tenant, kind, name }
            }));
        }
        found
    }

    /// Plans to add the names of new events, to move some of those before, and to delete rows that have moved.
    pub fn plan<'a>(&self, new: impl Iterator<Item = &'a Acceptance>) -> NamesChange {
        let added = new.flat_map(|acceptance| {
            let names = dedup::names(acceptance);
            names.map(move |(tenant, kind, name)| {
                (NameHash::of(tenant, kind, name), Known::of(kind, acceptance))
            })
        });
        let added: Vec<_> = added.collect();
        if added.is_empty() {
            return NamesChange::default();
        }
        let count = i64::try_from(added.len()).unwrap_or(i64::MAX);
        let first_position = self.next_row.fetch_add(count, Ordering::Relaxed);
        let most = added.len().saturating_mul(MOVES);
        let after = self.moved_to.map_or(Bound::Unbounded, Bound::Excluded);
        let moved =
            self.moving.range((after, Bound::Unbounded)).take(most).map(|(hash, known)| (*hash, *known));
        let rows = self.rows;
        let deleted_until = rows.moved_until.min(rows.first.saturating_add(2 * count));
        NamesChange {
            added,
            first_position,
            moved: moved.collect(),
            bucket: self.filling.as_ref().map_or(self.next_bucket, |filling| filling.bucket.number),
            deleted_until: (deleted_until > rows.first).then_some(deleted_until),
        }
    }

    /// Applies what was committed.
    pub fn apply(&mut self, change: NamesChange) {
        self.rows.first = change.deleted_until.unwrap_or(self.rows.first);
        self.add_moved(&change.moved);
        self.young.extend(change.added);
        if self.moving.is_empty() && self.young.len() >= self.generation {
            self.moving = std::mem::take(&mut self.young);
            (self.moved_to, self.rows.moving_until) = (None, self.next_row.load(Ordering::Relaxed));
        }
    }

    fn add_moved(&mut self, moved: &[(NameHash, Known)]) {
        let Some((last, _)) = moved.last() else { return };
        let (number, names) =
            (self.next_bucket, self.moving.len().max(self.generation) * GENERATIONS_PER_BUCKET);
        let filling = self.filling.get_or_insert_with(|| Filling {
            generations: 0,
            bucket: Bucket { number, last_event: EventKey(0), filter: Some(NameFilter::of_size(names)) },
        });
        self.next_bucket = self.next_bucket.max(filling.bucket.number + 1);
        for (hash, known) in moved {
            filling.bucket.last_event = filling.bucket.last_event.max(known.key);
            if let Some(filter) = &mut filling.bucket.filter {
                filter.insert(*hash);
            }
        }
        self.moved_to = Some(*last);
        if self.moving.last_key_value().is_some_and(|(end, _)| end == last) {
            self.moving.clear();
            self.rows.moved_until = self.rows.moving_until;
            filling.generations += 1;
            if filling.generations >= GENERATIONS_PER_BUCKET {
                self.buckets.extend(self.filling.take().map(|filling| filling.bucket));
                self.limit_filters();
            }
        }
    }

    fn limit_filters(&mut self) {
        for bucket in self.buckets.iter_mut().rev().skip(MAX_FILTERS) {
            bucket.filter = None;
        }
    }

    /// From now on the names of earlier events need not be known. Filters of buckets that have only such names are dropped.
    pub fn set_known_from(&mut self, from: EventKey) {
        self.known_from = from;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.last_event < from) {
            bucket.filter = None;
        }
    }

    /// Whether there are names to delete of events that all came before `before`.
    pub fn has_old(&self, before: EventKey) -> bool {
        self.old_bucket(before).is_some()
    }

    /// The oldest bucket, if all of its events came before `before`.
    pub(super) fn old_bucket(&self, before: EventKey) -> Option<i64> {
        self.buckets.first().filter(|bucket| bucket.last_event < before).map(|bucket| bucket.number)
    }

    pub(super) fn remove_bucket(&mut self, number: i64) {
        self.buckets.retain(|bucket| bucket.number != number);
    }

    /// Marks names as those of an erased event.
    pub(super) fn erase(&mut self, names: &[NameHash]) {
        for hash in names {
            for generation in [&mut self.young, &mut self.moving] {
                generation.entry(*hash).and_modify(|known| known.mark = Mark::ERASED);
            }
        }
    }
}

/// The [`KnownNames`] as the writer and the stores share them. The lock is never held across an await.
#[derive(Debug)]
pub struct SharedNames(Mutex<KnownNames>);

impl SharedNames {
    pub fn new(names: KnownNames) -> Self {
        Self(Mutex::new(names))
    }

    pub fn lock(&self) -> MutexGuard<'_, KnownNames> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
