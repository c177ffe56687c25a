//! Makes one attempt of a delivery and submits its record.

use std::sync::Arc;
use std::time::Duration;

use super::attempt::{MadeAttempt, NotMade, check_due, kept_body, note_arrival};
use super::client::{DeliveryClient, OwnFailure};
use super::decision::{Decision, decide};
use super::dispatcher::AttemptPermit;
use super::fair_queue::Observation;
use super::hook_health::HookHealthMonitor;
use super::hook_stats::HookStats;
use super::lease_end::{end_lease, leave_group, since_accepted, wait_until};
use super::masked_headers::MaskedHeaders;
use super::notices::Notices;
use super::oauth::Tokens;
use super::outgoing::Outgoing;
use super::pipelines::Pipelines;
use super::preflight::{Preflight, send_preflight};
use super::recorder::Recorder;
use super::stored_request::stored_request;
use super::work::Work;
use super::{attempt_spans, request, request_size, trace_headers};
use crate::clients::Budget;
use crate::clock;
use crate::directory::Directory;
use crate::domain::{
    Attempt, AttemptId, DeliveryState, Hook, Outcome, Request, SentRequest, UnixMillis, Verdict,
};
use crate::sandbox::PipelineEnd;
use crate::sources::Sources;
use crate::storage::{Record, Rendered, RenderedRequest};
use crate::traces::Traces;

/// After the sandbox failed, a delivery is due again after this.
const AFTER_OWN_FAILURE: Duration = Duration::from_secs(10);
/// If the engine could not send a request, such as for lack of a file descriptor, a delivery is due again after this and up
/// to twice as long, so that not all deliveries are due at once.
const AFTER_SENDING_FAILED: Duration = Duration::from_secs(5);
/// The same if there was no memory for a request.
const AFTER_NO_ROOM: Duration = Duration::from_secs(1);

/// See the module's head.
pub struct Worker {
    /// Time, ids of attempts, and random numbers that spread retries.
    pub sources: Sources,
    /// The hooks as they are now.
    pub directory: Arc<Directory>,
    /// Runs plugins.
    pub pipelines: Pipelines,
    /// Sends requests.
    pub client: DeliveryClient,
    /// The access tokens of hooks.
    pub tokens: Arc<Tokens>,
    /// Records attempts.
    pub recorder: Recorder,
    /// Whether hooks fail.
    pub health: Arc<HookHealthMonitor>,
    /// Tells tenants about their hooks.
    pub notices: Notices,
    /// Counts attempts.
    pub stats: Arc<HookStats>,
    /// The memory of requests in flight.
    pub memory: Arc<Budget>,
    /// Takes spans of attempts.
    pub traces: Traces,
    /// Headers whose values are masked in records, besides those whose names say that they are secret.
    pub masked_headers: Arc<MaskedHeaders>,
}

impl Worker {
    /// Makes one attempt of `work`, and of the `others` that its hook wants in the same request. `permit` is told the outcome,
    /// and goes to the recorder with the record.
    pub(super) async fn run(
        &self,
        work: Work,
        mut permit: AttemptPermit,
        others: Vec<(Work, AttemptPermit)>,
    ) {
        let now = self.sources.now();
        let hook = self.directory.hook(work.hook);
        let options = hook.as_ref().and_then(|hook| hook.batch().copied());
        if let (Some(hook), Some(options)) = (&hook, options) {
            let members = std::iter::once((work, permit)).chain(others).collect();
            // Boxed here and below, so that the futures of other attempts stay small.
            return Box::pin(self.run_batch((&**hook, options), members)).await;
        }
        if !others.is_empty() {
            // The hook does not want them together any more.
            Box::pin(self.give_back_all(others, hook.is_some(), now)).await;
        }
        let record = match hook {
            None => self.not_made(&work, NotMade::NoHook, now),
            Some(hook) => {
                let hook = work.replaying(&hook).unwrap_or(hook);
                match self.attempt_and_decide(&hook, &work, now, &mut permit).await {
                    Ok(record) => record,
                    Err(why) => self.not_made(&work, why, now),
                }
            }
        };
        let record = leave_group(record, &work, self.sources.now());
        self.health.probe_ended(&work, now);
        permit.report(Observation::Nothing);
        self.recorder.submit(&work, record, permit).await;
    }

    /// Ends the leases of deliveries of a hook, if it is there still, that are not attempted.
    async fn give_back_all(&self, all: Vec<(Work, AttemptPermit)>, has_hook: bool, now: UnixMillis) {
        for (work, permit) in all {
            let why = if has_hook { NotMade::NotNow } else { NotMade::NoHook };
            let record = leave_group(self.not_made(&work, why, now), &work, now);
            self.recorder.submit(&work, record, permit).await;
        }
    }

