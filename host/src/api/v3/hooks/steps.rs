//! The steps of a pipeline, as they are sent and shown.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::api::json::{self, Object};
use crate::api::pointer::Pointer;
use crate::api::problem::{Kind, Problem};
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::{Hook, Invalid, Pipeline, PluginRef, Step};

/// A step of a pipeline: a plugin with settings.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api::v3) struct StepInput {
    /// The plugin: `name` (its newest version), `name@3` (that version) or `sha256:…` (by digest).
    #[schema(value_type = schemas::PluginRef)]
    plugin: String,
    /// The settings for the plugin: a JSON object of at most 256 KiB, which the plugin validates. Default:
    /// `{}`.
    #[schema(value_type = Option<schemas::PluginSettings>)]
    settings: Option<Box<RawValue>>,
}

/// A step of a pipeline: a plugin with settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = HookStep)]
pub(super) struct HookStepView {
    #[schema(value_type = schemas::PluginRef)]
    plugin: String,
    #[schema(value_type = schemas::PluginSettings)]
    settings: Box<RawValue>,
}

impl From<&Step> for HookStepView {
    fn from(step: &Step) -> Self {
        Self { plugin: step.plugin.to_string(), settings: json::raw(&step.settings) }
    }
}

/// Validates the steps of the pipeline at `root`.
///
/// # Errors
/// Fails if there are too many, or with the first one that breaks a rule.
pub(in crate::api::v3) fn read_pipeline(
    root: Pointer,
    steps: Vec<Object<StepInput>>,
    resolves: impl Fn(&PluginRef) -> bool,
) -> Result<Pipeline, Problem> {
    if steps.len() > Pipeline::MAX_STEPS {
        let rule = format!("a pipeline has at most {} steps", Pipeline::MAX_STEPS);
        return Err(Problem::at(Kind::InvalidValue, root, rule));
    }
    let mut pipeline = Pipeline::default();
    for (index, Object(step)) in steps.into_iter().enumerate() {
        let here = root.clone().index(index);
        let invalid = |rule| Problem::invalid(here.clone().member("plugin"), rule);
        let plugin: PluginRef = step.plugin.parse().map_err(invalid)?;
        if !resolves(&plugin) {
            return Err(invalid(Invalid::new(format!("there is no plugin `{plugin}`"))));
        }
        let settings = check_settings(step.settings.as_deref()).map_err(|problem| problem.under(&here))?;
        pipeline.0.push(Step { plugin, settings: settings.into() });
    }
    Ok(pipeline)
}

/// The hook with a pipeline of these steps, for a dry run.
///
/// # Errors
/// As [`read_pipeline`], at `/pipeline`.
pub(super) fn with_steps(
    hook: &Hook,
    steps: Vec<Object<StepInput>>,
    directory: &Directory,
) -> Result<Hook, Problem> {
    let resolves = |plugin: &PluginRef| directory.plugin(hook.tenant, plugin).is_some();
    let pipeline = read_pipeline(Pointer::to("pipeline"), steps, resolves)?;
    Ok(Hook { pipeline, ..hook.clone() })
}

/// The settings of a step as text.
///
/// # Errors
/// Fails if the settings are not an object, or exceed the maximum size.
pub(in crate::api::v3) fn check_settings(settings: Option<&RawValue>) -> Result<&str, Problem> {
    let text = settings.map_or("{}", RawValue::get);
    if !text.starts_with('{') {
        return Err(Problem::at(Kind::WrongType, Pointer::to("settings"), "expected an object as settings"));
    }
    if text.len() > Pipeline::MAX_SETTINGS_LEN {
        let detail = format!("settings have at most {} bytes of JSON", Pipeline::MAX_SETTINGS_LEN);
        return Err(Problem::at(Kind::TooLarge, Pointer::to("settings"), detail));
    }
    Ok(text)
}
