//! What tests share: a hook and an event.

mod receiver;

pub(crate) use receiver::{CERTIFICATE, receiver_options};

use super::{
    Event, EventId, EventKey, Hook, HookId, HookOptions, Origin, Pipeline, RetrySchedule, Signing,
    Subscription, TenantId, TypePattern, UnixMillis,
};

/// The time at which everything happens.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_000_000_000);
/// The tenant that everything belongs to.
pub(crate) const TENANT: TenantId = TenantId(1);

/// A plain hook of [`TENANT`].
pub(crate) fn hook(url: &str) -> Hook {
    Hook {
        id: HookId(1),
        tenant: TENANT,
        origin: Origin::default(),
        url: Hook::parse_url(url).unwrap(),
        subscription: Subscription::new(vec![TypePattern::Any]).unwrap(),
        project: None,
        enabled: true,
        description: String::new(),
        headers: Vec::new(),
        masked_headers: Vec::new(),
        authorization: None,
        preflight: Pipeline::default(),
        pipeline: Pipeline::default(),
        timeout: Hook::DEFAULT_TIMEOUT,
        retry: RetrySchedule::default(),
        signing: Signing::Standard,
        secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap()],
        options: HookOptions::default(),
        unreadable: false,
        created_at: NOW,
        updated_at: NOW,
    }
}

/// An event of [`TENANT`].
pub(crate) fn event() -> Event {
    Event {
        key: EventKey(1),
        id: EventId::of_key(EventKey(1)),
        tenant: TENANT,
        project: None,
        ordering_key: None,
        trace: None,
        event_type: "order.paid".parse().unwrap(),
        occurred_at: NOW,
        data: r#"{"n": 1}"#.into(),
    }
}