    /// The record of a delivery that was not attempted.
    pub(super) fn not_made(&self, work: &Work, why: NotMade, now: UnixMillis) -> Record {
        match why {
            NotMade::NotNow => wait_until(work, since_accepted(work, now)),
            NotMade::NoHook => end_lease(work, DeliveryState::Cancelled, None),
            NotMade::NoFuel(until) => {
                self.health.fuel().hold(work.hook, until);
                wait_until(work, until)
            }
            NotMade::Sandbox(error) => {
                tracing::error!(delivery = %work.delivery, error = &error as &dyn std::error::Error, "the sandbox failed");
                wait_until(work, now.plus(AFTER_OWN_FAILURE))
            }
            NotMade::Sending => self.wait_for_about(work, AFTER_SENDING_FAILED),
            NotMade::NoRoom => self.wait_for_about(work, AFTER_NO_ROOM),
        }
    }

    async fn attempt_and_decide(
        &self,
        hook: &Hook,
        work: &Work,
        now: UnixMillis,
        permit: &mut AttemptPermit,
    ) -> Result<Record, NotMade> {
        check_may_start(work, permit)?;
        check_due((Some(hook), self.is_held(work)), work, now, hook.timeout)?;
        let mut made = self.make_attempt(hook, work, now, permit).await?;
        let failures = work.failures + 1;
        let (ended_at, jitter) = (self.sources.now(), self.sources.random.fraction());
        let decision = decide(&made.outcome, failures, &hook.retry, work.trigger, ended_at, jitter);
        let latency = made.sent.is_some().then_some(made.sending);
        note_arrival(work, latency, ended_at);
        self.stats.count((hook.tenant, hook.id), &made.outcome, latency, ended_at);
        let failing = self.health.observe(hook, work, &made.outcome, ended_at);
        // Before the permit is told: hooks are changed one by one, and the tenant's limit bounds how many wait here.
        self.disable_after(hook, decision, failing).await;
        self.tell(hook, work, &made.outcome, decision);
        permit.report(Observation::of(&made.outcome, ended_at));
        let rendered = stored_request(hook, work, &mut made, decision);
        let record = self.record(hook, work, (now, ended_at), made, decision, rendered);
        let leaves = work.group_left(ended_at).filter(|_| hook.skips_in_order(record.failures));
        Ok(Record { leaves, ..record })
    }

    /// The record of an attempt that began and ended at these times.
    pub(super) fn record(
        &self,
        hook: &Hook,
        work: &Work,
        (began_at, ended_at): (UnixMillis, UnixMillis),
        mut made: MadeAttempt,
        decision: Decision,
        rendered: Rendered,
    ) -> Record {
        let id = match work.is_under_stored_lease() {
            true => AttemptId::under_stored_lease(work.delivery),
            false => AttemptId::generate(&self.sources.ids, began_at),
        };
        if let Some(sent) = &mut made.sent {
            self.masked_headers.mask(sent, hook);
            sent.body_kept_until = made.kept.as_ref().map(|kept| kept.until);
        }
        let kept_body = made.kept.take().filter(|_| made.sent.is_some());
        let mut attempt = Attempt {
            id,
            delivery: work.delivery,
            number: work.attempts + 1,
            started_at: began_at,
            duration: made.duration(),
            steps: made.steps,
            request: made.sent,
            outcome: made.outcome,
            cut: false,
        };
        let request = (made.sending, ended_at);
        attempt_spans::add(&self.traces, (hook, work, &attempt), request, made.shares_request);
        attempt.cut();
        let failures = work.failures + 1;
        let (state, failures, due_at) = match decision {
            Decision::Succeeded => (DeliveryState::Succeeded, work.failures, None),
            Decision::Dropped => (DeliveryState::Dropped, work.failures, None),
            Decision::Exhausted { .. } => (DeliveryState::Exhausted, failures, None),
            Decision::RetryAt(at) => (DeliveryState::Waiting, failures, Some(at)),
        };
        Record {
            delivery: work.delivery,
            tenant: work.event.tenant,
            lease: work.lease,
            state,
            attempts: attempt.number,
            failures,
            due_at,
            attempt: Some(attempt),
            rendered,
            leaves: None,
            kept_body,
        }
    }

