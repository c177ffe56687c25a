//! What follows from the outcome of an attempt besides its record: notices to the tenant, lines of the log, and a disabled hook.

use super::decision::Decision;
use super::hook_lines::{self, About};
use super::notices::{Notice, NoticeKind};
use super::reason::reason;
use super::work::Work;
use super::worker::Worker;
use crate::directory::DirectoryError;
use crate::domain::{Actor, AuditAction, Disabled, DisabledWhy, Hook, Outcome, Trigger};

impl Worker {
    /// Disables the hook if its receiver is gone, or is `failing` for this reason for too long.
    pub(super) async fn disable_after(&self, hook: &Hook, decision: Decision, failing: Option<String>) {
        if let Decision::Exhausted { gone: true } = decision {
            self.disable(hook, DisabledWhy::Gone, "the receiver answered 410 Gone".to_owned()).await;
        } else if let Some(reason) = failing {
            let reason = format!("no attempt succeeded for too long; last, {reason}");
            self.disable(hook, DisabledWhy::Failing, reason).await;
        }
    }

    /// Tells the tenant of a fault and of an exhausted delivery, and the log of the latter. Tenants are told nothing of operational
    /// events: that would never end.
    pub(super) fn tell(&self, hook: &Hook, work: &Work, outcome: &Outcome, decision: Decision) {
        if work.trigger == Trigger::Test {
            return;
        }
        let is_exhausted = matches!(decision, Decision::Exhausted { .. });
        if is_exhausted {
            hook_lines::log_exhausted(hook, work, outcome);
        }
        if work.event.event_type.is_operational() {
            return;
        }
        let send = |kind| self.notices.send(Notice { tenant: hook.tenant, hook: Some(hook.id), kind });
        if let Outcome::Faulted { step, fault } = outcome {
            let pipelines = [&hook.preflight.0, &hook.pipeline.0, &hook.options.batch_pipeline.0];
            let plugin = pipelines.into_iter().flatten().nth(*step);
            let plugin = plugin.map_or_else(String::new, |step| step.plugin.to_string());
            let (kind, message) = (fault.kind, fault.message.clone());
            send(NoticeKind::PluginFaulting { step: *step, plugin, kind, message });
        }
        if is_exhausted {
            send(NoticeKind::DeliveryExhausted {
                delivery: work.delivery,
                event: work.event.id.clone(),
                event_type: work.event.event_type.clone(),
                attempts: work.attempts + 1,
                reason: reason(outcome),
            });
        }
    }

    /// Disables the hook: its receiver wants no more requests (Standard Webhooks, "Delivery"), or has failed for too long.
    async fn disable(&self, hook: &Hook, why: DisabledWhy, reason: String) {
        // Many attempts may be answered so at the same time.
        if self.directory.hook(hook.id).is_none_or(|now| !now.enabled || now.updated_at != hook.updated_at) {
            return;
        }
        let disabled = |current: &Hook| {
            // A hook that was changed meanwhile has not failed so.
            if current.updated_at != hook.updated_at {
                return Ok::<_, DirectoryError>(current.clone());
            }
            let mut disabled = Hook { enabled: false, ..current.clone() };
            disabled.options.disabled = Some(Disabled { why, since: self.sources.now() });
            Ok(disabled)
        };
        let editor = self.directory.by(&Actor::ENGINE);
        let (action, which) = (AuditAction::HookDisabled, (hook.tenant, hook.id));
        match editor.change_hook_as(action, which, disabled).await {
            Ok(Some(now)) if !now.enabled => {
                if hook_lines::permit(hook, About::State) {
                    tracing::warn!(tenant = %hook.tenant, hook = %hook.id, why = why.as_str(), reason, "a hook is disabled");
                }
                let Some(disabled) = now.options.disabled else { return };
                let kind = NoticeKind::HookDisabled { disabled, reason };
                self.notices.send(Notice { tenant: hook.tenant, hook: Some(hook.id), kind });
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(hook = %hook.id, error = &error as &dyn std::error::Error, "cannot disable a hook");
            }
        }
    }
}
