//! Decides what to do about an outcome. A pure function.

use std::time::Duration;

use crate::domain::{Outcome, Response, RetrySchedule, Trigger, UnixMillis};

/// What to do about an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The receiver accepted the delivery.
    Succeeded,
    /// Attempt the delivery again at this time.
    RetryAt(UnixMillis),
    /// The delivery failed, and no attempt is left.
    Exhausted {
        /// The receiver is permanently gone: disable the hook.
        gone: bool,
    },
    /// The pipeline dropped the event.
    Dropped,
}

/// The longest wait that `Retry-After` can ask for, so that a receiver's mistake does not delay a delivery for ever.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How much longer than scheduled a wait may be, in percent, so that deliveries that failed together are not retried together.
const JITTER_PERCENT: f64 = 20.0;

/// Decides what to do about `outcome`.
///
/// `failures` is the number of failures, including this one if it is one. `jitter` is a random number from 0 to 1. A plugin's
/// fault is retried like a receiver's failure, even if the plugin calls it final: while the delivery waits, a new version of
/// the plugin can be uploaded, or the hook changed. A test is attempted once.
#[must_use]
pub fn decide(
    outcome: &Outcome,
    failures: u32,
    schedule: &RetrySchedule,
    trigger: Trigger,
    now: UnixMillis,
    jitter: f64,
) -> Decision {
    let response = match outcome {
        Outcome::Dropped { .. } => return Decision::Dropped,
        Outcome::Response(response) if response.is_success() => return Decision::Succeeded,
        Outcome::Response(response) => Some(response),
        Outcome::TimedOut { .. } | Outcome::Unreachable { .. } | Outcome::Faulted { .. } => None,
    };
    // Standard Webhooks, "Delivery": 410 means that the receiver wants no more requests.
    if response.is_some_and(|response| response.status == 410) {
        return Decision::Exhausted { gone: true };
    }
    let wait = match schedule.wait_after(failures) {
        Some(wait) if trigger != Trigger::Test => wait,
        _ => return Decision::Exhausted { gone: false },
    };
    let jittered = wait.mul_f64(1.0 + jitter.clamp(0.0, 1.0) * JITTER_PERCENT / 100.0);
    let asked_for = response.and_then(|response| retry_after(response, now)).unwrap_or_default();
    Decision::RetryAt(now.plus(jittered.max(asked_for)))
}

/// The wait that `Retry-After` asks for, in seconds or as a date (RFC 9110, section 10.2.3), at most 24 hours.
#[must_use]
pub fn retry_after(response: &Response, now: UnixMillis) -> Option<Duration> {
    let value = response.header("retry-after")?.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = httpdate::parse_http_date(value).ok()?;
            let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
            since_epoch.saturating_sub(Duration::from_millis(u64::try_from(now.0).ok()?))
        }
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::attempt::UnreachableKind;
    use crate::domain::{Fault, FaultKind};

    const NOW: UnixMillis = UnixMillis(784_111_777_000); // Sun, 06 Nov 1994 08:49:37 GMT

    fn answered(status: u16, headers: &[(&str, &str)]) -> Outcome {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Outcome::Response(Response {
            status,
            headers,
            body: Vec::new(),
            body_truncated: false,
            body_failure: None,
        })
    }

    fn at(seconds: i64) -> Decision {
        Decision::RetryAt(UnixMillis(NOW.0 + seconds * 1000))
    }

    #[test]
    fn each_outcome_has_its_decision() {
        let exhausted = Decision::Exhausted { gone: false };
        let unreachable = Outcome::Unreachable { kind: UnreachableKind::Dns, message: String::new() };
        let faulted = Outcome::Faulted { step: 0, fault: Fault::new(FaultKind::Trap, "") };
        let mut final_fault = Fault::new(FaultKind::Failure, "");
        final_fault.retryable = false;
        let final_failure = Outcome::Faulted { step: 0, fault: final_fault };
        let timed_out = Outcome::TimedOut { after: Duration::from_secs(1) };
        let cases = [
            ("200", answered(200, &[]), 1, Decision::Succeeded),
            ("204", answered(204, &[]), 1, Decision::Succeeded),
            ("299 after failures", answered(299, &[]), 3, Decision::Succeeded),
            ("a redirect is a failure", answered(302, &[("location", "https://example.com")]), 1, at(10)),
            ("400", answered(400, &[]), 1, at(10)),
            ("500, second failure", answered(500, &[]), 2, at(60)),
            ("500, last failure", answered(500, &[]), 3, exhausted),
            ("410", answered(410, &[]), 1, Decision::Exhausted { gone: true }),
            ("dropped", Outcome::Dropped { step: 0 }, 1, Decision::Dropped),
            ("unreachable", unreachable, 1, at(10)),
            ("timed out", timed_out, 1, at(10)),
            ("faulted", faulted, 1, at(10)),
            ("a failure that the plugin calls final", final_failure, 1, at(10)),
            ("retry-after in seconds", answered(429, &[("Retry-After", "120")]), 1, at(120)),
            ("retry-after shorter than the schedule", answered(429, &[("Retry-After", "1")]), 1, at(10)),
            (
                "retry-after as a date",
                answered(503, &[("retry-after", "Sun, 06 Nov 1994 08:51:37 GMT")]),
                1,
                at(120),
            ),
            (
                "retry-after in the past",
                answered(503, &[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT")]),
                1,
                at(10),
            ),
            ("retry-after without end", answered(503, &[("retry-after", "99999999999")]), 1, at(86_400)),
            ("retry-after that is none", answered(503, &[("retry-after", "soon")]), 1, at(10)),
            ("retry-after after the last", answered(503, &[("retry-after", "5")]), 3, exhausted),
        ];
        let schedule = RetrySchedule::new([10, 60].map(Duration::from_secs).to_vec()).unwrap();
        for (name, outcome, failures, expected) in cases {
            assert_eq!(decide(&outcome, failures, &schedule, Trigger::Event, NOW, 0.0), expected, "{name}");
        }
    }

    #[test]
    fn jitter_only_lengthens_by_at_most_a_fifth() {
        let schedule = RetrySchedule::new(vec![Duration::from_secs(100)]).unwrap();
        for (jitter, seconds) in [(0.0, 100), (0.5, 110), (1.0, 120), (7.0, 120), (-1.0, 100)] {
            let decision = decide(&answered(500, &[]), 1, &schedule, Trigger::Event, NOW, jitter);
            assert_eq!(decision, at(seconds), "{jitter}");
        }
    }

    #[test]
    fn a_test_is_attempted_once() {
        let decision = decide(&answered(500, &[]), 1, &RetrySchedule::default(), Trigger::Test, NOW, 0.0);
        assert_eq!(decision, Decision::Exhausted { gone: false });
    }
}
