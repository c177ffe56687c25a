//! Makes one attempt of a delivery and hands in what came of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{DeliveryClient, OwnFailure};
use super::crew::Busy;
use super::decision::{Decision, decide};
use super::dispatcher::Slot;
use super::lanes::{Observation, Work};
use super::preflight::Preflight;
use super::recorder::Recorder;
use super::{Pipelines, request, request_size};
use crate::clients::{Budget, NoRoom};
use crate::directory::{Directory, DirectoryError};
use crate::domain::{
    Attempt, AttemptId, DeliveryState, Hook, Outcome, Request, RequestBody, SentRequest, ShortText,
    StepReport, Trigger, UnixMillis, Verdict,
};
use crate::sandbox::{PipelineEnd, SandboxError};
use crate::storage::{Record, Rendered, RenderedRequest};

/// An attempt begins only if its lease lasts for its timeout and this much longer: its record may be tried for a while.
const LEASE_MARGIN: Duration = Duration::from_secs(60);
/// After the engine itself failed, a delivery is due again after this.
const AFTER_OWN_FAILURE: Duration = Duration::from_secs(10);
/// If it could not send a request, for want of a file descriptor, say, after this, and up to twice as long: what is left to
/// send does not come back all at once.
const AFTER_SENDING_FAILED: Duration = Duration::from_secs(5);
/// If there was no room in memory for its request, after this, and up to twice as long.
const AFTER_NO_ROOM: Duration = Duration::from_secs(1);

/// See the module's head.
pub struct Worker {
    /// Knows the hooks as they stand now.
    pub directory: Arc<Directory>,
    /// Shapes requests.
    pub pipelines: Pipelines,
    /// Sends them.
    pub client: DeliveryClient,
    /// Writes down what came of it.
    pub recorder: Recorder,
    /// What requests under way may take of memory.
    pub memory: Arc<Budget>,
    /// Headers whose values records leave out, besides those that carry secrets by their name.
    pub masked_headers: Arc<[ShortText]>,
}

/// What an attempt came to, before it is decided upon.
pub(super) struct MadeAttempt {
    steps: Vec<StepReport>,
    sent: Option<SentRequest>,
    outcome: Outcome,
    /// The body that was sent, for the case that it must be sent again; none if it came from storage, or is
    /// written anew.
    body: Option<RequestBody>,
    /// For how long receivers were spoken to. With what plugins took, this is the attempt's duration: that they had to be
    /// compiled, or waited for their turn, is not the attempt's.
    sending: Duration,
}

/// Why there was no attempt; the delivery is as it was before.
pub(super) enum NotMade {
    /// It would have outlived its lease, or its hook is disabled or unreadable.
    NotNow,
    /// Its hook is gone.
    NoHook,
    /// The engine itself failed.
    Sandbox(SandboxError),
    /// The engine could not send the request; the client has logged why.
    Sending,
    /// Requests that are under way take all the memory that they may.
    NoRoom,
}

impl From<SandboxError> for NotMade {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

impl From<NoRoom> for NotMade {
    fn from(NoRoom: NoRoom) -> Self {
        Self::NoRoom
    }
}

impl From<OwnFailure> for NotMade {
    fn from(_: OwnFailure) -> Self {
        Self::Sending
    }
}

impl MadeAttempt {
    /// An attempt that sent nothing.
    pub(super) fn unsent(steps: Vec<StepReport>, outcome: Outcome) -> Self {
        Self { steps, sent: None, outcome, body: None, sending: Duration::ZERO }
    }

    /// The same, after receivers were spoken to for so long.
    pub(super) fn after(self, sending: Duration) -> Self {
        Self { sending, ..self }
    }

