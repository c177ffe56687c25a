//! Deliveries and their attempts.

use std::time::Duration;

use super::counter::Counters;
use super::histogram::Histogram;
use super::label::Label as _;
use crate::domain::Outcome;
use crate::domain::hook_stats::AttemptEnd;

/// The classes of statuses, in the order of [`class_of`].
pub const STATUS_CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// What is neither.
pub const OTHER_CLASS: &str = "other";
/// How many kinds of attempts are told apart: those with a response by its class, all others by how they ended.
const KINDS: usize = STATUS_CLASSES.len() + 1 + AttemptEnd::ALL.len();

/// Attempts that ended, by kind.
static ATTEMPTS: Counters<KINDS> = Counters::new();
/// Deliveries that reached a final state, by [`DeliveryState`](crate::domain::DeliveryState).
pub static FINISHED: Counters<7> = Counters::new();
/// From the acceptance of an event to the moment when its first request to a hook is sent.
pub static ACCEPTANCE_TO_ARRIVAL: Histogram<13> = Histogram::of_durations(&[
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
]);

/// The index of a status's class.
#[must_use]
pub fn class_of(status: u16) -> usize {
    match status {
        200..=599 => usize::from(status / 100) - 2,
        _ => STATUS_CLASSES.len(),
    }
}

/// Counts an attempt that ended.
pub fn attempt_ended(outcome: &Outcome) {
    let kind = match outcome {
        Outcome::Response(response) => class_of(response.status),
        other => STATUS_CLASSES.len() + 1 + AttemptEnd::of(other).index(),
    };
    ATTEMPTS.at(kind).increment();
}

/// How many attempts ended, by outcome and class of status. Only what can occur.
pub fn attempts() -> impl Iterator<Item = ([(&'static str, &'static str); 2], u64)> {
    let counted = ATTEMPTS.all();
    let label = |end: AttemptEnd, class| [("outcome", end.as_str()), ("status_class", class)];
    let classes = STATUS_CLASSES.into_iter().chain([OTHER_CLASS]).enumerate().map(move |(index, class)| {
        let end = if index == 0 { AttemptEnd::Succeeded } else { AttemptEnd::Rejected };
        (label(end, class), counted[index])
    });
    let without_response = AttemptEnd::ALL.into_iter().filter(|end| {
        // They have a response.
        !matches!(end, AttemptEnd::Succeeded | AttemptEnd::Rejected)
    });
    let first = STATUS_CLASSES.len() + 1;
    classes.chain(without_response.map(move |end| (label(end, ""), counted[first + end.index()])))
}

/// Counts a request that was sent so long after its event was accepted.
pub fn arrived(after: Duration) {
    ACCEPTANCE_TO_ARRIVAL.observe(after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_classes() {
        for (status, class) in [(200, 0), (299, 0), (302, 1), (404, 2), (599, 3), (600, 4), (101, 4), (0, 4)]
        {
            assert_eq!(class_of(status), class, "{status}");
        }
    }

    #[test]
    fn each_kind_of_attempt_occurs_once() {
        let labels: Vec<_> = attempts().map(|(labels, _)| labels.map(|(_, value)| value)).collect();
        let expected = [
            ["succeeded", "2xx"],
            ["rejected", "3xx"],
            ["rejected", "4xx"],
            ["rejected", "5xx"],
            ["rejected", "other"],
            ["timed_out", ""],
            ["unreachable", ""],
            ["faulted", ""],
            ["dropped", ""],
        ];
        assert_eq!(labels, expected);
    }
}
