//! An attempt as answers show it: what was sent, what came back, what the plugins said.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::v3::report::{BodyView, FaultView, Headers, StepView};
use crate::domain::{Attempt, Outcome, Response, SentRequest};

/// One try to bring a delivery to its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptView {
    #[schema(value_type = schemas::AttemptId)]
    id: String,
    /// Counts from 1.
    number: u32,
    started_at: Time,
    /// What the plugins and the receiver took, without the time in which plugins were compiled or waited for their turn.
    duration_ms: u64,
    /// `response`, `timed-out`, `unreachable`, `faulted` or `dropped`.
    #[schema(value_type = schemas::Outcome)]
    outcome: &'static str,
    /// What was sent; null if it did not come to that.
    request: Option<SentRequestView>,
    /// What the receiver answered.
    response: Option<ResponseView>,
    /// Why there was no answer, for `timed-out` and `unreachable`; for `response`, why its body never came to its end, if
    /// it did not: the status stands all the same.
    error: Option<ErrorView>,
    /// The index of the step that failed or dropped, counted from 0.
    step: Option<usize>,
    /// How that step failed.
    fault: Option<FaultView>,
    /// The plugins that ran; empty where an earlier attempt's request was sent again.
    steps: Vec<StepView>,
    /// Whether long texts of this record were cut, which then end in `…`, or left out. What is kept of an attempt is limited:
    /// 64 KiB of each of the first four of a delivery, 16 KiB of each of the next twelve, 2 KiB of later ones.
    truncated: bool,
}

/// A request as it was sent. Values are masked of headers and of the URL's parameters that carry secrets by their name
/// (`authorization`, `cookie`, `x-api-key`, …), of the hook's own `headers`, of its `masked_headers`, and of those that the operator
/// names.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentRequest)]
pub(super) struct SentRequestView {
    method: String,
    url: String,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    body_bytes: u64,
}

/// A receiver's answer. The values of headers that carry secrets by their name are masked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Response)]
pub(super) struct ResponseView {
    #[schema(example = 200)]
    status: u16,
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    #[serde(flatten)]
    body: BodyView,
    /// Whether the body went on after what is shown: at most its first 16 KiB.
    body_truncated: bool,
}

/// Why there was no answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryError)]
pub(super) struct ErrorView {
    /// `timeout`, `dns`, `egress-refused`, `connect`, `tls`, `protocol` or `preflight`.
    #[schema(value_type = schemas::ErrorKind)]
    kind: &'static str,
    message: String,
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        let shown = Shown::from(&attempt.outcome);
        Self {
            id: attempt.id.to_string(),
            number: attempt.number,
            started_at: Time(attempt.started_at),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: shown.outcome,
            request: attempt.request.as_ref().map(SentRequestView::from),
            response: shown.response,
            error: shown.error,
            step: shown.step,
            fault: shown.fault,
            steps: attempt.steps.iter().map(StepView::from).collect(),
            truncated: attempt.cut,
        }
    }
}

/// An outcome, spread over the members that show it.
#[derive(Default)]
struct Shown {
    outcome: &'static str,
    response: Option<ResponseView>,
    error: Option<ErrorView>,
    step: Option<usize>,
    fault: Option<FaultView>,
}

impl From<&Outcome> for Shown {
    fn from(outcome: &Outcome) -> Self {
        let none = Self::default();
        match outcome {
            Outcome::Response(response) => {
                let error = response.body_failure.as_ref().map(|failure| ErrorView {
                    kind: failure.kind.as_str(),
                    message: failure.message.clone(),
                });
                Self { outcome: "response", response: Some(response.into()), error, ..none }
            }
            Outcome::TimedOut { after } => {
                let message = format!("no complete answer within {} ms", after.as_millis());
                Self { outcome: "timed-out", error: Some(ErrorView { kind: "timeout", message }), ..none }
            }
            Outcome::Unreachable { kind, message } => {
                let error = ErrorView { kind: kind.as_str(), message: message.clone() };
                Self { outcome: "unreachable", error: Some(error), ..none }
            }
            Outcome::Faulted { step, fault } => {
                Self { outcome: "faulted", step: Some(*step), fault: Some(fault.into()), ..none }
            }
            Outcome::Dropped { step } => Self { outcome: "dropped", step: Some(*step), ..none },
        }
    }
}

impl From<&SentRequest> for SentRequestView {
    fn from(request: &SentRequest) -> Self {
        Self {
            method: request.method.to_string(),
            url: request.url.clone(),
            headers: Headers::new(&request.headers).without_secrets(),
            body_bytes: request.body_bytes,
        }
    }
}

impl From<&Response> for ResponseView {
    fn from(response: &Response) -> Self {
        let body = &response.body;
        Self {
            status: response.status,
            headers: Headers::new(&response.headers).without_secrets(),
            body: if response.body_truncated { BodyView::of_cut(body) } else { BodyView::of(body) },
            body_truncated: response.body_truncated,
        }
    }
}
