//! Requests to receivers, by OpenTelemetry's semantic conventions for HTTP clients. A status counts by its class, and no
//! receiver is named.

use std::time::Duration;

use super::deliveries::{OTHER_CLASS, STATUS_CLASSES, class_of};
use super::histogram::{Histogram, Snapshot};
use crate::domain::Outcome;
use crate::domain::attempt::UnreachableKind;

const CLASSES: usize = STATUS_CLASSES.len() + 1;
/// Why a request got no response. What an attempt got of a preflight request or a token endpoint counts as what it was there.
const REASONS: [UnreachableKind; 5] = [
    UnreachableKind::Dns,
    UnreachableKind::Refused,
    UnreachableKind::Connect,
    UnreachableKind::Tls,
    UnreachableKind::Protocol,
];
const SERIES: usize = CLASSES + REASONS.len() + 1;
const TIMEOUT: usize = SERIES - 1;

type Seconds = Histogram<11>;

static SECONDS: [Seconds; SERIES] = [const {
    Seconds::of_durations(&[
        5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
    ])
}; SERIES];

/// Counts a request that ended so.
pub fn request_ended(outcome: &Outcome, duration: Duration) {
    if let Some(series) = series_of(outcome) {
        SECONDS[series].observe(duration);
    }
}

/// The index of the series of a request that ended so; `None` if nothing was sent.
fn series_of(outcome: &Outcome) -> Option<usize> {
    match outcome {
        Outcome::Response(response) => Some(class_of(response.status)),
        Outcome::Unreachable { kind, .. } => {
            REASONS.iter().position(|reason| reason == kind).map(|reason| CLASSES + reason)
        }
        Outcome::TimedOut { .. } => Some(TIMEOUT),
        Outcome::Faulted { .. } | Outcome::Dropped { .. } => None,
    }
}

/// The type of error and the class of the status of each series, with what was counted.
pub fn requests() -> impl Iterator<Item = ([(&'static str, &'static str); 2], Snapshot)> {
    let class = |index: usize| STATUS_CLASSES.get(index).copied().unwrap_or(OTHER_CLASS);
    SECONDS.iter().enumerate().map(move |(index, seconds)| {
        let (error, status) = match index {
            0 => ("", class(0)),
            TIMEOUT => ("timeout", ""),
            _ if index < CLASSES => (class(index), class(index)),
            _ => (REASONS[index - CLASSES].as_str(), ""),
        };
        ([("error_type", error), ("http_response_status_code", status)], seconds.snapshot())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_of_error_that_is_shown_can_occur() {
        let labels: Vec<_> = requests().map(|(labels, _)| labels.map(|(_, value)| value)).collect();
        let expected = [
            ["", "2xx"],
            ["3xx", "3xx"],
            ["4xx", "4xx"],
            ["5xx", "5xx"],
            ["other", "other"],
            ["dns", ""],
            ["egress-refused", ""],
            ["connect", ""],
            ["tls", ""],
            ["protocol", ""],
            ["timeout", ""],
        ];
        assert_eq!(labels, expected);
        let series = |kind| series_of(&Outcome::Unreachable { kind, message: String::new() });
        for (kind, error) in REASONS.into_iter().zip(&expected[CLASSES..]) {
            assert_eq!(series(kind).map(|series| labels[series]), Some(*error));
        }
        for of_attempt in [UnreachableKind::Preflight, UnreachableKind::Token] {
            assert_eq!(series(of_attempt), None, "its request counts by itself");
        }
    }
}
