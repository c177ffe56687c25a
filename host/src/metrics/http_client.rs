//! Requests to receivers, by OpenTelemetry's semantic conventions for HTTP clients. A status counts by its class, and no
//! receiver is named.

use std::time::Duration;

use super::deliveries::{OTHER_CLASS, STATUS_CLASSES, class_of};
use super::histogram::{Histogram, Snapshot};
use crate::domain::Outcome;
use crate::domain::attempt::UnreachableKind;

const CLASSES: usize = STATUS_CLASSES.len() + 1;
const REASONS: usize = UnreachableKind::NAMES.len();
const SERIES: usize = CLASSES + REASONS + 1;
const TIMEOUT: usize = SERIES - 1;

type Seconds = Histogram<11>;

static SECONDS: [Seconds; SERIES] = [const {
    Seconds::of_durations([
        5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    ])
}; SERIES];

/// Counts a request that ended so.
pub fn request_ended(outcome: &Outcome, duration: Duration) {
    let series = match outcome {
        Outcome::Response(response) => class_of(response.status),
        Outcome::Unreachable { kind, .. } => CLASSES + *kind as usize,
        Outcome::TimedOut { .. } => TIMEOUT,
        // Nothing was sent.
        Outcome::Faulted { .. } | Outcome::Dropped { .. } => return,
    };
    SECONDS[series].observe(duration);
}

/// The type of error and the class of the status of each series, with what was counted.
pub fn requests() -> impl Iterator<Item = ([(&'static str, &'static str); 2], Snapshot)> {
    let class = |index: usize| STATUS_CLASSES.get(index).copied().unwrap_or(OTHER_CLASS);
    SECONDS.iter().enumerate().map(move |(index, seconds)| {
        let (error, status) = match index {
            0 => ("", class(0)),
            TIMEOUT => ("timeout", ""),
            _ if index < CLASSES => (class(index), class(index)),
            _ => (UnreachableKind::NAMES[index - CLASSES], ""),
        };
        ([("error_type", error), ("http_response_status_code", status)], seconds.snapshot())
    })
}
