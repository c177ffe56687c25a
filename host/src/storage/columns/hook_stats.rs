//! Counts of attempts, as JSON.

use serde::{Deserialize, Serialize};

use super::values::{damaged, from_json, to_json};
use crate::domain::hook_stats::{AttemptStats, Histogram};
use crate::storage::StorageError;

#[derive(Serialize, Deserialize)]
struct StatsJson {
    /// How many attempts ended how.
    ends: [u64; 6],
    /// Buckets of the histogram, and their counts.
    latency: Vec<(u16, u64)>,
}

/// The counts as text.
pub fn stats_to_text(stats: &AttemptStats) -> Result<String, StorageError> {
    to_json(&StatsJson { ends: stats.ends, latency: stats.latency.buckets().to_vec() })
}

/// The counts from their text.
pub fn stats_from_text(text: &str) -> Result<AttemptStats, StorageError> {
    let StatsJson { ends, latency } = from_json("statistics", text)?;
    let latency = Histogram::from_buckets(latency);
    let latency = latency.ok_or_else(|| damaged("statistics", "the histogram is not in order"))?;
    Ok(AttemptStats { ends, latency })
}