    fn duration(&self) -> Duration {
        self.steps.iter().fold(self.sending, |sum, step| sum + step.duration)
    }
}

/// Whether an attempt that begins `now` and takes all of its `timeout` is over and recorded before its lease ends.
fn lasts(lease_until: UnixMillis, now: UnixMillis, timeout: Duration) -> bool {
    now.plus(timeout + LEASE_MARGIN) <= lease_until
}

/// Whether a request for `work` may be sent `now`, by its `hook` as it stands.
fn due(hook: Option<&Hook>, work: &Work, now: UnixMillis, timeout: Duration) -> Result<(), NotMade> {
    let hook = hook.ok_or(NotMade::NoHook)?;
    let wanted = hook.is_sent_to() || (work.trigger == Trigger::Test && !hook.unreadable);
    if wanted && lasts(work.lease_until, now, timeout) { Ok(()) } else { Err(NotMade::NotNow) }
}

impl Worker {
    /// Makes one attempt of `work`. `slot` is held to the end; the hook's part of it until the receiver
    /// has answered. `_busy` is held as long as the worker is busy with it.
    pub(super) async fn run(self: Arc<Self>, work: Work, mut slot: Slot, _busy: Busy) {
        let now = self.directory.clock().now();
        let record = match self.directory.hook(work.hook) {
            None => Self::hand_back(&work, DeliveryState::Cancelled, None),
            Some(hook) => match self.attempt_and_decide(&hook, &work, now, &mut slot).await {
                Ok(record) => record,
                Err(NotMade::NotNow) => Self::wait_until(&work, now),
                Err(NotMade::NoHook) => Self::hand_back(&work, DeliveryState::Cancelled, None),
                Err(NotMade::Sandbox(error)) => {
                    tracing::error!(delivery = %work.delivery, error = &error as &dyn std::error::Error, "the sandbox failed");
                    Self::wait_until(&work, now.plus(AFTER_OWN_FAILURE))
                }
                Err(NotMade::Sending) => self.wait_for_about(&work, AFTER_SENDING_FAILED),
                Err(NotMade::NoRoom) => self.wait_for_about(&work, AFTER_NO_ROOM),
            },
        };
        slot.answered(Observation::Nothing);
        self.recorder.hand_in(record, slot).await;
    }

    async fn attempt_and_decide(
        &self,
        hook: &Hook,
        work: &Work,
        now: UnixMillis,
        slot: &mut Slot,
    ) -> Result<Record, NotMade> {
        due(Some(hook), work, now, hook.timeout)?;
        let mut made = self.make_attempt(hook, work, now).await?;
        let duration = made.duration();
        let failures = work.failures + 1;
        let clock = self.directory.clock();
        let decision =
            decide(&made.outcome, failures, &hook.retry, work.trigger, clock.now(), rand::random());
        if let Decision::Exhausted { gone: true } = decision {
            // Before its place is given back: what changes hooks goes one by one, and this tenant's share bounds the wait.
            self.disable_gone(hook).await;
        }
        slot.answered(Observation::of(&made.outcome));
        let retried = matches!(decision, Decision::RetryAt(_));
        let rendered = match (&made.sent, made.body) {
            (Some(sent), Some(body)) if retried && request_size::may_be_kept(sent, &work.event) => {
                let request = request::unsigned(hook, sent, body);
                Rendered::Store(RenderedRequest { request, hook_updated_at: hook.updated_at })
            }
            _ if !retried && work.rendered.is_some() => Rendered::Remove,
            _ => Rendered::Keep,
        };
        let id = match work.is_under_stored_lease() {
            true => AttemptId::under_stored_lease(work.delivery),
            false => AttemptId::generate(self.directory.ids(), now),
        };
        if let Some(sent) = &mut made.sent {
            sent.mask(hook, &self.masked_headers);
        }
        let mut attempt = Attempt {
            id,
            delivery: work.delivery,
            number: work.attempts + 1,
            started_at: now,
            duration,
            steps: made.steps,
            request: made.sent,
            outcome: made.outcome,
            cut: false,
        };
        attempt.cut();
        let (state, failures, due_at) = match decision {
            Decision::Succeeded => (DeliveryState::Succeeded, work.failures, None),
            Decision::Dropped => (DeliveryState::Dropped, work.failures, None),
            Decision::Exhausted { .. } => (DeliveryState::Exhausted, failures, None),
            Decision::RetryAt(at) => (DeliveryState::Waiting, failures, Some(at)),
        };
        Ok(Record {
            delivery: work.delivery,
            tenant: work.event.tenant,
            lease: work.lease,
            state,
            attempts: attempt.number,
            failures,
            due_at,
            attempt: Some(attempt),
            rendered,
        })
    }

