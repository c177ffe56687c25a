//! The health of hooks from and to columns.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::values::{from_json, to_json};
use crate::domain::{HookHealth, HookId, OpenCircuit, TenantId, UnixMillis};
use crate::storage::StorageError;

/// Hook, tenant, health, and until when the circuit is open.
pub type HealthRow = (i64, i64, String, Option<i64>);

#[derive(Serialize, Deserialize)]
struct HealthJson<'a> {
    failing_since: Option<i64>,
    all_failed_since: Option<i64>,
    failed: u32,
    attempts: u32,
    reason: Cow<'a, str>,
    open_since: Option<i64>,
    failed_probes: Option<u32>,
}

/// The row of a hook that is not well.
pub fn health_to_row(health: &HookHealth) -> Result<HealthRow, StorageError> {
    let circuit = health.circuit.as_ref();
    let json = to_json(&HealthJson {
        failing_since: health.failing_since.map(|time| time.0),
        all_failed_since: health.all_failed_since.map(|time| time.0),
        failed: health.failed,
        attempts: health.attempts,
        reason: health.reason.as_str().into(),
        open_since: circuit.map(|circuit| circuit.since.0),
        failed_probes: circuit.map(|circuit| circuit.failed_probes),
    })?;
    Ok((health.hook.0, health.tenant.0, json, circuit.map(|circuit| circuit.until.0)))
}

/// The health of a row.
pub fn health_from_row((hook, tenant, json, until): HealthRow) -> Result<HookHealth, StorageError> {
    let json: HealthJson<'_> = from_json("health of a hook", &json)
        .map_err(|error| error.in_row("hook_health", HookId(hook), hook))?;
    let circuit = match (json.open_since, until) {
        (Some(since), Some(until)) => Some(OpenCircuit {
            since: UnixMillis(since),
            until: UnixMillis(until),
            failed_probes: json.failed_probes.unwrap_or(0),
        }),
        _ => None,
    };
    Ok(HookHealth {
        hook: HookId(hook),
        tenant: TenantId(tenant),
        failing_since: json.failing_since.map(UnixMillis),
        all_failed_since: json.all_failed_since.map(UnixMillis),
        failed: json.failed,
        attempts: json.attempts,
        reason: json.reason.into_owned(),
        circuit,
    })
}
