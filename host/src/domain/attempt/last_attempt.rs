//! The last attempt of a delivery, in short.

use super::Outcome;

/// What a list tells of a delivery's last attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAttempt {
    /// Its number within the delivery, from 1.
    pub number: u32,
    /// The name of its outcome.
    pub outcome: &'static str,
    /// The status of the response, if there was one.
    pub status: Option<u16>,
    /// The beginning of [`Outcome::failure`].
    pub error: Option<String>,
}

impl LastAttempt {
    /// The maximum size of `error`, in bytes.
    pub const MAX_ERROR_LEN: usize = 200;

    /// An attempt that got no response.
    #[must_use]
    pub fn without_response(number: u32, outcome: &Outcome) -> Self {
        let error = outcome.failure().map(|text| shortened(&text));
        Self { number, outcome: outcome.as_str(), status: None, error }
    }
}

fn shortened(text: &str) -> String {
    const CUT: char = '…';
    if text.len() <= LastAttempt::MAX_ERROR_LEN {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(LastAttempt::MAX_ERROR_LEN - CUT.len_utf8());
    format!("{}{CUT}", &text[..end])
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::attempt::{Fault, FaultKind, UnreachableKind};

    #[test]
    fn an_attempt_without_a_response_says_why() {
        let faulted =
            |message: &str| Outcome::Faulted { step: 1, fault: Fault::new(FaultKind::Trap, message) };
        let unreachable =
            Outcome::Unreachable { kind: UnreachableKind::Dns, message: "no such host".to_owned() };
        let timed_out = Outcome::TimedOut { after: Duration::from_millis(20_000) };
        for (outcome, name, error) in [
            (timed_out, "timed-out", Some("no complete response within 20000 ms".to_owned())),
            (unreachable, "unreachable", Some("no such host".to_owned())),
            (faulted("line 3"), "faulted", Some("line 3".to_owned())),
            (faulted(&"a".repeat(200)), "faulted", Some("a".repeat(200))),
            (faulted(&"a".repeat(201)), "faulted", Some(format!("{}…", "a".repeat(197)))),
            // 98 letters of two bytes each leave one byte before the mark, in which no letter fits.
            (faulted(&"ü".repeat(101)), "faulted", Some(format!("{}…", "ü".repeat(98)))),
            (Outcome::Dropped { step: 0 }, "dropped", None),
        ] {
            let last = LastAttempt::without_response(7, &outcome);
            assert_eq!(last, LastAttempt { number: 7, outcome: name, status: None, error });
        }
    }
}
