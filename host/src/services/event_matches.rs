//! Which hooks an event matches, and why others do not get it.

use crate::domain::{Delivery, DeliveryState, Event, Hook, Trigger};

/// What an event is for one hook, as the hook is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookMatch {
    /// Whether the hook would get the event if it were published now.
    pub matches: bool,
    /// What keeps the hook from getting it, or kept it when the event was accepted.
    pub why: Vec<MatchReason>,
    /// The newest delivery of the event for the hook.
    pub delivery: Option<Delivery>,
}

/// Why a hook does not get an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchReason {
    /// None of its types matches.
    Type,
    /// It wants the events of another project.
    Project,
    /// It is disabled.
    Disabled,
    /// It is paused: deliveries are held.
    Paused,
    /// It was created after the event was accepted.
    CreatedLater,
    /// It matches now and has no delivery: it was changed after the event was accepted.
    ChangedLater,
    /// The event is a test of another hook.
    TestOfAnother,
    /// Its pipeline dropped the event.
    Dropped,
}

impl MatchReason {
    /// The words, in the order of the variants.
    pub const NAMES: &'static [&'static str] = &[
        "type",
        "project",
        "disabled",
        "paused",
        "created_later",
        "changed_later",
        "test_of_another",
        "dropped",
    ];

    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl HookMatch {
    /// Compares `hook` with an event that has these `deliveries`, oldest first. `all_paused`: the tenant or the engine is.
    #[must_use]
    pub fn of(hook: &Hook, event: &Event, deliveries: &[Delivery], all_paused: bool) -> Self {
        let accepted_at = event.key.created_at();
        let own = deliveries.iter().rev().find(|delivery| delivery.hook == hook.id);
        let is_test = deliveries.iter().any(|delivery| delivery.trigger == Trigger::Test);
        let wants_type = hook.subscription.selects(&event.event_type);
        let wants_project = hook.wants_project(event.project);
        let matches = wants_type && wants_project && hook.enabled;
        let is_done = own.is_some_and(|delivery| delivery.state.is_final());
        let lacks = matches && own.is_none();
        let is_newer = hook.created_at > accepted_at;
        let why = [
            (MatchReason::Type, !wants_type),
            (MatchReason::Project, !wants_project),
            (MatchReason::Disabled, !hook.enabled),
            (MatchReason::Paused, (hook.options.paused || all_paused) && !is_done),
            (MatchReason::CreatedLater, own.is_none() && is_newer),
            (MatchReason::ChangedLater, lacks && !is_newer && !is_test && hook.updated_at > accepted_at),
            (MatchReason::TestOfAnother, lacks && is_test),
            (MatchReason::Dropped, own.is_some_and(|delivery| delivery.state == DeliveryState::Dropped)),
        ];
        let why = why.into_iter().filter(|(_, applies)| *applies).map(|(reason, _)| reason).collect();
        Self { matches, why, delivery: own.cloned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeliveryId, EventId, EventKey, HookId, TenantId, UnixMillis, testing};

    const ACCEPTED: UnixMillis = UnixMillis(1_800_000_000_000);

    fn delivery(hook: i64, trigger: Trigger, state: DeliveryState) -> Delivery {
        Delivery {
            id: DeliveryId(9),
            tenant: TenantId(1),
            hook: HookId(hook),
            event: EventKey::first_at(ACCEPTED),
            event_type: "order.paid".parse().unwrap(),
            trigger,
            state,
            attempts: 0,
            failures: 0,
            due_at: None,
            lease: None,
        }
    }

    fn check(change: impl Fn(&mut Hook), deliveries: &[Delivery], matches: bool, why: &[MatchReason]) {
        let mut hook = testing::hook("https://example.com/");
        let before = UnixMillis(ACCEPTED.0 - 1);
        (hook.created_at, hook.updated_at) = (before, before);
        change(&mut hook);
        let key = EventKey::first_at(ACCEPTED);
        let event = Event {
            key,
            id: EventId::of_key(key),
            tenant: TenantId(1),
            project: Some(7),
            ordering_key: None,
            trace: None,
            event_type: "order.paid".parse().unwrap(),
            occurred_at: ACCEPTED,
            data: "1".into(),
        };
        let found = HookMatch::of(&hook, &event, deliveries, false);
        assert_eq!((found.matches, found.why.as_slice()), (matches, why), "{hook:?}");
    }

    #[test]
    fn each_reason_is_named() {
        use MatchReason::*;
        let types = |text: &str| crate::domain::Subscription::new(vec![text.parse().unwrap()]).unwrap();
        let later = UnixMillis(ACCEPTED.0 + 1);
        let own = |state| [delivery(1, Trigger::Event, state)];
        let open = own(DeliveryState::Waiting);
        check(|_| {}, &own(DeliveryState::Succeeded), true, &[]);
        check(|hook| hook.subscription = types("order.*"), &open, true, &[]);
        check(|hook| hook.subscription = types("other"), &[], false, &[Type]);
        check(|hook| hook.project = Some(7), &open, true, &[]);
        check(|hook| hook.project = Some(8), &[], false, &[Project]);
        check(|hook| hook.enabled = false, &open, false, &[Disabled]);
        check(|hook| hook.options.paused = true, &open, true, &[Paused]);
        check(|hook| hook.options.paused = true, &own(DeliveryState::Succeeded), true, &[]);
        check(|hook| hook.created_at = later, &[], true, &[CreatedLater]);
        check(|hook| hook.created_at = later, &open, true, &[]);
        check(|hook| hook.updated_at = later, &[], true, &[ChangedLater]);
        check(|hook| hook.updated_at = later, &open, true, &[]);
        let test = [delivery(2, Trigger::Test, DeliveryState::Succeeded)];
        check(|_| {}, &test, true, &[TestOfAnother]);
        check(|_| {}, &own(DeliveryState::Dropped), true, &[Dropped]);
        check(
            |hook| (hook.enabled, hook.project) = (false, Some(8)),
            &own(DeliveryState::Dropped),
            false,
            &[Project, Disabled, Dropped],
        );
    }

    #[test]
    fn a_hook_of_a_paused_tenant_is_paused() {
        let (hook, event) = (testing::hook("https://example.com/"), testing::event());
        assert_eq!(
            HookMatch::of(&hook, &event, &[], true).why,
            [MatchReason::Paused, MatchReason::CreatedLater]
        );
    }

    #[test]
    fn every_reason_has_a_word() {
        assert_eq!(MatchReason::Type.as_str(), "type");
        assert_eq!(MatchReason::TestOfAnother.as_str(), "test_of_another");
        assert_eq!(MatchReason::Dropped.as_str(), "dropped");
        assert_eq!(MatchReason::NAMES.len(), MatchReason::Dropped as usize + 1);
    }
}
