//! What the engine tells a tenant about its hooks. A notice becomes an operational event, which ingest accepts.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::directory::NearQuota;
use crate::domain::{DeliveryId, Disabled, EventId, EventType, FaultKind, HookId, TenantId, UnixMillis};
use crate::log_limiter::LogLimiter;

/// How many notices wait to become events. Further ones are lost.
const MAX_WAITING: usize = 8_192;
/// How many of one tenant.
const MAX_WAITING_OF_TENANT: usize = 64;

/// What has happened.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Whom it is for.
    pub tenant: TenantId,
    /// The hook that it is about, which never gets the event.
    pub hook: Option<HookId>,
    /// What has happened.
    pub kind: NoticeKind,
}

impl Notice {
    /// `tenant` has nearly used up a quota.
    #[must_use]
    pub fn of_quota(tenant: TenantId, near: NearQuota) -> Self {
        let NearQuota { name: quota, used, limit } = near;
        Self { tenant, hook: None, kind: NoticeKind::QuotaNear { quota, used, limit } }
    }
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum NoticeKind {
    /// A hook is failing.
    HookFailing {
        /// Since when.
        since: UnixMillis,
        /// How many of the last attempts failed.
        failed: u32,
        /// How many attempts are the last ones.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// A hook that was failing is well.
    HookRecovered {
        /// Since when it failed.
        failing_since: UnixMillis,
    },
    /// The engine has disabled a hook.
    HookDisabled {
        /// Why and since when.
        disabled: Disabled,
        /// Why, in words.
        reason: String,
    },
    /// A delivery failed and is not retried.
    DeliveryExhausted {
        /// The delivery.
        delivery: DeliveryId,
        /// Its event.
        event: EventId,
        /// The event's type.
        event_type: EventType,
        /// How many attempts there were.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// A plugin of a hook failed.
    PluginFaulting {
        /// The step, counted from 0.
        step: usize,
        /// The plugin of the step.
        plugin: String,
        /// How it failed.
        kind: FaultKind,
        /// The message.
        message: String,
    },
    /// The tenant has used most of a quota.
    QuotaNear {
        /// Its name.
        quota: &'static str,
        /// How much is used.
        used: u64,
        /// How much may be used.
        limit: u64,
    },
}

/// Passes notices on. Clones pass them to the same receiver.
#[derive(Debug, Clone)]
pub struct Notices(Arc<Sender>);

/// What [`Notices`] pass on.
#[derive(Debug)]
pub struct NoticeReceiver(Arc<Waiting>);

/// The last one that is dropped ends the receiver.
#[derive(Debug)]
struct Sender(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    queue: Mutex<NoticeQueue>,
    changed: Notify,
}

/// A tenant whose hooks all fail takes no room from others, and does not delay them.
#[derive(Debug, Default)]
struct NoticeQueue {
    of_tenants: FxHashMap<TenantId, VecDeque<Notice>>,
    /// Tenants with notices, round robin.
    tenants: VecDeque<TenantId>,
    waiting: usize,
    is_closed: bool,
}

/// Many notices may be lost at once.
static LOST: LogLimiter = LogLimiter::new();

impl Notices {
    /// Creates the sender and the receiver.
    #[must_use]
    pub fn channel() -> (Self, NoticeReceiver) {
        let waiting = Arc::<Waiting>::default();
        (Self(Arc::new(Sender(Arc::clone(&waiting)))), NoticeReceiver(waiting))
    }

    /// Passes a notice on, unless too many wait.
    pub fn send(&self, notice: Notice) {
        let (tenant, Sender(waiting)) = (notice.tenant, &*self.0);
        if waiting.queue().push(notice) {
            waiting.changed.notify_one();
        } else if let Some(unlogged) = LOST.permit() {
            tracing::warn!(%tenant, unlogged, "too many operational events wait: one is lost");
        }
    }
}

impl NoticeReceiver {
    /// The next notice, round robin between tenants. `None` if there is none, and no sender.
    pub async fn recv(&mut self) -> Option<Notice> {
        loop {
            {
                let mut queue = self.0.queue();
                let next = queue.pop();
                if next.is_some() || queue.is_closed {
                    return next;
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.0.queue().is_closed = true;
        self.0.changed.notify_one();
    }
}

impl Waiting {
    fn queue(&self) -> MutexGuard<'_, NoticeQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl NoticeQueue {
    /// Whether there was room.
    fn push(&mut self, notice: Notice) -> bool {
        let tenant = notice.tenant;
        if self.waiting >= MAX_WAITING {
            return false;
        }
        let of_tenant = self.of_tenants.entry(tenant).or_default();
        if of_tenant.len() >= MAX_WAITING_OF_TENANT {
            return false;
        }
        if of_tenant.is_empty() {
            self.tenants.push_back(tenant);
        }
        of_tenant.push_back(notice);
        self.waiting += 1;
        true
    }

    fn pop(&mut self) -> Option<Notice> {
        let tenant = self.tenants.pop_front()?;
        let of_tenant = self.of_tenants.get_mut(&tenant)?;
        let notice = of_tenant.pop_front()?;
        self.waiting -= 1;
        if of_tenant.is_empty() {
            self.of_tenants.remove(&tenant);
        } else {
            self.tenants.push_back(tenant);
        }
        Some(notice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_with_many_notices_neither_delays_nor_displaces_those_of_others() {
        let (sender, mut receiver) = Notices::channel();
        let notice = |tenant| Notice {
            tenant: TenantId(tenant),
            hook: None,
            kind: NoticeKind::HookRecovered { failing_since: UnixMillis(0) },
        };
        for _ in 0..2 * MAX_WAITING {
            sender.send(notice(1));
        }
        sender.send(notice(2));
        drop(sender.clone());
        drop(sender);
        let mut tenants = Vec::new();
        while let Some(notice) = receiver.recv().await {
            tenants.push(notice.tenant.0);
        }
        assert_eq!(tenants.len(), MAX_WAITING_OF_TENANT + 1);
        assert_eq!(tenants[..3], [1, 2, 1]);
    }
}
