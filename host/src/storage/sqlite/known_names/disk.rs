//! Reads and writes the tables of names.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool};

use super::filter::NameFilter;
use super::hash::NameHash;
use super::memory::{Bucket, Candidate, KnownNames, MAX_FILTERS, NamesChange, SharedNames};
use crate::domain::{EventId, EventKey, TenantId};
use crate::storage::StorageError;
use crate::storage::dedup::{Known, Mark, NameKind, Seen};
use crate::storage::sqlite::rows::{damaged, to_json};
use crate::storage::sqlite::script::{MultiRow, Script};

/// How many hashes one statement reads for a filter.
const FILTER_STEP: i64 = 20_000;

static INSERT_RECENT: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO recent_names (position, hash, event_key, mark, deliveries) \
        SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?)", ") WHERE column1 IS NOT NULL")
});

// A row that exists already was moved before a restart.
static INSERT_KNOWN: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO known_names (bucket, hash, event_key, mark, deliveries) \
        SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?,?,?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

static UPSERT_BUCKET: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO name_buckets (number, last_event) SELECT * FROM (VALUES";
    let tail = ") WHERE column1 IS NOT NULL ON CONFLICT (number) \
        DO UPDATE SET last_event = max(last_event, excluded.last_event)";
    MultiRow::new(head, "(?,?)", tail)
});

/// A row with the number in front: its position, or its bucket.
type Row = (i64, NameHash, Known);

fn bind(row: &Row, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    let (number, hash, known) = row;
    to.add(*number)?;
    to.add(hash.0.to_be_bytes().to_vec())?;
    to.add(known.key.0)?;
    to.add(known.mark.0)?;
    to.add(known.deliveries)
}

/// Adds a change to `script`.
pub fn write(script: &mut Script, change: &NamesChange) -> Result<(), StorageError> {
    let numbered = (change.first_position..).zip(&change.added);
    let recent: Vec<Row> = numbered.map(|(position, (hash, known))| (position, *hash, *known)).collect();
    script.push_rows(&INSERT_RECENT, &recent, bind)?;
    let moved: Vec<Row> = change.moved.iter().map(|(hash, known)| (change.bucket, *hash, *known)).collect();
    script.push_rows(&INSERT_KNOWN, &moved, bind)?;
    if let Some(last) = change.moved.iter().map(|(_, known)| known.key.0).max() {
        let bind = |row: &(i64, i64), to: &mut SqliteArguments| {
            to.add(row.0)?;
            to.add(row.1)
        };
        script.push_rows(&UPSERT_BUCKET, &[(change.bucket, last)], bind)?;
    }
    if let Some(until) = change.deleted_until {
        script.push_value("DELETE FROM recent_names WHERE position < ?;", until)?;
    }
    Ok(())
}

fn hash_from_column(hash: Vec<u8>) -> Result<NameHash, StorageError> {
    let hash: [u8; 16] =
        hash.try_into().map_err(|_| damaged("event's name", "its hash does not have 16 bytes"))?;
    Ok(NameHash(u128::from_be_bytes(hash)))
}

fn known_from_columns(key: i64, mark: i64, deliveries: i64) -> Result<Known, StorageError> {
    let deliveries = u32::try_from(deliveries)
        .map_err(|error| damaged("event's name", error).in_row("known_names", EventKey(key), key))?;
    Ok(Known { key: EventKey(key), mark: Mark(mark), deliveries })
}

/// The names in memory as they were. Filters are [loaded](load_filters) later.
pub async fn load(connection: &mut SqliteConnection, generation: usize) -> Result<KnownNames, StorageError> {
    let mut names = KnownNames::new(generation);
    let sql = "SELECT number, last_event FROM name_buckets ORDER BY number";
    let buckets: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    names.next_bucket = buckets.last().map_or(0, |(number, _)| number + 1);
    let bucket = |(number, last): (i64, i64)| Bucket { number, last_event: EventKey(last), filter: None };
    names.buckets = buckets.into_iter().map(bucket).collect();
    let sql = "SELECT position, hash, event_key, mark, deliveries FROM recent_names ORDER BY position";
    let recent: Vec<(i64, Vec<u8>, i64, i64, i64)> = sqlx::query_as(sql).fetch_all(&mut *connection).await?;
    names.rows.first = recent.first().map_or(0, |(position, ..)| *position);
    *names.next_row.get_mut() = recent.last().map_or(0, |(position, ..)| position + 1);
    for (_, hash, key, mark, deliveries) in recent {
        names.young.insert(hash_from_column(hash)?, known_from_columns(key, mark, deliveries)?);
    }
    // The table has no index by event: the oldest one is looked for in memory.
    if let Some(oldest) = names.young.values().map(|known| known.key.0).min() {
        let query = sqlx::query_scalar("SELECT event_key FROM erased_events WHERE event_key >= ?");
        let erased: Vec<i64> = query.bind(oldest).fetch_all(&mut *connection).await?;
        let erased: HashSet<i64> = erased.into_iter().collect();
        for known in names.young.values_mut().filter(|known| erased.contains(&known.key.0)) {
            known.mark = Mark::ERASED;
        }
    }
    let sql = "SELECT EXISTS (SELECT 1 FROM events INDEXED BY events_by_external_id WHERE external_id IS NOT NULL) \
        OR EXISTS (SELECT 1 FROM events INDEXED BY events_by_idempotency_key WHERE idempotency_key IS NOT NULL)";
    names.has_indexed = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(names)
}

