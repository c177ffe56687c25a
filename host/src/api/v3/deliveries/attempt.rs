//! The view of an attempt: the request, the response and the run of the plugins.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::api::v3::report::{BodyView, FaultView, Headers, StepView};
use crate::domain::kept_body::KeptBody;
use crate::domain::{Attempt, BatchPlace, Outcome, Response, SentRequest};

/// One attempt of a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(in crate::api::v3) struct AttemptView {
    #[schema(value_type = schemas::AttemptId)]
    id: String,
    /// The number of the attempt within its delivery, counted from 1.
    number: u32,
    started_at: Time,
    /// The duration of the plugins and of the request, in milliseconds. It excludes the time for compiling
    /// plugins and waiting for a thread.
    duration_ms: u64,
    /// `response`, `timed-out`, `unreachable`, `faulted` or `dropped`.
    #[schema(value_type = schemas::Outcome)]
    outcome: &'static str,
    /// The request; null if none was sent.
    request: Option<SentRequestView>,
    /// The receiver's response; null if there was none.
    response: Option<ResponseView>,
    /// Why there was no response, for `timed-out` and `unreachable`. For `response`, why the body is
    /// incomplete; the status is valid all the same. Null otherwise.
    error: Option<ErrorView>,
    /// The index of the step that failed or dropped the event, counted from 0; null if none did.
    step: Option<usize>,
    /// How that step failed; null if it did not fail.
    fault: Option<FaultView>,
    /// The steps that ran; empty if the request of an earlier attempt was sent again.
    steps: Vec<StepView>,
    /// Whether long texts of this record were omitted, or truncated, which `…` at their end shows. The engine
    /// stores at most 64 KiB of each of a delivery's first four attempts, 16 KiB of each of the next twelve,
    /// and 2 KiB of each later one.
    truncated: bool,
}

/// A request as it was sent, with secrets masked. Masked are the values of: headers and query parameters
/// whose name indicates a secret (`authorization`, `cookie`, `x-api-key`, …), the hook's `headers`, its
/// `masked_headers`, and the headers in the engine's setting `masked_headers`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentRequest)]
pub(in crate::api::v3) struct SentRequestView {
    /// The HTTP method.
    method: String,
    /// The absolute URL.
    url: String,
    /// The headers by name.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    /// The size of the body, in bytes.
    body_bytes: u64,
    /// Until when `GET /deliveries/{id}/attempts/{attempt}/body` returns the body; absent if it is not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = Time)]
    body_kept_until: Option<Time>,
    /// Where in the body the event is, if the hook has a `batch`; absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = BatchPlaceView)]
    batch: Option<BatchPlaceView>,
}

/// The place of an event in a request with several.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BatchPlace)]
pub(super) struct BatchPlaceView {
    /// How many events the request has.
    events: u32,
    /// Which one of them it is, counted from 1.
    position: u32,
}

/// The body of an attempt's request, as it was sent; of a request with several events, the delivery's own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SentBody)]
pub(super) struct SentBodyView {
    #[serde(flatten)]
    body: BodyView,
    /// Whether the body was longer than the part shown, 64 KiB.
    body_truncated: bool,
}

impl SentBodyView {
    /// `part` is what is kept of the body of `request`.
    pub(super) fn of(part: &[u8], request: &SentRequest) -> Self {
        let body_truncated = match request.batch {
            // The event's own part, whose length is not known.
            Some(_) => part.len() >= KeptBody::MAX_LEN,
            None => (part.len() as u64) < request.body_bytes,
        };
        let body = match (body_truncated, part.is_empty()) {
            (true, _) => BodyView::of_cut(part),
            (false, false) => BodyView::of(part),
            (false, true) => BodyView::none(),
        };
        Self { body, body_truncated }
    }
}

/// A receiver's response. The values of headers whose name indicates a secret are masked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Response)]
pub(super) struct ResponseView {
    /// The HTTP status.
    #[schema(example = 200)]
    status: u16,
    /// The headers by name.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    headers: Headers,
    #[serde(flatten)]
    body: BodyView,
    /// Whether the body was longer than the part shown, at most 16 KiB.
    body_truncated: bool,
}

/// Why there was no response, or an incomplete one.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeliveryError)]
pub(super) struct ErrorView {
    /// `timeout`, `dns`, `egress-refused`, `connect`, `tls`, `protocol`, `preflight` or `token`.
    #[schema(value_type = schemas::ErrorKind)]
    kind: &'static str,
    /// What failed, for people.
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

/// An outcome, converted to the members that show it.
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
        let none = Self { outcome: outcome.as_str(), ..Self::default() };
        match outcome {
            Outcome::Response(response) => {
                let error = response.body_failure.as_ref().map(|failure| ErrorView {
                    kind: failure.kind.as_str(),
                    message: failure.message.clone(),
                });
                Self { response: Some(response.into()), error, ..none }
            }
            Outcome::TimedOut { .. } => {
                let message = outcome.failure().unwrap_or_default().into_owned();
                Self { error: Some(ErrorView { kind: "timeout", message }), ..none }
            }
            Outcome::Unreachable { kind, message } => {
                let error = ErrorView { kind: kind.as_str(), message: message.clone() };
                Self { error: Some(error), ..none }
            }
            Outcome::Faulted { step, fault } => Self { step: Some(*step), fault: Some(fault.into()), ..none },
            Outcome::Dropped { step } => Self { step: Some(*step), ..none },
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
            body_kept_until: request.body_kept_until.map(Time),
            batch: request.batch.map(|BatchPlace { events, position }| BatchPlaceView { events, position }),
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
