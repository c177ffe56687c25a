//! Space that deletions leave in the file: it is used again, and what is too much of it is given back to the file system.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::stores::SqliteStores;
use crate::storage::StorageError;

/// Free pages that are left alone: those to be used again soon.
const SPARE_PAGES: i64 = 4_096;
/// Of the file, one part in so many may be free besides.
const SPARE_PART: i64 = 20;
/// How many pages one transaction gives back: some may have to be moved first.
const PAGES_AT_ONCE: i64 = 64;

/// Gives some space back. Returns whether there is more.
///
/// A database of an earlier engine cannot give space back while it is open; it uses it again.
pub(super) async fn give_back(stores: &SqliteStores) -> Result<bool, StorageError> {
    let sql = "SELECT v.auto_vacuum = 2, f.freelist_count, p.page_count \
        FROM pragma_auto_vacuum v, pragma_freelist_count f, pragma_page_count p";
    let (gives_back, free, all): (bool, i64, i64) = sqlx::query_as(sql).fetch_one(&stores.readers).await?;
    let spare = SPARE_PAGES + all / SPARE_PART;
    if !gives_back || free <= spare {
        return Ok(false);
    }
    let sql = sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"));
    let mut writer = stores.writer().await;
    let done = sqlx::query(sql).fetch_all(writer.begin().await?).await;
    writer.finish(done.map(drop).map_err(StorageError::from)).await?;
    Ok(free - PAGES_AT_ONCE > spare)
}

/// After an erasure, empties the write-ahead log, which has what was erased. If somebody reads, the next call tries again: all
/// who write would wait for a reader such as a backup.
pub(super) async fn forget_log(stores: &SqliteStores) -> Result<(), StorageError> {
    if !stores.log_has_erased.swap(false, Ordering::AcqRel) {
        return Ok(());
    }
    let mut writer = stores.writer().await;
    writer.set_busy_timeout(Duration::ZERO).await?;
    let query = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)");
    let emptied: Result<(i64, i64, i64), _> = query.fetch_one(writer.connection().await?).await;
    let is_busy = emptied.map(|(is_busy, ..)| is_busy != 0).unwrap_or(true);
    if is_busy {
        stores.log_has_erased.store(true, Ordering::Release);
    }
    Ok(())
}
