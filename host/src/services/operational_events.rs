//! Operational events: what the engine tells a tenant about its own hooks, as events that hooks subscribe to by name.
//!
//! An event is stored like any other. Of one kind about one hook there is at most one in an interval; the next one says how
//! many were left out. Several nodes agree by the event's id, which names the interval.

mod event;
mod expiring_keys;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::delivery::{NoticeKind, NoticeReceiver};
use crate::domain::{HookId, TenantId, UnixMillis};
use crate::ingest::{IncomingEvent, Ingest};
use crate::sources::Sources;

use event::{Data, UnixTime};
pub use expiring_keys::ExpiringKeys;

/// How many kinds of hooks are remembered. Of others, the event's id still keeps a second one from an interval.
const MAX_REMEMBERED: usize = 100_000;
/// Those whose interval has ended are forgotten no more often than this: each is looked at.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(1);

/// See the module's head.
pub struct OperationalEvents {
    sources: Sources,
    ingest: Arc<Ingest>,
    interval: Duration,
    sent: HashMap<Key, Sent>,
    /// When those whose interval has ended were forgotten.
    forgotten_at: UnixMillis,
}

/// Tenant, hook and type.
type Key = (TenantId, Option<HookId>, &'static str);

struct Sent {
    at: UnixMillis,
    suppressed: u64,
}

impl OperationalEvents {
    /// Creates the service. It sends at most one event of a kind about a hook in each `interval`.
    #[must_use]
    pub fn new(sources: Sources, ingest: Arc<Ingest>, interval: Duration) -> Self {
        Self { sources, ingest, interval, sent: HashMap::new(), forgotten_at: UnixMillis(0) }
    }

    /// Makes events of `notices` until all their senders are gone.
    pub async fn run(mut self, mut notices: NoticeReceiver) {
        while let Some(notice) = notices.recv().await {
            if let Some(event) = self.event_of(notice.tenant, notice.hook, notice.kind) {
                // An error is logged; the next notice may do better.
                let _ = event::store(&self.ingest, event, notice.hook).await;
            }
        }
    }

    /// The event, unless there was one in the interval before.
    fn event_of(
        &mut self,
        tenant: TenantId,
        hook: Option<HookId>,
        kind: NoticeKind,
    ) -> Option<IncomingEvent> {
        let now = self.sources.now();
        let (name, mut data) = content(kind);
        let key = (tenant, hook, data.quota.unwrap_or(name));
        if let Some(sent) = self.sent.get_mut(&key).filter(|sent| sent.at.plus(self.interval) > now) {
            sent.suppressed += 1;
            return None;
        }
        if self.sent.len() >= MAX_REMEMBERED && self.forgotten_at.plus(FORGOTTEN_EVERY) <= now {
            let interval = self.interval;
            self.sent.retain(|_, sent| sent.at.plus(interval) > now);
            self.forgotten_at = now;
        }
        let has_room = self.sent.len() < MAX_REMEMBERED || self.sent.contains_key(&key);
        let before = has_room.then(|| self.sent.insert(key, Sent { at: now, suppressed: 0 })).flatten();
        data.suppressed = before.map_or(0, |sent| sent.suppressed);
        data.hook = hook.map(|hook| hook.to_string());
        let number = u128::from(now.0.unsigned_abs()) / self.interval.as_millis().max(1);
        let about = hook.map_or_else(|| tenant.to_string(), |hook| hook.to_string());
        event::event(tenant, name, &format!("{}:{about}:{number}", key.2), &data)
    }
}

/// The type of an event, and its data without the hook.
fn content(kind: NoticeKind) -> (&'static str, Data) {
    let none = Data::default();
    match kind {
        NoticeKind::HookFailing { since, failed, attempts, reason } => {
            let (failed, attempts) = (Some(failed), Some(attempts));
            let data = Data { since: Some(UnixTime(since)), failed, attempts, reason: Some(reason), ..none };
            ("hookwright.hook.failing", data)
        }
        NoticeKind::HookRecovered { failing_since } => {
            ("hookwright.hook.recovered", Data { since: Some(UnixTime(failing_since)), ..none })
        }
        NoticeKind::HookDisabled { disabled, reason } => {
            let (why, since) = (Some(disabled.why.as_str()), Some(UnixTime(disabled.since)));
            ("hookwright.hook.disabled", Data { why, since, reason: Some(reason), ..none })
        }
        NoticeKind::DeliveryExhausted { delivery, event, event_type, attempts, reason } => {
            let data = Data {
                delivery: Some(delivery.to_string()),
                event: Some(event.to_string()),
                event_type: Some(event_type.to_string()),
                attempts: Some(attempts),
                reason: Some(reason),
                ..none
            };
            ("hookwright.delivery.exhausted", data)
        }
        NoticeKind::PluginFaulting { step, plugin, kind, message } => {
            let (step, plugin, kind) = (Some(step), Some(plugin), Some(kind.as_str()));
            ("hookwright.plugin.faulting", Data { step, plugin, kind, reason: Some(message), ..none })
        }
        NoticeKind::QuotaNear { quota, used, limit } => {
            let (quota, used, limit) = (Some(quota), Some(used), Some(limit));
            ("hookwright.quota.near", Data { quota, used, limit, ..none })
        }
    }
}
