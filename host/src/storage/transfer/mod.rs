//! Moves an installation from SQLite to PostgreSQL.
//!
//! Rows are read one after the other and written with `COPY`, so that memory stays small. The destination gets them in one
//! transaction, after the numbers of rows on both sides were compared: see [`Target`]. The source does not change: see
//! [`Source`]. Sealed columns are copied as they are: the same key opens them.

mod copy_text;
mod tables;

use futures_util::TryStreamExt as _;
use sqlx::Row as _;

use self::copy_text::CopyText;
use self::tables::{ALL, LOCAL_STATE, Rows};
pub use super::postgres::{Found, Target};
pub use super::sqlite::Source;
use crate::domain::UnixMillis;
use crate::storage::StorageError;
use crate::storage::sealing::KEY_CHECK;

/// How many bytes are sent at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How many replaced values are named.
const NAMED_REPLACEMENTS: usize = 20;

/// How many rows of one kind there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What they are.
    pub what: &'static str,
    /// In the source.
    pub source: u64,
    /// In the destination.
    pub target: u64,
}

/// How far a move is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being copied.
    pub what: &'static str,
    /// How many rows of it are copied.
    pub done: u64,
    /// How many there are.
    pub all: u64,
}

/// What was moved.
#[derive(Debug, Default)]
pub struct Moved {
    /// The rows on both sides.
    pub counts: Vec<Count>,
    /// How many values had U+0000 or bytes that are not UTF-8, which PostgreSQL cannot store: there they have U+FFFD.
    pub replaced: u64,
    /// Some of these values: the row's first column, table and column.
    pub replacements: Vec<String>,
}

/// Counts what a move would copy.
///
/// # Errors
/// The error of the database.
pub async fn count(source: &mut Source) -> Result<Vec<Count>, StorageError> {
    let mut counts: Vec<Count> = Vec::new();
    for rows in ALL {
        let number = source.count(rows.from).await?;
        match counts.last_mut().filter(|last| last.what == rows.what) {
            Some(last) => last.source += number,
            None => counts.push(Count { what: rows.what, source: number, target: 0 }),
        }
    }
    Ok(counts)
}

/// Copies everything, which takes effect as a whole. `report` hears of each chunk. `now` is when ended leases are due.
///
/// # Errors
/// [`StorageError::CannotMove`] if the destination is not empty or got another number of rows; else the error of the databases.
/// The destination is then as empty as before.
pub async fn run(
    source: &mut Source,
    target: &mut Target,
    now: UnixMillis,
    report: &mut dyn FnMut(Progress),
) -> Result<Moved, StorageError> {
    let mut moved = Moved { counts: count(source).await?, ..Moved::default() };
    target.begin().await?;
    let (mut what, mut done) = ("", 0);
    for rows in ALL {
        if rows.what != what {
            (what, done) = (rows.what, 0);
        }
        let all = moved.counts.iter().find(|count| count.what == what).map_or(0, |count| count.source);
        let mut report = |count: u64| report(Progress { what, done: done + count, all });
        let count = copy(source, target, rows, now, &mut moved, &mut report).await?;
        done += count;
    }
    for count in &mut moved.counts {
        let Some(rows) = ALL.iter().find(|rows| rows.what == count.what) else { continue };
        count.target = target.count(rows.table).await?;
        if count.target != count.source {
            return Err(StorageError::CannotMove(format!(
                "of {} {}, {} arrived: nothing was moved",
                count.source, count.what, count.target
            )));
        }
    }
    copy_state(source, target).await?;
    target.commit().await?;
    Ok(moved)
}

async fn copy(
    source: &mut Source,
    target: &mut Target,
    rows: &Rows,
    now: UnixMillis,
    moved: &mut Moved,
    report: &mut (dyn FnMut(u64) + '_),
) -> Result<u64, StorageError> {
    let there = target.columns(rows.table).await?;
    let here = match rows.same {
        Some(table) => source.columns(table).await?,
        None => Vec::new(),
    };
    let (columns, sql) = rows.select(&there, &here, now.0);
    let mut copy = target.copy(rows.table, &columns).await?;
    let mut stream = source.rows(sql);
    let (mut text, mut count) = (CopyText::default(), 0);
    report(0);
    while let Some(row) = stream.try_next().await? {
        text.push(&row)?;
        count += 1;
        for column in &text.replaced {
            moved.replaced += 1;
            if moved.replacements.len() < NAMED_REPLACEMENTS {
                let first = row.try_get_unchecked::<i64, _>(0).unwrap_or_default();
                moved.replacements.push(format!("{}.{} of row {first}", rows.table, columns[*column]));
            }
        }
        if text.bytes.len() >= CHUNK_BYTES {
            copy.send(text.bytes.as_slice()).await?;
            text.bytes.clear();
            text.bytes.shrink_to(2 * CHUNK_BYTES);
            report(count);
        }
    }
    copy.send(text.bytes.as_slice()).await?;
    copy.finish().await?;
    report(count);
    Ok(count)
}

/// The key checks arrive with the rows: then, engines may start.
async fn copy_state(source: &mut Source, target: &mut Target) -> Result<(), StorageError> {
    let state: Vec<_> = source.rows("SELECT name, value FROM engine_state".to_owned()).try_collect().await?;
    let mut has_check = false;
    for row in state {
        let (name, value): (String, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        if !LOCAL_STATE.contains(&name.as_str()) {
            has_check |= name == KEY_CHECK;
            target.set_state(&name, &value).await?;
        }
    }
    match has_check {
        true => Ok(()),
        false => Err(StorageError::StartOnce("the encryption key was never checked")),
    }
}

#[cfg(test)]
mod tests;
