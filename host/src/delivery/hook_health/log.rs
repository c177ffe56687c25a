//! Logs how the states of hooks change.

use super::record::Changes;
use crate::delivery::hook_lines::{self, About};
use crate::delivery::work::Work;
use crate::domain::{Hook, HookHealth, Outcome};

/// Logs how the hook's state has changed by an attempt.
pub(super) fn log(hook: &Hook, work: &Work, (outcome, health): (&Outcome, &HookHealth), changes: Changes) {
    let is_longer_open = changes.circuit && health.circuit.is_some_and(|circuit| circuit.failed_probes > 0);
    let has_changed = changes.began_to_fail || changes.recovered_from.is_some() || changes.circuit;
    if !has_changed || is_longer_open || !hook_lines::permit(hook, About::State) {
        return;
    }
    let (tenant, hook, delivery, event) = (hook.tenant, hook.id, work.delivery, work.event.key);
    let (attempt, outcome, reason) = (work.attempts + 1, outcome.as_str(), &health.reason);
    match health.circuit.filter(|_| changes.circuit).map(|circuit| circuit.until.0) {
        Some(until) => {
            tracing::warn!(%tenant, %hook, %delivery, %event, attempt, outcome, reason, until, "the circuit of a hook is open: its deliveries are held");
        }
        None if changes.began_to_fail => {
            tracing::warn!(%tenant, %hook, %delivery, %event, attempt, outcome, reason, "a hook is failing");
        }
        None if changes.recovered_from.is_some() => {
            tracing::info!(%tenant, %hook, %delivery, %event, attempt, outcome, "a hook has recovered");
        }
        None => {
            tracing::info!(%tenant, %hook, %delivery, %event, attempt, outcome, "the circuit of a hook is closed");
        }
    }
}
