//! Deletes names of events that are deleted.
//!
//! No index finds them by age: it would cost every accepted event. So the table is walked from its first page to its last, a few
//! pages at a time, about once an hour.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::pool::BoundedPool;
use crate::clock;
use crate::domain::EventKey;
use crate::storage::StorageError;

/// How many pages one statement looks at.
const PAGES: i64 = 32;
/// How many statements one call makes, at most.
const STATEMENTS: usize = 16;
/// How often the table is walked.
const EVERY: Duration = Duration::from_secs(3_600);

/// How far the walk is.
#[derive(Debug, Default)]
pub struct NamesWalk(Mutex<Walk>);

#[derive(Debug, Default, Clone, Copy)]
struct Walk {
    page: i64,
    ended_at: Option<Instant>,
}

impl NamesWalk {
    fn get(&self) -> Walk {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, walk: Walk) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = walk;
    }
}

/// Deletes some names of events before `before`. Returns how many.
pub(super) async fn forget_some(
    pool: &BoundedPool,
    walked: &NamesWalk,
    before: EventKey,
) -> Result<u64, StorageError> {
    let mut walk = walked.get();
    if before.0 <= 0 || walk.ended_at.is_some_and(|at| clock::elapsed(at) < EVERY) {
        return Ok(0);
    }
    for _ in 0..STATEMENTS {
        let sql = "WITH gone AS (DELETE FROM event_names WHERE ctid = ANY (ARRAY(SELECT ctid FROM event_names \
                WHERE ctid >= $1::text::tid AND ctid < $2::text::tid AND event_key < $3)) RETURNING 1) \
            SELECT (SELECT count(*) FROM gone), \
                pg_relation_size('event_names') / current_setting('block_size')::bigint";
        let query = sqlx::query_as(sql).bind(format!("({},0)", walk.page));
        let query = query.bind(format!("({},0)", walk.page + PAGES)).bind(before.0);
        let (deleted, pages): (i64, i64) = query.fetch_one(pool).await?;
        walk = match walk.page + PAGES {
            next if next < pages => Walk { page: next, ended_at: None },
            _ => Walk { page: 0, ended_at: Some(clock::monotonic()) },
        };
        walked.set(walk);
        if deleted > 0 {
            return Ok(u64::try_from(deleted).unwrap_or(0));
        }
        if walk.ended_at.is_some() {
            break;
        }
    }
    Ok(0)
}
