//! Options of hooks from and to their JSON column.

use std::borrow::Cow;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::receiver_options::ReceiverJson;
use super::values::{damaged, from_json, to_json};
use crate::domain::{
    BatchOptions, Disabled, Flow, HookOptions, HookOrdering, Invalid, Pipeline, Rate, UnixMillis,
};
use crate::storage::StorageError;

/// The options of a hook: only members that differ from the default.
#[derive(Default, Serialize, Deserialize)]
struct OptionsJson<'a> {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paused_since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_why: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    disabled_since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordering: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ordering_skip_after: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver: Option<ReceiverJson<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_in_flight: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_per_second: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retain_bodies_s: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<BatchJson>,
    /// What a newer build stored, which a change by this one keeps.
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct BatchJson {
    max_events: usize,
    max_wait_ms: u64,
    format: String,
}

impl BatchJson {
    fn of(options: &BatchOptions) -> Self {
        Self {
            max_events: options.max_events,
            max_wait_ms: u64::try_from(options.max_wait.as_millis()).unwrap_or(u64::MAX),
            format: options.format.as_str().to_owned(),
        }
    }

    fn into_options(self) -> Result<BatchOptions, StorageError> {
        Ok(BatchOptions {
            max_events: self.max_events,
            max_wait: Duration::from_millis(self.max_wait_ms),
            format: self.format.parse().map_err(|error: Invalid| damaged("hook", error))?,
        })
    }
}

/// The column for `options`.
pub fn hook_options_to_json(options: &HookOptions) -> Result<String, StorageError> {
    let unknown = options.unknown.as_deref().map(|text| from_json("hook", text)).transpose()?;
    let flow = options.flow.as_deref();
    to_json(&OptionsJson {
        paused: options.paused,
        paused_since: options.paused_since.map(|time| time.0),
        disabled_why: options.disabled.map(|disabled| disabled.why.as_str().into()),
        disabled_since: options.disabled.map(|disabled| disabled.since.0),
        ordering: options.ordering.map(|ordering| ordering.scope.as_str().into()),
        ordering_skip_after: options.ordering.and_then(|ordering| ordering.skip_after),
        receiver: options.receiver.as_deref().and_then(ReceiverJson::of),
        max_in_flight: flow.and_then(|flow| flow.max_in_flight),
        max_per_second: flow.and_then(|flow| flow.max_per_second).map(Rate::as_f64),
        retain_bodies_s: Some(options.retain_bodies.as_secs()).filter(|seconds| *seconds > 0),
        batch: flow.and_then(|flow| flow.batch).as_ref().map(BatchJson::of),
        unknown: unknown.unwrap_or_default(),
    })
}

/// The options of a column.
pub fn hook_options_from_json(text: &str) -> Result<HookOptions, StorageError> {
    // Most hooks have none.
    if text == "{}" {
        return Ok(HookOptions::default());
    }
    let json: OptionsJson<'_> = from_json("hook", text)?;
    let disabled = match (json.disabled_why, json.disabled_since) {
        (Some(why), Some(since)) => {
            let why = why.parse().map_err(|error: Invalid| damaged("hook", error))?;
            Some(Disabled { why, since: UnixMillis(since) })
        }
        _ => None,
    };
    let flow = Flow {
        max_in_flight: json.max_in_flight,
        max_per_second: json.max_per_second.map(Rate::nearest),
        batch: json.batch.map(BatchJson::into_options).transpose()?,
    };
    let scope = json.ordering.map(|text| text.parse()).transpose();
    let scope = scope.map_err(|error: Invalid| damaged("hook", error))?;
    let ordering = scope.map(|scope| HookOrdering { scope, skip_after: json.ordering_skip_after });
    let unknown = (!json.unknown.is_empty()).then(|| to_json(&json.unknown)).transpose()?;
    Ok(HookOptions {
        paused: json.paused,
        paused_since: json.paused_since.map(UnixMillis),
        disabled,
        ordering,
        receiver: json.receiver.map(ReceiverJson::into_options).transpose()?,
        flow: flow.into_option(),
        // It is sealed.
        batch_pipeline: Pipeline::default(),
        retain_bodies: Duration::from_secs(json.retain_bodies_s.unwrap_or(0)),
        unknown: unknown.map(Into::into),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BatchFormat, DisabledWhy, OrderingScope};

    #[test]
    fn only_what_differs_from_the_default_is_stored_and_what_a_newer_build_stored_is_kept() {
        let disabled = Disabled { why: DisabledWhy::Failing, since: UnixMillis(7) };
        let options = HookOptions { paused: true, disabled: Some(disabled), ..HookOptions::default() };
        let flow = Flow { max_in_flight: Some(3), max_per_second: Rate::per_second(0.25).ok(), batch: None };
        let max_wait = Duration::from_secs(1);
        let batch = BatchOptions { max_events: 5, max_wait, format: BatchFormat::CloudEvents };
        let together = Flow { batch: Some(batch), ..Flow::default() };
        let together = HookOptions { flow: together.into_option(), ..HookOptions::default() };
        let limited = HookOptions { flow: flow.into_option(), ..HookOptions::default() };
        let ordered = HookOptions {
            ordering: Some(HookOrdering { scope: OrderingScope::Key, skip_after: Some(3) }),
            ..HookOptions::default()
        };
        for (options, text) in [
            (HookOptions::default(), "{}"),
            (limited, r#"{"max_in_flight":3,"max_per_second":0.25}"#),
            (ordered, r#"{"ordering":"key","ordering_skip_after":3}"#),
            (together, r#"{"batch":{"max_events":5,"max_wait_ms":1000,"format":"cloudevents"}}"#),
            (options, r#"{"paused":true,"disabled_why":"failing","disabled_since":7}"#),
            (
                HookOptions { retain_bodies: Duration::from_secs(60), ..HookOptions::default() },
                r#"{"retain_bodies_s":60}"#,
            ),
        ] {
            assert_eq!(hook_options_to_json(&options).unwrap(), text);
            assert_eq!(hook_options_from_json(text).unwrap(), options);
        }
        let newer = r#"{"paused_since":5,"later":{"a":[1]}}"#;
        let read = hook_options_from_json(newer).unwrap();
        assert_eq!(read.paused_since, Some(UnixMillis(5)));
        assert_eq!(hook_options_to_json(&read).unwrap(), newer);
    }
}
