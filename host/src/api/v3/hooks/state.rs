//! The state of a hook.

use serde::Serialize;
use utoipa::ToSchema;

use crate::api::time::Time;
use crate::api::v3::openapi::schemas;
use crate::domain::DisabledWhy;
use crate::services::HookState;

/// The state of a hook. Which members there are besides `name` depends on it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookState)]
pub(in crate::api::v3) struct StateView {
    /// `ok`, `failing`, `circuit_open`, `awaiting_permission`, `paused` or `disabled`: the last that holds of
    /// these.
    #[schema(value_type = schemas::HookStateName)]
    name: &'static str,
    /// Since when. Absent for `ok`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Time, required = false)]
    since: Option<Time>,
    /// When the receiver is probed, for `circuit_open`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Time, required = false)]
    until: Option<Time>,
    /// How many of the last `attempts` failed, for `failing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    failed: Option<u32>,
    /// How many attempts are counted, for `failing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = u32, required = false)]
    attempts: Option<u32>,
    /// What is paused, for `paused`: `hook`, `tenant` or `engine`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::Paused, required = false)]
    paused: Option<&'static str>,
    /// Why, for `disabled`: `by_hand`, `gone` (the receiver answered 410) or `failing` (for too long).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schemas::DisabledWhy, required = false)]
    why: Option<&'static str>,
    /// Why in words, if the engine caused the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    reason: Option<String>,
}

impl From<HookState> for StateView {
    fn from(state: HookState) -> Self {
        let named = Self {
            name: state.name(),
            since: state.since().map(Time),
            until: None,
            failed: None,
            attempts: None,
            paused: None,
            why: None,
            reason: None,
        };
        match state {
            HookState::Ok => named,
            HookState::Failing { failed, attempts, reason, .. } => {
                Self { failed: Some(failed), attempts: Some(attempts), reason: Some(reason), ..named }
            }
            HookState::CircuitOpen { until, reason, .. } => {
                Self { until: Some(Time(until)), reason: Some(reason), ..named }
            }
            HookState::AwaitingPermission { reason, .. } => Self { reason, ..named },
            HookState::Paused { paused, .. } => Self { paused: Some(paused), ..named },
            HookState::Disabled(disabled) => Self {
                why: Some(disabled.why.as_str()),
                reason: match disabled.why {
                    DisabledWhy::ByHand => None,
                    DisabledWhy::Gone => Some("the receiver answered 410 Gone".to_owned()),
                    DisabledWhy::Failing => Some("no attempt succeeded for too long".to_owned()),
                },
                ..named
            },
        }
    }
}
