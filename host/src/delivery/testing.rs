//! What the tests of `delivery` share.

mod store;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

pub(crate) use self::store::SpyStore;
use super::dispatcher::{AttemptPermit, StartAttempt};
use super::limits::DispatcherLimits;
use super::work::Work;
use crate::clock::SystemClock;
use crate::domain::ids::IdGenerator;
use crate::domain::{
    DeliveryId, Event, EventId, EventKey, Hook, HookId, Origin, Pipeline, RetrySchedule, Signing,
    Subscription, TenantId, Trigger, TypePattern, UnixMillis,
};
use crate::random::SystemRandom;
use crate::sources::Sources;

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
        event_type: "order.paid".parse().unwrap(),
        occurred_at: NOW,
        data: r#"{"n": 1}"#.into(),
    }
}

/// A delivery with this number.
pub(crate) fn work(tenant: i64, hook: i64, number: i64) -> Work {
    let key = EventKey(number);
    let event = Event {
        key,
        id: EventId::of_key(key),
        tenant: TenantId(tenant),
        event_type: "t".parse().unwrap(),
        data: "{}".into(),
        ..event()
    };
    Work::fresh(DeliveryId(number), HookId(hook), Arc::new(event), Trigger::Event)
}

/// The limits of an engine with default settings.
pub(crate) fn limits() -> DispatcherLimits {
    DispatcherLimits {
        in_flight: 512,
        in_flight_per_tenant: 256,
        in_flight_per_hook: 64,
        unfinished: 3 * 512,
        queued: 40_000,
        queued_per_hook: 1_000,
        queued_bytes: 64 << 20,
        lease: Duration::from_secs(900),
    }
}

/// Collects attempts instead of making them.
#[derive(Default)]
pub(crate) struct Collector {
    attempts: Mutex<Vec<(Work, AttemptPermit)>>,
    /// Notified when one starts.
    pub started: Notify,
}

impl Collector {
    /// Takes what has started since.
    pub(crate) fn take(&self) -> Vec<(Work, AttemptPermit)> {
        std::mem::take(&mut *self.attempts.lock().unwrap())
    }
}

impl StartAttempt for Collector {
    fn start(&self, work: Work, _of_hook: usize, permit: AttemptPermit) {
        self.attempts.lock().unwrap().push((work, permit));
        self.started.notify_one();
    }
}

/// The system's clock and random numbers, and new ids.
pub(crate) fn sources() -> Sources {
    let ids = Arc::new(IdGenerator::new(0, 0));
    Sources { clock: SystemClock::shared(), ids, random: SystemRandom::shared() }
}
