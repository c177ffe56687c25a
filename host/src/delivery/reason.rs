//! What an outcome means, for people.

use crate::domain::Outcome;

/// Why an attempt failed, in words.
pub(super) fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Response(response) => format!("the receiver answered with status {}", response.status),
        Outcome::TimedOut { after } => format!("no response within {} ms", after.as_millis()),
        Outcome::Unreachable { message, .. } => format!("the receiver cannot be reached: {message}"),
        Outcome::Faulted { step, fault } => format!("the plugin of step {step} failed: {}", fault.message),
        Outcome::Dropped { .. } => "a plugin dropped the event".to_owned(),
    }
}