    /// Runs the pipeline, unless an earlier attempt did, and sends what it wrote.
    async fn make_attempt(
        &self,
        hook: &Hook,
        work: &Work,
        now: UnixMillis,
        permit: &AttemptPermit,
    ) -> Result<MadeAttempt, NotMade> {
        let id = work.event.id.as_str();
        // If the hook was changed since, its pipeline runs again: a corrected URL also holds for waiting deliveries.
        let is_current = |it: &&RenderedRequest| it.hook_updated_at == hook.updated_at;
        if let Some(rendered) = work.rendered.as_ref().filter(is_current) {
            let _reserved = request_size::reserve(&self.memory, work, &rendered.request)?;
            let kept = kept_body(hook, &rendered.request.body, now);
            let mut request = rendered.request.clone();
            trace_headers::add(&mut request, &work.event, &*self.sources.random);
            let request = (hook.pipeline.0.len().saturating_sub(1), request);
            let started_at = clock::monotonic();
            let (sent, outcome) = self.send(hook, id, request, now, hook.timeout).await?;
            let sending = clock::elapsed(started_at);
            return Ok(MadeAttempt { sent, kept, sending, ..MadeAttempt::unsent(Vec::new(), outcome) });
        }
        let check_due = || self.still_due(work, hook.timeout, permit).map(drop);
        let preflight = send_preflight(&self.pipelines, &self.client, hook, work, check_due).await?;
        let (mut steps, response, timeout) = match preflight {
            Preflight::Go { steps, response, left } => (steps, response, left),
            Preflight::End(made) => return Ok(*made),
        };
        let (before, has_preflight) = (steps.len(), response.is_some());
        let preflight_time = hook.timeout.saturating_sub(timeout);
        let run = self.pipelines.run(hook, &work.event, work.trigger, response).await?;
        steps.extend(run.steps);
        Ok(match run.end {
            PipelineEnd::Fault { step, fault } => {
                let outcome = Outcome::Faulted { step: before + step, fault };
                MadeAttempt::unsent(steps, outcome).after(preflight_time)
            }
            PipelineEnd::Verdict(Verdict::Drop { step }) => {
                MadeAttempt::unsent(steps, Outcome::Dropped { step: before + step }).after(preflight_time)
            }
            PipelineEnd::Verdict(Verdict::Keep(mut request)) => {
                let now = self.still_due(work, timeout, permit)?;
                let _reserved = request_size::reserve(&self.memory, work, &request)?;
                // Without plugins, a retry writes the same body from the event.
                let body = (!has_preflight && !hook.pipeline.is_empty()).then(|| request.body.clone());
                let kept = kept_body(hook, &request.body, now);
                trace_headers::add(&mut request, &work.event, &*self.sources.random);
                let last = steps.len().saturating_sub(1);
                let started_at = clock::monotonic();
                let (sent, outcome) = self.send(hook, id, (last, request), now, timeout).await?;
                let sending = preflight_time + clock::elapsed(started_at);
                let sent = if has_preflight { sent.map(request::without_secrets) } else { sent };
                MadeAttempt { sent, body, kept, sending, ..MadeAttempt::unsent(steps, outcome) }
            }
        })
    }

    /// Returns the time if a request may be sent now. This is checked again after plugins have run, which does not count
    /// against the hook's timeout: meanwhile the lease may have become too short, the hook may be disabled or deleted, or
    /// another node may have taken over.
    pub(super) fn still_due(
        &self,
        work: &Work,
        timeout: Duration,
        permit: &AttemptPermit,
    ) -> Result<UnixMillis, NotMade> {
        check_may_start(work, permit)?;
        let now = self.sources.now();
        let hook = self.directory.hook(work.hook);
        check_due((hook.as_deref(), self.is_held(work)), work, now, timeout).map(|()| now)
    }

    /// Whether the delivery is held for another reason than its hook's settings.
    fn is_held(&self, work: &Work) -> bool {
        self.directory.is_paused(work.tenant()) || self.health.holds(work)
    }

    /// Sends what the step `last_step` wrote, under this `id`. If that cannot be sent, it is the step's fault.
    ///
    /// # Errors
    /// Fails if the engine itself failed, and nothing was sent.
    pub(super) async fn send(
        &self,
        hook: &Hook,
        id: &str,
        (last_step, request): (usize, Request),
        now: UnixMillis,
        timeout: Duration,
    ) -> Result<(Option<SentRequest>, Outcome), OwnFailure> {
        let outgoing = Outgoing { hook, id, last_step, now };
        match outgoing.check_target(&request.url) {
            Err(outcome) => Ok((None, outcome)),
            Ok(()) if hook.oauth().is_some() => {
                let parts = (&self.client, &*self.tokens);
                Box::pin(outgoing.send_with_token(parts, request, timeout)).await
            }
            Ok(()) => outgoing.send(&self.client, request, timeout, None).await,
        }
    }

    /// Ends the lease: the delivery is due after `wait` and up to twice as long, so that not all are due at once.
    fn wait_for_about(&self, work: &Work, wait: Duration) -> Record {
        let wait = wait.mul_f64(1.0 + self.sources.random.fraction());
        wait_until(work, self.sources.now().plus(wait))
    }
}

fn check_may_start(work: &Work, permit: &AttemptPermit) -> Result<(), NotMade> {
    if permit.may_start(work) { Ok(()) } else { Err(NotMade::NotNow) }
}
