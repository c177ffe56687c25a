//! In which ranges of ids a hook has deliveries.
//!
//! Deliveries are clustered by tenant, which serves a tenant's list. A hook's list reads only the ranges in which the hook
//! has deliveries. An index would have an entry for each delivery; a bucket is written with the first delivery in it, and
//! not again by this process while it is remembered.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::rows::named_after_mark;
use super::script::{MultiRow, Script};
use crate::domain::{DeliveryId, HookId};
use crate::storage::StorageError;

/// A bucket is `2^30` ids, 256 ms. A larger one would be written less often, and hold more of other hooks' deliveries to skip.
/// Databases depend on the number: it never changes.
pub const BITS: u32 = 30;
/// How many buckets are remembered, at most: about a megabyte.
const REMEMBERED: usize = 32_768;

/// The number of a range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct IdBucket(i64);

/// A hook, and a bucket in which it has deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookBucket {
    hook: HookId,
    bucket: IdBucket,
}

impl HookBucket {
    /// The bucket of a delivery of `hook`.
    pub fn of(hook: HookId, delivery: DeliveryId) -> Self {
        Self { hook, bucket: IdBucket(delivery.0 >> BITS) }
    }
}

/// Writes the bucket of a delivery that is written beside the writer.
pub async fn add(
    connection: &mut SqliteConnection,
    hook: HookId,
    delivery: DeliveryId,
) -> Result<(), StorageError> {
    let sql = "INSERT INTO hook_id_buckets (hook, bucket) VALUES (?, ?) ON CONFLICT DO NOTHING";
    sqlx::query(sql).bind(hook.0).bind(delivery.0 >> BITS).execute(connection).await?;
    Ok(())
}

/// Like [`add`], for several deliveries of a hook.
pub async fn add_all(
    connection: &mut SqliteConnection,
    hook: HookId,
    deliveries: &[DeliveryId],
) -> Result<(), StorageError> {
    let mut of_buckets = deliveries.to_vec();
    of_buckets.dedup_by_key(|delivery| delivery.0 >> BITS);
    for delivery in of_buckets {
        add(connection, hook, delivery).await?;
    }
    Ok(())
}

/// Buckets that are known to be on disk.
#[derive(Debug, Default)]
pub struct KnownBuckets(HashSet<HookBucket>);

impl KnownBuckets {
    /// Those among `wanted` that may not be on disk yet, each once, in the order of the table.
    pub fn missing(&self, wanted: impl Iterator<Item = HookBucket>) -> Vec<HookBucket> {
        let mut missing: Vec<_> = wanted.filter(|one| !self.0.contains(one)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// After the commit.
    pub fn add(&mut self, written: Vec<HookBucket>) {
        if self.0.len() + written.len() > REMEMBERED {
            // If more deliveries fall into them, they are written and remembered once more.
            self.0.clear();
        }
        self.0.extend(written.into_iter().take(REMEMBERED));
    }
}

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO hook_id_buckets (hook, bucket) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

/// Adds buckets to `script`.
pub fn write(script: &mut Script, buckets: &[HookBucket]) -> Result<(), StorageError> {
    Ok(script.push_rows(&INSERT, buckets, bind)?)
}

fn bind(one: &HookBucket, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(one.hook.0)?;
    to.add(one.bucket.0)
}

/// Writes the buckets of all deliveries of events after `written_until`, unless they are there already.
pub async fn recover(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO hook_id_buckets (hook, bucket) SELECT DISTINCT d.value ->> 1, (e.key + (d.value ->> 0)) >> ?",
        named_after_mark!(),
        " ON CONFLICT DO NOTHING"
    );
    sqlx::query(sql).bind(BITS).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hook: i64, bucket: i64) -> HookBucket {
        HookBucket::of(HookId(hook), DeliveryId(bucket << BITS | 7))
    }

    #[test]
    fn a_bucket_is_missing_once_and_until_it_is_written() {
        let mut known = KnownBuckets::default();
        let wanted = [of(1, 5), of(2, 5), of(1, 5), of(1, 6)];
        let missing = known.missing(wanted.into_iter());
        assert_eq!(missing, [of(1, 5), of(1, 6), of(2, 5)]);
        known.add(missing);
        assert_eq!(known.missing(wanted.into_iter().chain([of(3, 5)])), [of(3, 5)]);
    }

    #[test]
    fn the_number_of_remembered_buckets_is_limited() {
        let mut known = KnownBuckets::default();
        for bucket in 0..3 * REMEMBERED as i64 {
            known.add(known.missing([of(1, bucket)].into_iter()));
            assert!(known.0.len() <= REMEMBERED);
            assert!(known.missing([of(1, bucket)].into_iter()).is_empty());
        }
        known.add((0..2 * REMEMBERED as i64).map(|hook| of(hook, 0)).collect());
        assert_eq!(known.0.len(), REMEMBERED);
    }
}
