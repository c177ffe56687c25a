//! Write transactions.

use std::time::Duration;

use super::counter::Counter;
use super::histogram::Histogram;

/// How long transactions with events, attempts or leases took, their commits included.
pub static COMMIT_SECONDS: Histogram<12> = Histogram::of_durations(&[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000,
]);
/// About how many rows they wrote.
pub static COMMIT_ROWS: Histogram<8> = Histogram::of_numbers(&[1, 3, 10, 30, 100, 300, 1_000, 3_000]);
/// Transactions that failed.
pub static COMMIT_FAILURES: Counter = Counter::new();

/// Counts a transaction with about so many rows.
pub fn committed(after: Duration, rows: usize) {
    COMMIT_SECONDS.observe(after);
    COMMIT_ROWS.observe_number(rows as u64);
}
