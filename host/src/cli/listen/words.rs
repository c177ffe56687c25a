//! Says in words what happened.

use super::line::Tone;
use super::update::Outcome;
use super::wire::Attempt;
use crate::domain::DeliveryState;

/// How a state is meant.
pub(super) fn tone_of_state(state: &str) -> Tone {
    match state.parse() {
        Ok(DeliveryState::Succeeded) => Tone::Good,
        Ok(DeliveryState::Exhausted) => Tone::Bad,
        Ok(DeliveryState::Waiting | DeliveryState::Dropped) => Tone::Muted,
        _ => Tone::Faint,
    }
}

/// How a status is meant.
pub(super) fn tone_of_status(status: u16) -> Tone {
    if (200..300).contains(&status) { Tone::Good } else { Tone::Bad }
}

/// What a state means, as a sentence.
pub(super) fn state(state: &str, next_attempt_at: Option<&str>) -> String {
    let next = |before: &str| match next_attempt_at {
        Some(at) => format!("{before} at {at}"),
        None => format!("{before} when it is its time"),
    };
    match state.parse() {
        Ok(DeliveryState::Pending) => next("it is attempted"),
        Ok(DeliveryState::Delivering) => "an attempt is in progress".to_owned(),
        Ok(DeliveryState::Waiting) => next("the last attempt failed; the next one is"),
        Ok(DeliveryState::Succeeded) => "the receiver has it".to_owned(),
        Ok(DeliveryState::Exhausted) => "all attempts failed; there is no other".to_owned(),
        Ok(DeliveryState::Dropped) => "a plugin dropped it: nothing is sent".to_owned(),
        Ok(DeliveryState::Cancelled) => "it was cancelled".to_owned(),
        Err(_) => String::new(),
    }
}

/// What came of an attempt.
pub(super) fn attempt(attempt: &Attempt) -> String {
    let time = duration(attempt.duration_ms);
    let step = attempt.step.map(|step| format!(" at step {}", step + 1)).unwrap_or_default();
    let error = attempt.error.as_deref().unwrap_or("no response");
    match (attempt.outcome.as_str(), attempt.status) {
        (_, Some(status)) => format!("{status} in {time}"),
        ("dropped", _) => format!("dropped{step} in {time}"),
        ("faulted", _) => {
            let fault = attempt.fault.as_ref();
            let fault = fault.map(|fault| format!(": {}: {}", fault.kind, fault.message)).unwrap_or_default();
            format!("a plugin failed{step}{fault}")
        }
        _ => format!("{error}, after {time}"),
    }
}

/// What came of an attempt, in one word.
pub(super) fn status(attempt: &Attempt) -> String {
    match (attempt.outcome.as_str(), attempt.status) {
        (_, Some(status)) => status.to_string(),
        ("timed-out", _) => "timeout".to_owned(),
        ("unreachable", _) => "no reply".to_owned(),
        ("faulted", _) => "fault".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// What came of forwarding, in short.
pub(super) fn forwarded(outcome: &Outcome) -> (String, Tone) {
    match outcome {
        Outcome::Response { status, duration_ms, .. } => {
            (format!("{status} {}", duration(*duration_ms)), tone_of_status(*status))
        }
        Outcome::Dropped => ("dropped".to_owned(), Tone::Muted),
        Outcome::Faulted(_) => ("plugin failed".to_owned(), Tone::Bad),
        Outcome::Failed(_) => ("failed".to_owned(), Tone::Bad),
    }
}

/// What came of forwarding, with all that is known.
pub(super) fn forwarded_fully(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Response { status, duration_ms, body } if body.trim().is_empty() => {
            format!("{status} in {}", duration(*duration_ms))
        }
        Outcome::Response { status, duration_ms, body } => {
            format!("{status} in {}: {}", duration(*duration_ms), body.trim())
        }
        Outcome::Dropped => "a plugin dropped it: nothing is sent".to_owned(),
        Outcome::Faulted(why) => format!("not sent, a plugin failed: {why}"),
        Outcome::Failed(why) => format!("failed: {why}"),
    }
}

/// A duration for people.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..10_000 => format!("{milliseconds} ms"),
        _ => format!("{} s", milliseconds / 1_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::listen::samples;

    #[test]
    fn attempts_are_told_in_words() {
        let of = |outcome: &str, error: Option<&str>| Attempt {
            outcome: outcome.to_owned(),
            status: None,
            error: error.map(str::to_owned),
            step: (outcome == "dropped").then_some(0),
            ..samples::attempt(0)
        };
        for (told, words, word) in [
            (samples::attempt(503), "503 in 12 ms", "503"),
            (
                of("timed-out", Some("no complete response within 5 ms")),
                "no complete response within 5 ms, after 12 ms",
                "timeout",
            ),
            (of("unreachable", Some("connection refused")), "connection refused, after 12 ms", "no reply"),
            (of("dropped", None), "dropped at step 1 in 12 ms", "dropped"),
            (samples::faulted(), "a plugin failed at step 2: trap: division by zero", "fault"),
        ] {
            assert_eq!((attempt(&told).as_str(), status(&told).as_str()), (words, word));
        }
    }

    #[test]
    fn every_state_has_words() {
        for known in DeliveryState::ALL {
            assert!(!state(known.as_str(), None).is_empty(), "{}", known.as_str());
        }
        assert_eq!(state("waiting", Some("10:00")), "the last attempt failed; the next one is at 10:00");
    }

    #[test]
    fn the_result_of_forwarding_is_told_in_words() {
        let response =
            |body: &str| Outcome::Response { status: 200, duration_ms: 12_345, body: body.to_owned() };
        for (outcome, short, full) in [
            (response(" ok "), "200 12 s", "200 in 12 s: ok"),
            (response(""), "200 12 s", "200 in 12 s"),
            (Outcome::Dropped, "dropped", "a plugin dropped it: nothing is sent"),
            (Outcome::Failed("x".to_owned()), "failed", "failed: x"),
        ] {
            assert_eq!((forwarded(&outcome).0.as_str(), forwarded_fully(&outcome).as_str()), (short, full));
        }
    }
}
