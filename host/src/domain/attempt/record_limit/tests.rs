use std::time::Duration;

use super::*;
use crate::domain::attempt::{BodyFailure, BodyFailureKind, LogLevel, LogLine, UnreachableKind};
use crate::domain::{AttemptId, DeliveryId, FaultKind, RetrySchedule, StepOutput, UnixMillis};

fn attempt(number: u32, text: &str, outcome: Outcome) -> Attempt {
    let headers: HeaderList = (0..50).map(|_| (text[..64].into(), text[..2_048].into())).collect();
    let line = || LogLine { level: LogLevel::Info, message: text[..4_096].to_owned() };
    let step = StepReport {
        plugin: "a-plugin@1".parse().unwrap(),
        resolved: None,
        roles: Vec::new(),
        fuel: u64::MAX,
        fuel_granted: u64::MAX,
        duration: Duration::MAX,
        memory_bytes: u64::MAX,
        output: StepOutput::default(),
        logs: (0..8).map(|_| line()).collect(),
        fault: Some(fault(text)),
    };
    Attempt {
        id: AttemptId(1),
        delivery: DeliveryId(1),
        number,
        started_at: UnixMillis(0),
        duration: Duration::MAX,
        steps: vec![step; 16],
        request: Some(SentRequest {
            method: "POST".into(),
            url: text.to_owned(),
            headers,
            body_bytes: 1,
            body_kept_until: None,
            batch: None,
        }),
        outcome,
        cut: false,
    }
}

fn fault(text: &str) -> Fault {
    let backtrace = vec![text[..200].to_owned(); 32];
    let message = text[..4_096].to_owned();
    Fault { backtrace, code: Some(text[..64].to_owned()), ..Fault::new(FaultKind::Failure, message) }
}

fn outcomes(text: &str) -> [Outcome; 3] {
    let failure = BodyFailure { kind: BodyFailureKind::Protocol, message: text[..9_000].to_owned() };
    [
        Outcome::Response(Response {
            status: 200,
            headers: (0..90).map(|_| (text[..64].into(), text[..700].into())).collect(),
            body: text.as_bytes()[..Response::MAX_RECORDED_BODY].to_vec(),
            body_truncated: false,
            body_failure: Some(failure),
        }),
        Outcome::Unreachable { kind: UnreachableKind::Tls, message: text.to_owned() },
        Outcome::Faulted { step: 3, fault: fault(text) },
    ]
}

/// Approximate size of the stored record: the JSON of its texts.
fn stored(attempt: &Attempt) -> usize {
    let request = attempt.request.as_ref().unwrap();
    let json = |value: &str| serde_json::to_string(value).unwrap().len();
    let of_headers = |headers: &HeaderList| -> usize {
        headers.iter().map(|(name, value)| json(name) + json(value) + 4).sum()
    };
    let of_fault = |fault: &Fault| -> usize {
        json(&fault.message)
            + fault.code.as_deref().map_or(0, json)
            + fault.backtrace.iter().map(|frame| json(frame) + 1).sum::<usize>()
    };
    let of_step = |step: &StepReport| -> usize {
        let logs: usize = step.logs.iter().map(|line| json(&line.message) + 12).sum();
        300 + logs + step.fault.as_ref().map_or(0, of_fault)
    };
    let outcome = match &attempt.outcome {
        Outcome::Response(response) => {
            let failure = response.body_failure.as_ref().map_or(0, |failure| json(&failure.message));
            response.body.len() + of_headers(&response.headers) + failure
        }
        Outcome::Unreachable { message, .. } => json(message),
        Outcome::Faulted { fault, .. } => of_fault(fault),
        Outcome::TimedOut { .. } | Outcome::Dropped { .. } => 0,
    };
    let steps: usize = attempt.steps.iter().map(of_step).sum();
    outcome + json(&request.url) + of_headers(&request.headers) + steps
}

#[test]
fn a_record_never_exceeds_its_limit() {
    for text in ["a", "\u{1}", "\"", "a\n"].map(|part| part.repeat(66_000)) {
        for number in [1, 5, 17, 300] {
            for outcome in outcomes(&text) {
                let mut attempt = attempt(number, &text, outcome);
                attempt.cut();
                assert!(attempt.cut);
                let (most, stored) = (Attempt::max_record_bytes(number), stored(&attempt));
                assert!(stored <= most, "{number} {stored} {most} {text:.10?}");
                assert!(stored > most / 4, "{number} {stored} {most}");
                let again = format!("{attempt:?}");
                attempt.cut();
                assert_eq!(format!("{attempt:?}"), again);
            }
        }
    }
}

#[test]
fn a_text_is_cut_at_a_character_boundary_and_marked() {
    for (text, room, expected) in [
        ("abc", 3, "abc"),
        ("abcd", 3, "…"),
        ("abcdef", 5, "ab…"),
        ("ab\ncd", 5, "ab…"),
        ("äöü", 5, "ä…"),
        ("", 0, ""),
        ("a", 0, "…"),
    ] {
        let mut cut = text.to_owned();
        assert_eq!(Budget(room).take(&mut cut), text != expected);
        assert_eq!(cut, expected);
    }
}

#[test]
fn short_texts_are_not_changed() {
    let outcome = Outcome::Unreachable { kind: UnreachableKind::Dns, message: "no such name".to_owned() };
    let mut attempt = attempt(1, &"a".repeat(66_000), outcome);
    attempt.steps.truncate(1);
    attempt.steps[0].logs.truncate(1);
    attempt.steps[0].fault = None;
    let request = attempt.request.as_mut().unwrap();
    request.url.truncate(2_048);
    request.headers.truncate(5);
    let before = format!("{attempt:?}");
    attempt.cut();
    assert_eq!(format!("{attempt:?}"), before);
}

#[test]
fn all_records_of_a_delivery_have_at_most_one_mebibyte() {
    let max_attempts =
        RetrySchedule::MAX_ATTEMPTS_FOR_MANUAL_RETRY + u32::try_from(RetrySchedule::MAX_RETRIES).unwrap();
    let bytes: usize = (1..=max_attempts).map(Attempt::max_record_bytes).sum();
    assert!(bytes <= 1 << 20, "{bytes}");
}
