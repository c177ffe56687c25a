//! The preflight request: some receivers require a token that must be requested first.
//!
//! A hook's preflight is a pipeline of its own, whose request is sent before each attempt's. Its response must have the
//! status 200. The hook's pipeline then gets the response as an attribute of the event. What the response grants expires, so
//! each attempt sends a new preflight request, and the attempt's request is not stored for a retry.

use std::time::Duration;

use serde::Serialize;

use super::attempt::{MadeAttempt, NotMade};
use super::client::{DeliveryClient, OwnFailure};
use super::pipelines::Pipelines;
use super::request;
use super::work::Work;
use crate::clock;
use crate::domain::attempt::UnreachableKind;
use crate::domain::{Header, Hook, Outcome, Request, Response, StepReport, Verdict};
use crate::sandbox::{PipelineEnd, PipelineRun};

/// The only status with which the attempt goes on.
const EXPECTED_STATUS: u16 = 200;

/// What came of a hook's preflight.
pub(super) enum Preflight {
    /// The hook's pipeline may run.
    Go {
        /// The plugins that ran; none if the hook has no preflight.
        steps: Vec<StepReport>,
        /// The receiver's response, as plugins get it.
        response: Option<String>,
        /// What is left of the hook's timeout, which covers both requests.
        left: Duration,
    },
    /// The attempt ends here.
    End(Box<MadeAttempt>),
}

/// A response as plugins get it, in the attribute `preflight`.
#[derive(Serialize)]
struct ShownResponse<'a> {
    status: u16,
    headers: &'a [Header],
    body: std::borrow::Cow<'a, str>,
}

/// Sends the hook's preflight request, if it has a preflight and `check_due` allows a request after its plugins have run.
///
/// # Errors
/// Fails if no attempt is made.
pub(super) async fn send_preflight(
    pipelines: &Pipelines,
    client: &DeliveryClient,
    hook: &Hook,
    work: &Work,
    check_due: impl Fn() -> Result<(), NotMade>,
) -> Result<Preflight, NotMade> {
    if hook.preflight.is_empty() {
        return Ok(Preflight::Go { steps: Vec::new(), response: None, left: hook.timeout });
    }
    let PipelineRun { steps, end } = pipelines.run_preflight(hook, &work.event, work.trigger).await?;
    // The timeout starts here: receivers are not responsible for the time that plugins take.
    let started_at = clock::monotonic();
    let response = match end {
        PipelineEnd::Fault { step, fault } => Err(Outcome::Faulted { step, fault }),
        PipelineEnd::Verdict(Verdict::Drop { step }) => Err(Outcome::Dropped { step }),
        PipelineEnd::Verdict(Verdict::Keep(request)) => {
            check_due()?;
            exchange(client, hook, request).await?
        }
    };
    let sending = clock::elapsed(started_at);
    let left = hook.timeout.saturating_sub(sending);
    Ok(match response {
        Ok(_) if left.is_zero() => {
            let timed_out = Outcome::TimedOut { after: hook.timeout };
            Preflight::End(Box::new(MadeAttempt::unsent(steps, timed_out).after(sending)))
        }
        Ok(response) => Preflight::Go { steps, response: Some(response), left },
        Err(outcome) => Preflight::End(Box::new(MadeAttempt::unsent(steps, outcome).after(sending))),
    })
}

/// Sends the preflight request. Returns the response as plugins get it, or the outcome of the attempt.
///
/// # Errors
/// Fails if the engine itself failed.
async fn exchange(
    client: &DeliveryClient,
    hook: &Hook,
    request: Request,
) -> Result<Result<String, Outcome>, OwnFailure> {
    let last_step = hook.preflight.0.len() - 1;
    // Neither signed nor authorized: it goes elsewhere than the hook's own requests.
    let built = match request::build_plain(request) {
        Ok(built) => built,
        Err(fault) => return Ok(Err(Outcome::Faulted { step: last_step, fault })),
    };
    let again = built.clone();
    let sent = client.send(hook.tenant, built, &|| Some(again.clone()), hook.timeout).await?;
    Ok(match sent {
        Outcome::Response(response) => shown(&response).map_err(failed),
        Outcome::Unreachable { message, .. } => Err(failed(message)),
        Outcome::TimedOut { after } => Err(failed(format!("no response within {} ms", after.as_millis()))),
        other @ (Outcome::Faulted { .. } | Outcome::Dropped { .. }) => Err(other),
    })
}

fn failed(why: String) -> Outcome {
    let message = format!("the preflight request failed: {why}");
    Outcome::Unreachable { kind: UnreachableKind::Preflight, message }
}

fn shown(response: &Response) -> Result<String, String> {
    if response.status != EXPECTED_STATUS {
        return Err(format!("the response has the status {}; expected {EXPECTED_STATUS}", response.status));
    }
    if let Some(failure) = &response.body_failure {
        return Err(failure.message.clone());
    }
    if response.body_truncated {
        return Err(format!("the response has more than {} bytes", Response::MAX_RECORDED_BODY));
    }
    let body = String::from_utf8_lossy(&response.body);
    serde_json::to_string(&ShownResponse { status: response.status, headers: &response.headers, body })
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
