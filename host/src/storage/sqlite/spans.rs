//! In which spans of ids a hook has deliveries.
//!
//! Deliveries are clustered by tenant, which serves a tenant's list. A hook's list looks only into the spans in which the
//! hook has some. An index would have an entry for each delivery; a span is written with the first delivery in it,
//! and not again by this process as long as it is remembered.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlx::Arguments as _;
use sqlx::error::BoxDynError;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};

use super::batch::{MultiRow, Script};
use super::rows::named_after_mark;
use crate::domain::{DeliveryId, HookId};
use crate::storage::StorageError;

/// A span is `2^30` ids, 256 ms. A longer one is written less often, and has more of other hooks' deliveries to pass over. The
/// number stands in statements and in databases: it never changes.
pub const BITS: u32 = 30;
/// How many spans are remembered, at most: about a megabyte.
const REMEMBERED: usize = 32_768;

/// A hook, and a span in which it has deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookSpan {
    hook: HookId,
    span: i64,
}

impl HookSpan {
    /// Where a delivery of `hook` lies.
    pub fn of(hook: HookId, delivery: DeliveryId) -> Self {
        Self { hook, span: delivery.0 >> BITS }
    }
}

/// Spans that are known to be on disk.
#[derive(Debug, Default)]
pub struct KnownSpans(HashSet<HookSpan>);

impl KnownSpans {
    /// Those among `wanted` that may not be on disk yet, each once, in the order of the table.
    pub fn missing(&self, wanted: impl Iterator<Item = HookSpan>) -> Vec<HookSpan> {
        let mut missing: Vec<_> = wanted.filter(|one| !self.0.contains(one)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// After the commit.
    pub fn add(&mut self, written: Vec<HookSpan>) {
        if self.0.len() + written.len() > REMEMBERED {
            // Where more deliveries fall into them, they are written and remembered once more.
            self.0.clear();
        }
        self.0.extend(written.into_iter().take(REMEMBERED));
    }
}

static INSERT: LazyLock<MultiRow> = LazyLock::new(|| {
    let head = "INSERT OR ROLLBACK INTO hook_spans (hook, span) SELECT * FROM (VALUES";
    MultiRow::new(head, "(?,?)", ") WHERE column1 IS NOT NULL ON CONFLICT DO NOTHING")
});

/// Adds spans to `script`.
pub fn write(script: &mut Script, spans: &[HookSpan]) -> Result<(), StorageError> {
    Ok(script.push_rows(&INSERT, spans, bind)?)
}

fn bind(one: &HookSpan, to: &mut SqliteArguments) -> Result<(), BoxDynError> {
    to.add(one.hook.0)?;
    to.add(one.span)
}

/// The spans of all deliveries of events after `written_until`; known ones are passed over.
pub async fn recover(connection: &mut SqliteConnection) -> Result<(), StorageError> {
    let sql = concat!(
        "INSERT INTO hook_spans (hook, span) SELECT DISTINCT d.value ->> 1, (e.key + (d.value ->> 0)) >> ?",
        named_after_mark!(),
        " ON CONFLICT DO NOTHING"
    );
    sqlx::query(sql).bind(BITS).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hook: i64, span: i64) -> HookSpan {
        HookSpan::of(HookId(hook), DeliveryId(span << BITS | 7))
    }

    #[test]
    fn a_span_is_missing_once_and_until_it_is_written() {
        let mut known = KnownSpans::default();
        let wanted = [of(1, 5), of(2, 5), of(1, 5), of(1, 6)];
        let missing = known.missing(wanted.into_iter());
        assert_eq!(missing, [of(1, 5), of(1, 6), of(2, 5)]);
        known.add(missing);
        assert_eq!(known.missing(wanted.into_iter().chain([of(3, 5)])), [of(3, 5)]);
    }

    #[test]
    fn no_more_are_remembered_than_may_be() {
        let mut known = KnownSpans::default();
        for span in 0..3 * REMEMBERED as i64 {
            known.add(known.missing([of(1, span)].into_iter()));
            assert!(known.0.len() <= REMEMBERED);
            assert!(known.missing([of(1, span)].into_iter()).is_empty());
        }
        known.add((0..2 * REMEMBERED as i64).map(|hook| of(hook, 0)).collect());
        assert_eq!(known.0.len(), REMEMBERED);
    }
}