    /// Runs the pipeline, unless an earlier attempt did, and sends what it wrote.
    async fn make_attempt(&self, hook: &Hook, work: &Work, now: UnixMillis) -> Result<MadeAttempt, NotMade> {
        // A hook that was changed since has its say: whoever mends a URL means what is waiting, too.
        let is_current = |it: &&RenderedRequest| it.hook_updated_at == hook.updated_at;
        if let Some(rendered) = work.rendered.as_ref().filter(is_current) {
            let _reserved = self.reserve(work, &rendered.request)?;
            let request = (hook.pipeline.0.len().saturating_sub(1), rendered.request.clone());
            let began = Instant::now();
            let (sent, outcome) = self.send(hook, work, request, now, hook.timeout).await?;
            let sending = began.elapsed();
            return Ok(MadeAttempt { steps: Vec::new(), sent, outcome, body: None, sending });
        }
        let (mut steps, answer, timeout) = match self.preflight(hook, work).await? {
            Preflight::Go { steps, answer, left } => (steps, answer, left),
            Preflight::End(made) => return Ok(made),
        };
        let (before, asks_first) = (steps.len(), answer.is_some());
        let asking = hook.timeout.saturating_sub(timeout);
        let run = self.pipelines.run(hook, &work.event, work.trigger, answer).await?;
        steps.extend(run.steps);
        Ok(match run.end {
            PipelineEnd::Fault { step, fault } => {
                MadeAttempt::unsent(steps, Outcome::Faulted { step: before + step, fault }).after(asking)
            }
            PipelineEnd::Verdict(Verdict::Drop { step }) => {
                MadeAttempt::unsent(steps, Outcome::Dropped { step: before + step }).after(asking)
            }
            PipelineEnd::Verdict(Verdict::Keep(request)) => {
                let now = self.still_due(work, timeout)?;
                let _reserved = self.reserve(work, &request)?;
                // Without plugins it is written again from the event, as it was.
                let body = (!asks_first && !hook.pipeline.is_empty()).then(|| request.body.clone());
                let last = steps.len().saturating_sub(1);
                let began = Instant::now();
                let (sent, outcome) = self.send(hook, work, (last, request), now, timeout).await?;
                let sending = asking + began.elapsed();
                let sent = if asks_first { sent.map(request::without_secrets) } else { sent };
                MadeAttempt { steps, sent, outcome, body, sending }
            }
        })
    }

    /// The time, if a request may be sent now. Asked again after plugins have run: they wait for their turn, and not within
    /// the hook's timeout, so that by then another attempt may be due, or the hook disabled or deleted.
    pub(super) fn still_due(&self, work: &Work, timeout: Duration) -> Result<UnixMillis, NotMade> {
        let now = self.directory.clock().now();
        due(self.directory.hook(work.hook).as_deref(), work, now, timeout).map(|()| now)
    }

    /// Sends what the step `last_step` wrote, which is to blame where that cannot be sent.
    ///
    /// # Errors
    /// If the engine itself failed, and nothing was sent.
    async fn send(
        &self,
        hook: &Hook,
        work: &Work,
        (last_step, request): (usize, Request),
        now: UnixMillis,
        timeout: Duration,
    ) -> Result<(Option<SentRequest>, Outcome), OwnFailure> {
        Ok(match request::build(hook, &work.event, request, now) {
            Ok((built, sent)) => {
                let body = built.body().clone();
                let again = || request::build_again(hook, &sent, body.clone()).ok();
                let outcome = self.client.send(hook.tenant, built, &again, timeout).await?;
                (Some(sent), outcome)
            }
            Err(fault) => (None, Outcome::Faulted { step: last_step, fault }),
        })
    }

