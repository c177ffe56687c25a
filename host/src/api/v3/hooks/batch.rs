//! The member `batch` of a hook: several events in one request.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::steps::{HookStepView, StepInput, read_pipeline};
use crate::api::json::Object;
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::domain::{BatchFormat, BatchOptions, Hook, Pipeline, PluginRef};

/// Several events in one request, which is sent when it is full or when an event has waited long enough.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BatchInput {
    /// How many events a request has at most. It may have fewer, and has at most 1 MiB of them.
    #[schema(value_type = schemas::BatchEvents)]
    max_events: u64,
    /// How long an event waits for others at most, in milliseconds.
    #[schema(value_type = schemas::BatchWait)]
    max_wait_ms: u64,
    /// `json`: the body is a JSON array of the bodies that the pipeline writes for the events. `cloudevents`: it is a
    /// batch of CloudEvents, which the pipeline must write. Default: `json`.
    #[schema(value_type = Option<schemas::BatchFormat>)]
    format: Option<String>,
    /// The plugins that write the request from what the hook's pipeline wrote for each event, in order, at most 16. They
    /// get one event of the type `hookwright.batch`, whose data is the JSON array of the bodies. Default: none.
    #[schema(value_type = Option<Vec<StepInput>>, max_items = 16)]
    pipeline: Option<Vec<Object<StepInput>>>,
}

/// Several events in one request.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Batch)]
pub(super) struct BatchView {
    /// How many events a request has at most.
    #[schema(value_type = schemas::BatchEvents)]
    max_events: usize,
    /// How long an event waits for others at most, in milliseconds.
    #[schema(value_type = schemas::BatchWait)]
    max_wait_ms: u64,
    #[schema(value_type = schemas::BatchFormat)]
    format: &'static str,
    /// The plugins that write the request; absent if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pipeline: Vec<HookStepView>,
}

impl BatchView {
    /// The member of `hook`, if it has one.
    pub(super) fn of(hook: &Hook) -> Option<Self> {
        let options = hook.batch()?;
        Some(Self {
            max_events: options.max_events,
            max_wait_ms: u64::try_from(options.max_wait.as_millis()).unwrap_or(u64::MAX),
            format: options.format.as_str(),
            pipeline: hook.options.batch_pipeline.0.iter().map(HookStepView::from).collect(),
        })
    }
}

/// Validates the member, for a hook with this `pipeline`. Also returns the pipeline that writes the request.
///
/// # Errors
/// Fails with the first of its members that breaks a rule.
pub(super) fn read_batch(
    input: BatchInput,
    pipeline: &Pipeline,
    resolves: impl Fn(&PluginRef) -> bool,
) -> Result<(BatchOptions, Pipeline), Problem> {
    let here = |member| Pointer::to("batch").member(member);
    let at = |member| move |rule| Problem::invalid(here(member), rule);
    let options = BatchOptions {
        max_events: BatchOptions::check_events(input.max_events).map_err(at("max_events"))?,
        max_wait: BatchOptions::check_wait(input.max_wait_ms).map_err(at("max_wait_ms"))?,
        format: input.format.as_deref().map_or(Ok(BatchFormat::Json), str::parse).map_err(at("format"))?,
    };
    if options.format == BatchFormat::CloudEvents && pipeline.is_empty() {
        let rule = "a batch of CloudEvents needs a pipeline whose last plugin writes CloudEvents, such as `cloudevents` in \
            structured mode";
        return Err(Problem::at(Kind::InvalidValue, here("format"), rule));
    }
    let written = read_pipeline(here("pipeline"), input.pipeline.unwrap_or_default(), resolves)?;
    Ok((options, written))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::json;

    #[test]
    fn problems_point_to_their_member() {
        let without_plugins = Pipeline::default();
        for (members, pointer) in [
            (r#""max_events": 2, "max_wait_ms": 0"#, None),
            (r#""max_events": 1000, "max_wait_ms": 60000, "format": "json""#, None),
            (r#""max_events": 1, "max_wait_ms": 0"#, Some("/batch/max_events")),
            (r#""max_events": 1001, "max_wait_ms": 0"#, Some("/batch/max_events")),
            (r#""max_events": 18446744073709551615, "max_wait_ms": 0"#, Some("/batch/max_events")),
            (r#""max_events": 2, "max_wait_ms": 60001"#, Some("/batch/max_wait_ms")),
            (r#""max_events": 2, "max_wait_ms": 0, "format": "xml""#, Some("/batch/format")),
            (r#""max_events": 2, "max_wait_ms": 0, "format": "cloudevents""#, Some("/batch/format")),
            (
                r#""max_events": 2, "max_wait_ms": 0, "pipeline": [{"plugin": "gone"}]"#,
                Some("/batch/pipeline/0/plugin"),
            ),
        ] {
            let input: BatchInput = json::parse(format!("{{{members}}}").as_bytes()).unwrap();
            let problem = read_batch(input, &without_plugins, |_| false).err();
            assert_eq!(
                problem.as_ref().and_then(|it| it.pointer()).map(Pointer::as_str),
                pointer,
                "{members}"
            );
        }
        for members in
            [r#""max_events": 2"#, r#""max_wait_ms": 0"#, r#""max_events": 2, "max_wait_ms": 0, "max": 1"#]
        {
            assert!(json::parse::<BatchInput>(format!("{{{members}}}").as_bytes()).is_err(), "{members}");
        }
    }
}
