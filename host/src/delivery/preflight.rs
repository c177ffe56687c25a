//! The request before the request: some receivers want to be asked for a token first.
//!
//! A hook's preflight is a pipeline of its own, whose request goes out before each attempt's. It must be answered
//! with 200 exactly; the hook's pipeline is then shown the answer, as an attribute of the event, and does with it what
//! it will. What the answer gives ends, so an attempt asks anew and its request is not kept for a retry.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::client::OwnFailure;
use super::worker::{MadeAttempt, NotMade, Worker};
use super::{lanes::Work, request};
use crate::domain::attempt::UnreachableKind;
use crate::domain::{Header, Hook, Outcome, Request, Response, StepReport, Verdict};
use crate::sandbox::{PipelineEnd, PipelineRun};

/// The only status that lets the main request go out.
const WANTED_STATUS: u16 = 200;

/// What came of a hook's preflight.
pub(super) enum Preflight {
    /// The pipeline may run.
    Go {
        /// The plugins that wrote the first request; none where the hook has no preflight.
        steps: Vec<StepReport>,
        /// What the receiver answered, as plugins are shown it.
        answer: Option<String>,
        /// What is left of the hook's timeout, which is for both requests together.
        left: Duration,
    },
    /// The attempt ends here.
    End(MadeAttempt),
}

/// An answer as plugins are shown it, in the attribute `preflight`.
#[derive(Serialize)]
struct Shown<'a> {
    status: u16,
    headers: &'a [Header],
    body: std::borrow::Cow<'a, str>,
}

impl Worker {
    /// Makes the hook's preflight, if it has one.
    pub(super) async fn preflight(&self, hook: &Hook, work: &Work) -> Result<Preflight, NotMade> {
        if hook.preflight.is_empty() {
            return Ok(Preflight::Go { steps: Vec::new(), answer: None, left: hook.timeout });
        }
        let PipelineRun { steps, end } =
            self.pipelines.run_preflight(hook, &work.event, work.trigger).await?;
        // From here: the receivers are not to blame for the time that plugins wait and take.
        let began = Instant::now();
        let answered = match end {
            PipelineEnd::Fault { step, fault } => Err(Outcome::Faulted { step, fault }),
            PipelineEnd::Verdict(Verdict::Drop { step }) => Err(Outcome::Dropped { step }),
            PipelineEnd::Verdict(Verdict::Keep(request)) => {
                self.still_due(work, hook.timeout)?;
                self.ask(hook, request).await?
            }
        };
        let asking = began.elapsed();
        let left = hook.timeout.saturating_sub(asking);
        Ok(match answered {
            Ok(_) if left.is_zero() => {
                let timed_out = Outcome::TimedOut { after: hook.timeout };
                Preflight::End(MadeAttempt::unsent(steps, timed_out).after(asking))
            }
            Ok(answer) => Preflight::Go { steps, answer: Some(answer), left },
            Err(outcome) => Preflight::End(MadeAttempt::unsent(steps, outcome).after(asking)),
        })
    }

    /// Sends the request before the request: the answer as plugins are shown it, or what the attempt came to.
    ///
    /// # Errors
    /// If the engine itself failed.
    async fn ask(&self, hook: &Hook, request: Request) -> Result<Result<String, Outcome>, OwnFailure> {
        let last = hook.preflight.0.len() - 1;
        // Neither signed nor authorised: it goes elsewhere than the hook's own requests.
        let built = match request::build_plain(request) {
            Ok(built) => built,
            Err(fault) => return Ok(Err(Outcome::Faulted { step: last, fault })),
        };
        let again = built.clone();
        let sent = self.client.send(hook.tenant, built, &|| Some(again.clone()), hook.timeout).await?;
        Ok(match sent {
            Outcome::Response(response) => shown(&response).map_err(failed),
            Outcome::Unreachable { message, .. } => Err(failed(message)),
            Outcome::TimedOut { after } => Err(failed(format!("no answer within {} ms", after.as_millis()))),
            other @ (Outcome::Faulted { .. } | Outcome::Dropped { .. }) => Err(other),
        })
    }
}

fn failed(what: String) -> Outcome {
    Outcome::Unreachable {
        kind: UnreachableKind::Preflight,
        message: format!("the request before the request failed: {what}"),
    }
}

fn shown(response: &Response) -> Result<String, String> {
    if response.status != WANTED_STATUS {
        return Err(format!("it was answered with {}, and {WANTED_STATUS} is wanted", response.status));
    }
    if let Some(failure) = &response.body_failure {
        return Err(failure.message.clone());
    }
    if response.body_truncated {
        return Err(format!("its answer has more than {} bytes", Response::MAX_RECORDED_BODY));
    }
    let body = String::from_utf8_lossy(&response.body);
    serde_json::to_string(&Shown { status: response.status, headers: &response.headers, body })
        .map_err(|error| error.to_string())
}
