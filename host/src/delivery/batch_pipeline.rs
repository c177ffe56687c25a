//! The pipeline that writes a request with several events, if its hook has one.
//!
//! It runs once for the request that joins what the hook's pipeline wrote for each event. Plugins get that as an event of the
//! type `hookwright.batch`, whose data is the array of the bodies, so any plugin can write such a request. What becomes of
//! the run becomes of all events of the request.

use std::sync::Arc;

use super::attempt::NotMade;
use super::batch_parts::Part;
use super::request;
use super::worker::Worker;
use crate::domain::{Hook, Outcome, Request, StepReport, Verdict};
use crate::sandbox::{PipelineEnd, PipelineRun};

/// What has come of the pipeline.
pub(super) enum Together {
    /// The request that is sent.
    Request(Request),
    /// Nothing is sent.
    Unsent(Outcome),
    /// No attempt is made.
    NotMade(NotMade),
}

impl Worker {
    /// Runs the pipeline by which `hook` writes the request with the events of `parts`, if it has one.
    pub(super) async fn write_together(&self, hook: &Hook, parts: &mut [Part], joined: Request) -> Together {
        if hook.options.batch_pipeline.is_empty() {
            return Together::Request(joined);
        }
        let events: Vec<_> = parts.iter().map(|part| Arc::clone(&part.work.event)).collect();
        let events = events.iter().map(|event| &**event);
        let run = self.pipelines.run_together(hook, events, joined).await;
        let PipelineRun { steps, end } = match run {
            Ok(run) => run,
            Err(error) => return Together::NotMade(error.into()),
        };
        add_reports(parts, steps);
        let mut request = match end {
            PipelineEnd::Fault { step, fault } => return Together::Unsent(Outcome::Faulted { step, fault }),
            PipelineEnd::Verdict(Verdict::Drop { step }) => {
                return Together::Unsent(Outcome::Dropped { step });
            }
            PipelineEnd::Verdict(Verdict::Keep(request)) => request,
        };
        // Meanwhile, the hook may be disabled or a lease too short.
        let is_due = |part: &Part| self.still_due(&part.work, hook.timeout, &part.permit).map(drop);
        if let Some(why) = parts.iter().find_map(|part| is_due(part).err()) {
            return Together::NotMade(why);
        }
        request::retain_own(hook, &mut request.headers);
        Together::Request(request)
    }
}

/// Each event's record has the reports, and the first one their logs.
fn add_reports(parts: &mut [Part], steps: Vec<StepReport>) {
    let Some((first, others)) = parts.split_first_mut() else { return };
    let without_logs = |step: &StepReport| StepReport { logs: Vec::new(), ..step.clone() };
    for part in others {
        part.steps.extend(steps.iter().map(without_logs));
    }
    first.steps.extend(steps);
}
