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
pub(crate) use crate::domain::testing::{NOW, event, hook};
use crate::domain::{DeliveryId, Event, EventId, EventKey, HookId, TenantId, Trigger};
use crate::random::SystemRandom;
use crate::sources::Sources;

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
    fn start(&self, work: Work, _of_hook: usize, permit: AttemptPermit, others: Vec<(Work, AttemptPermit)>) {
        let mut attempts = self.attempts.lock().unwrap();
        attempts.push((work, permit));
        attempts.extend(others);
        drop(attempts);
        self.started.notify_one();
    }
}

/// The system's clock and random numbers, and new ids.
pub(crate) fn sources() -> Sources {
    let ids = Arc::new(IdGenerator::new(0, 0));
    Sources { clock: SystemClock::shared(), ids, random: SystemRandom::shared(), trusted: Arc::default() }
}
