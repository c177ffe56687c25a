//! What an attempt came to, before it is decided what to do about it.

use std::time::Duration;

use super::client::OwnFailure;
use super::pipelines::NotRun;
use super::work::Work;
use crate::clients::NoRoom;
use crate::domain::kept_body::KeptBody;
use crate::domain::{Hook, Outcome, RequestBody, SentRequest, StepReport, Trigger, UnixMillis};
use crate::metrics::deliveries;
use crate::sandbox::SandboxError;

/// An attempt starts only if its lease lasts for its timeout and this much longer, during which its record may be retried.
const LEASE_MARGIN: Duration = Duration::from_secs(60);

/// An attempt that was made.
pub(super) struct MadeAttempt {
    /// The plugins that ran.
    pub steps: Vec<StepReport>,
    /// The request that was sent, if one was.
    pub sent: Option<SentRequest>,
    /// What it came to.
    pub outcome: Outcome,
    /// The body that was sent, to be stored for a retry. None if it came from storage or is written anew by a retry.
    pub body: Option<RequestBody>,
    /// The body that was sent, if the hook has it kept.
    pub kept: Option<Box<KeptBody>>,
    /// How long receivers were spoken to.
    pub sending: Duration,
    /// Whether the request went out for several deliveries, and another one's attempt shows it in traces.
    pub shares_request: bool,
}

impl MadeAttempt {
    /// An attempt that sent nothing.
    pub(super) fn unsent(steps: Vec<StepReport>, outcome: Outcome) -> Self {
        Self {
            steps,
            sent: None,
            outcome,
            body: None,
            kept: None,
            sending: Duration::ZERO,
            shares_request: false,
        }
    }

    /// The same attempt, for which receivers were spoken to for `sending`.
    pub(super) fn after(self, sending: Duration) -> Self {
        Self { sending, ..self }
    }

    /// How long plugins ran and receivers were spoken to. Waiting and compiling are not included.
    pub(super) fn duration(&self) -> Duration {
        self.steps.iter().fold(self.sending, |sum, step| sum + step.duration)
    }
}

/// What is kept of the body of a request that will be sent at `now`. With a preflight it may hold a token.
pub(super) fn kept_body(hook: &Hook, body: &RequestBody, now: UnixMillis) -> Option<Box<KeptBody>> {
    let is_kept = !hook.options.retain_bodies.is_zero() && hook.preflight.is_empty();
    is_kept.then(|| Box::new(KeptBody::of(body, now.plus(hook.options.retain_bodies))))
}

/// Notes how long a delivery took until its first request was sent. `sending` is how long that took, `None` if there was none.
pub(super) fn note_arrival(work: &Work, sending: Option<Duration>, ended_at: UnixMillis) {
    if let Some(sending) = sending
        && work.attempts == 0
        && work.trigger == Trigger::Event
    {
        deliveries::arrived(work.event.key.created_at().until(ended_at.minus(sending)));
    }
}

/// Why no attempt was made. The delivery is as before.
#[derive(Debug)]
pub(super) enum NotMade {
    /// The lease is too short, the hook is held, disabled or unreadable, or the delivery is another node's.
    NotNow,
    /// The hook is deleted.
    NoHook,
    /// The fuel of the tenant is used up until then.
    NoFuel(UnixMillis),
    /// The engine itself failed.
    Sandbox(SandboxError),
    /// The engine could not send the request. The client has logged why.
    Sending,
    /// Requests in flight use all the memory that they may.
    NoRoom,
}

impl From<NotRun> for NotMade {
    fn from(why: NotRun) -> Self {
        match why {
            NotRun::NoFuel(until) => Self::NoFuel(until),
            NotRun::Sandbox(error) => Self::Sandbox(error),
        }
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

/// Whether a request for `work` may be sent `now`, given its `hook` as it is now, and whether others hold it.
pub(super) fn check_due(
    (hook, is_held): (Option<&Hook>, bool),
    work: &Work,
    now: UnixMillis,
    timeout: Duration,
) -> Result<(), NotMade> {
    let hook = hook.ok_or(NotMade::NoHook)?;
    let may_test = !hook.unreadable && !hook.awaits_permission();
    let wanted = (hook.is_sent_to() && !is_held) || (work.trigger == Trigger::Test && may_test);
    if wanted && outlasts(work.lease_until, now, timeout) { Ok(()) } else { Err(NotMade::NotNow) }
}

/// Whether an attempt that starts `now` and takes its whole `timeout` is recorded before its lease ends.
fn outlasts(lease_until: UnixMillis, now: UnixMillis, timeout: Duration) -> bool {
    now.plus(timeout + LEASE_MARGIN) <= lease_until
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::delivery::testing;
    use crate::domain::{DeliveryId, HookId, StepOutput};

    #[test]
    fn the_duration_of_an_attempt_is_that_of_its_plugins_and_receivers() {
        let step = |ms| StepReport {
            plugin: "a-plugin".parse().unwrap(),
            resolved: None,
            roles: Vec::new(),
            fuel: 0,
            fuel_granted: 0,
            duration: Duration::from_millis(ms),
            memory_bytes: 0,
            output: StepOutput::default(),
            logs: Vec::new(),
            fault: None,
        };
        let made = MadeAttempt::unsent(vec![step(2), step(3)], Outcome::Dropped { step: 1 });
        assert_eq!(made.after(Duration::from_millis(40)).duration(), Duration::from_millis(45));
    }

    #[test]
    fn a_lease_must_outlast_the_timeout_and_the_record() {
        let timeout = Duration::from_secs(20);
        for (left_ms, expected) in [(80_000, true), (79_999, false), (0, false), (-1, false)] {
            let until = UnixMillis(1_000_000 + left_ms);
            assert_eq!(outlasts(until, UnixMillis(1_000_000), timeout), expected, "{left_ms}");
        }
    }

    #[test]
    fn nothing_is_sent_for_a_hook_that_is_deleted_disabled_held_or_unreadable() {
        let enabled = testing::hook("https://example.com/");
        let disabled = Hook { enabled: false, ..enabled.clone() };
        let unreadable = Hook { unreadable: true, ..enabled.clone() };
        let mut paused = enabled.clone();
        paused.options.paused = true;
        let held_or_due = |is_held, hook: Option<&Hook>, trigger| {
            let work = Work::fresh(DeliveryId(1), HookId(1), Arc::new(testing::event()), trigger);
            let work = Work { lease_until: UnixMillis(testing::NOW.0 + 100_000), ..work };
            check_due((hook, is_held), &work, testing::NOW, Duration::from_secs(1))
        };
        let due = |hook, trigger| held_or_due(false, hook, trigger);
        assert!(matches!(due(None, Trigger::Event), Err(NotMade::NoHook)));
        assert!(matches!(due(Some(&disabled), Trigger::Event), Err(NotMade::NotNow)));
        assert!(due(Some(&disabled), Trigger::Test).is_ok(), "a disabled hook can be tested");
        for trigger in [Trigger::Event, Trigger::Test] {
            assert!(matches!(due(Some(&unreadable), trigger), Err(NotMade::NotNow)));
        }
        assert!(due(Some(&enabled), Trigger::Event).is_ok());
        assert!(matches!(due(Some(&paused), Trigger::Event), Err(NotMade::NotNow)));
        assert!(matches!(held_or_due(true, Some(&enabled), Trigger::Event), Err(NotMade::NotNow)));
        assert!(held_or_due(true, Some(&enabled), Trigger::Test).is_ok(), "a held hook can be tested");
    }
}