    /// The receiver says that it wants no more, ever: the hook is disabled, as Standard Webhooks has it.
    async fn disable_gone(&self, hook: &Hook) {
        // Many may say so at the same time.
        if self.directory.hook(hook.id).is_none_or(|now| !now.enabled || now.updated_at != hook.updated_at) {
            return;
        }
        let disabled = |current: &Hook| {
            // One that was changed meanwhile is another place, which has not been asked yet.
            let same = current.updated_at == hook.updated_at;
            Ok::<_, DirectoryError>(Hook { enabled: current.enabled && !same, ..current.clone() })
        };
        match self.directory.change_hook(hook.tenant, hook.id, disabled).await {
            Ok(Some(now)) if !now.enabled => {
                tracing::warn!(hook = %hook.id, "the receiver answered 410 Gone; the hook is disabled");
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(hook = %hook.id, error = &error as &dyn std::error::Error, "cannot disable a hook");
            }
        }
    }

    /// Gives the lease back: the delivery is due after `wait`, or up to twice as long, so that not all come back at once.
    fn wait_for_about(&self, work: &Work, wait: Duration) -> Record {
        let wait = wait.mul_f64(1.0 + rand::random::<f64>());
        Self::wait_until(work, self.directory.clock().now().plus(wait))
    }

    /// Gives the lease back: the delivery is due at `at`, as if it had not been leased.
    /// A test is not made later: it is called off.
    fn wait_until(work: &Work, at: UnixMillis) -> Record {
        if work.trigger == Trigger::Test {
            return Self::hand_back(work, DeliveryState::Cancelled, None);
        }
        let state = if work.attempts == 0 { DeliveryState::Pending } else { DeliveryState::Waiting };
        Self::hand_back(work, state, Some(at))
    }

    fn hand_back(work: &Work, state: DeliveryState, due_at: Option<UnixMillis>) -> Record {
        Record {
            delivery: work.delivery,
            tenant: work.event.tenant,
            lease: work.lease,
            state,
            attempts: work.attempts,
            failures: work.failures,
            due_at,
            attempt: None,
            rendered: Rendered::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_takes_what_its_plugins_and_receivers_take() {
        let step = |ms| StepReport {
            plugin: "a-plugin".parse().unwrap(),
            resolved: None,
            roles: Vec::new(),
            fuel: 0,
            fuel_granted: 0,
            duration: Duration::from_millis(ms),
            memory_bytes: 0,
            logs: Vec::new(),
            fault: None,
        };
        let made = MadeAttempt::unsent(vec![step(2), step(3)], Outcome::Dropped { step: 1 });
        assert_eq!(made.after(Duration::from_millis(40)).duration(), Duration::from_millis(45));
    }
    use crate::domain::{DeliveryId, HookId};
    use crate::storage::conformance::{NOW, World};
    use crate::storage::sqlite::{self, SqliteOptions};

    #[test]
    fn an_attempt_needs_a_lease_that_outlasts_its_timeout_and_its_record() {
        let timeout = Duration::from_secs(20);
        for (left_ms, does) in [(80_000, true), (79_999, false), (0, false), (-1, false)] {
            assert_eq!(
                lasts(UnixMillis(1_000_000 + left_ms), UnixMillis(1_000_000), timeout),
                does,
                "{left_ms}"
            );
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_for_a_hook_that_is_gone_disabled_or_unreadable_by_then() {
        let dir = tempfile::tempdir().unwrap();
        let world = World::new(sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap().stores());
        let (event, enabled) = (world.event_for(HookId(1), None).event, world.hook());
        let disabled = Hook { enabled: false, ..enabled.clone() };
        let unreadable = Hook { unreadable: true, ..enabled.clone() };
        let due = |hook: Option<&Hook>, trigger| {
            let work = Work::fresh(DeliveryId(1), HookId(1), Arc::clone(&event), trigger);
            let work = Work { lease_until: UnixMillis(NOW.0 + 100_000), ..work };
            due(hook, &work, NOW, Duration::from_secs(1))
        };
        assert!(matches!(due(None, Trigger::Event), Err(NotMade::NoHook)));
        assert!(matches!(due(Some(&disabled), Trigger::Event), Err(NotMade::NotNow)));
        assert!(due(Some(&disabled), Trigger::Test).is_ok(), "a disabled hook can be tested");
        for trigger in [Trigger::Event, Trigger::Test] {
            assert!(matches!(due(Some(&unreadable), trigger), Err(NotMade::NotNow)));
        }
        assert!(due(Some(&enabled), Trigger::Event).is_ok());
    }
}
