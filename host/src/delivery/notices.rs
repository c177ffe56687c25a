//! What the engine tells a tenant about its hooks. A notice becomes an operational event, which ingest accepts.

use tokio::sync::mpsc;

use crate::domain::{DeliveryId, Disabled, EventId, EventType, FaultKind, HookId, TenantId, UnixMillis};

/// How many notices wait to become events. Further ones are lost, and counted.
const MAX_WAITING: usize = 1_024;

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
pub struct Notices(mpsc::Sender<Notice>);

impl Notices {
    /// Creates the sender and the receiver.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Notice>) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self(sender), receiver)
    }

    /// Passes a notice on, unless too many wait.
    pub fn send(&self, notice: Notice) {
        if let Err(mpsc::error::TrySendError::Full(notice)) = self.0.try_send(notice) {
            tracing::warn!(tenant = %notice.tenant, "too many operational events wait: one is lost");
        }
    }
}