/// Makes the filters of the buckets that a start found. Until then, each name is looked for in each of these.
pub async fn load_filters(readers: &SqlitePool, names: &SharedNames) -> Result<(), StorageError> {
    let numbers: Vec<i64> =
        names.lock().buckets.iter().rev().take(MAX_FILTERS).map(|bucket| bucket.number).collect();
    for number in numbers {
        let mut hashes: Vec<NameHash> = Vec::new();
        let mut after = Vec::new();
        loop {
            let sql = "SELECT hash FROM known_names WHERE bucket = ? AND hash > ? ORDER BY hash LIMIT ?";
            let query = sqlx::query_scalar(sql).bind(number).bind(&after).bind(FILTER_STEP);
            let step: Vec<Vec<u8>> = query.fetch_all(readers).await?;
            let whole =
                |hash: &Vec<u8>| Some(NameHash(u128::from_be_bytes(hash.as_slice().try_into().ok()?)));
            hashes.extend(step.iter().filter_map(whole));
            match step.into_iter().next_back() {
                Some(last) => after = last,
                None => break,
            }
        }
        let mut filter = NameFilter::of_size(hashes.len());
        hashes.into_iter().for_each(|hash| filter.insert(hash));
        let mut names = names.lock();
        let known_from = names.known_from;
        let bucket = names.buckets.iter_mut().find(|bucket| bucket.number == number);
        if let Some(bucket) = bucket.filter(|bucket| bucket.last_event >= known_from) {
            bucket.filter = Some(filter);
        }
    }
    Ok(())
}

/// The names among `wanted` that are on disk: index, event, mark and number of deliveries of each.
async fn look_for(
    connection: impl sqlx::SqliteExecutor<'_>,
    wanted: impl Iterator<Item = (i64, NameHash)>,
) -> Result<Vec<(usize, Known)>, StorageError> {
    let wanted =
        wanted.enumerate().map(|(index, (bucket, hash))| (index, bucket, format!("{:032x}", hash.0)));
    let wanted = to_json(&wanted.collect::<Vec<_>>())?;
    let sql = "SELECT w.value ->> 0, k.event_key, k.mark, k.deliveries FROM json_each(?) w \
        CROSS JOIN known_names k ON k.bucket = w.value ->> 1 AND k.hash = unhex(w.value ->> 2)";
    let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(sql).bind(wanted).fetch_all(connection).await?;
    let found = rows.into_iter().map(|(index, key, mark, deliveries)| {
        let known = known_from_columns(key, mark, deliveries)?;
        Ok((usize::try_from(index).unwrap_or(usize::MAX), known))
    });
    found.collect()
}

/// Adds the candidates that are known to `seen`.
pub async fn known(
    connection: &mut SqliteConnection,
    candidates: Vec<Candidate>,
    seen: &mut Seen,
) -> Result<(), StorageError> {
    if candidates.is_empty() {
        return Ok(());
    }
    let wanted = candidates.iter().map(|candidate| (candidate.bucket, candidate.hash));
    let found: HashMap<usize, Known> = look_for(connection, wanted).await?.into_iter().collect();
    // Newest bucket first: what is found there replaces what is found in an older one.
    for (index, candidate) in candidates.into_iter().enumerate().rev() {
        if let Some(known) = found.get(&index) {
            seen.add(candidate.tenant, candidate.kind, candidate.name, *known);
        }
    }
    Ok(())
}

/// The newest event with this sender's id, whether or not it is stored still.
pub async fn find(
    readers: &SqlitePool,
    names: &SharedNames,
    tenant: TenantId,
    id: &EventId,
) -> Result<Option<EventKey>, StorageError> {
    let hash = NameHash::of(tenant, NameKind::Id, id.as_str());
    let buckets: Vec<i64> = {
        let names = names.lock();
        if let Some(known) = names.in_memory(hash) {
            return Ok(Some(known.key));
        }
        names.buckets_of(hash).map(|bucket| bucket.number).collect()
    };
    let found = look_for(readers, buckets.into_iter().map(|bucket| (bucket, hash))).await?;
    Ok(found.into_iter().min_by_key(|(index, _)| *index).map(|(_, known)| known.key))
}

/// Deletes names from the oldest bucket, if all its events came before `before`. Returns how many.
pub async fn forget_some(
    connection: &mut SqliteConnection,
    names: &SharedNames,
    before: EventKey,
    most: u32,
) -> Result<u64, StorageError> {
    let Some(bucket) = names.lock().old_bucket(before) else { return Ok(0) };
    let sql = "DELETE FROM known_names WHERE bucket = ?1 AND hash IN \
        (SELECT hash FROM known_names WHERE bucket = ?1 ORDER BY hash LIMIT ?2)";
    let deleted = sqlx::query(sql).bind(bucket).bind(most).execute(&mut *connection).await?.rows_affected();
    if deleted < u64::from(most) {
        sqlx::query("DELETE FROM name_buckets WHERE number = ?").bind(bucket).execute(connection).await?;
        // Even if this is not committed, no name in it must be known.
        names.lock().remove_bucket(bucket);
    }
    Ok(deleted)
}

/// Marks the names of an erased event: whatever has one of them repeats it. Rows of `recent_names` are in no order of hashes:
/// [`load`] finds their events in `erased_events`.
pub async fn erase(
    connection: &mut SqliteConnection,
    names: &SharedNames,
    event: EventKey,
    erased: &[NameHash],
) -> Result<(), StorageError> {
    for hash in erased {
        let bytes = hash.0.to_be_bytes().to_vec();
        let sql = "UPDATE known_names SET mark = 0 WHERE hash = ?1 AND event_key = ?2 \
            AND bucket IN (SELECT number FROM name_buckets)";
        sqlx::query(sql).bind(&bytes).bind(event.0).execute(&mut *connection).await?;
    }
    names.lock().erase(erased);
    Ok(())
}
