//! Converts the members of a hook to a pipeline of standard plugins.
//!
//! The order is that of the original API: the filter and the header templates see the original event, then
//! the data is picked and renamed, and last the request is written. Steps without effect are omitted.

use serde::Serialize;
use serde_json::value::RawValue;
use url::Url;

use crate::api::problem::Problem;
use crate::api::v2_webitel::response::ApiError;
use crate::domain::{Invalid, Pipeline, PluginRef, Step};

/// The members of a hook that shape its requests.
#[derive(Debug)]
pub(super) struct Shape<'a> {
    pub(super) filter: Option<&'a RawValue>,
    pub(super) headers: Option<&'a RawValue>,
    /// Whether the cookies of the preflight response are sent.
    pub(super) cookie: bool,
    pub(super) fields: Option<&'a RawValue>,
    pub(super) map: Option<&'a RawValue>,
    pub(super) method: &'static str,
    pub(super) custom_body: bool,
    pub(super) raw_body: Option<String>,
    pub(super) escape_body: Option<bool>,
    pub(super) plugin: Option<Plugin>,
}

/// A plugin that replaces the template.
#[derive(Debug)]
pub(super) struct Plugin {
    pub(super) reference: PluginRef,
    /// A JSON object as text.
    pub(super) settings: String,
    pub(super) writes_requests: bool,
}

/// The settings of the preflight request.
#[derive(Debug)]
pub(super) struct Auth<'a> {
    pub(super) url: Url,
    pub(super) method: Option<&'static str>,
    pub(super) headers: Option<&'a RawValue>,
    pub(super) map: Option<&'a RawValue>,
    pub(super) cookie: bool,
}

#[derive(Serialize)]
struct FilterSettings<'a> {
    filter: &'a RawValue,
}

#[derive(Serialize)]
struct HeadersSettings<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cookie: bool,
}

#[derive(Serialize)]
struct MapSettings<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'a RawValue>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BodySettings<'a> {
    method: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    custom_body: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    escape_body: Option<bool>,
}

#[derive(Serialize)]
struct AuthSettings<'a> {
    url: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    map: Option<&'a RawValue>,
}

/// The pipeline that shapes a hook's requests.
///
/// # Errors
/// Fails if the settings of a plugin exceed the maximum size.
pub(super) fn shape(wanted: &Shape<'_>) -> Result<Pipeline, ApiError> {
    let mut steps = filter_step(wanted.filter)?;
    let headers = filled(wanted.headers);
    if headers.is_some() || wanted.cookie {
        let settings = HeadersSettings { headers, cookie: wanted.cookie };
        steps.push(standard("webitel-headers", "headers", &settings)?);
    }
    let replaced = wanted.plugin.as_ref().is_some_and(|plugin| plugin.writes_requests);
    let template = wanted.raw_body.as_deref().filter(|_| wanted.custom_body && !replaced);
    let (fields, map) = (filled(wanted.fields), filled(wanted.map));
    if template.is_none() && (fields.is_some() || map.is_some()) {
        steps.push(standard("webitel-map", "fields and map", &MapSettings { fields, map })?);
    }
    let own = wanted.plugin.as_ref().map(|plugin| step(plugin.reference.clone(), plugin.settings.clone()));
    let body = BodySettings {
        method: wanted.method,
        custom_body: template.is_some(),
        raw_body: template,
        escape_body: wanted.escape_body.filter(|_| template.is_some()),
    };
    let body = standard("webitel-body", "rawBody", &body)?;
    // A transformer runs after the request is written, a mapper before.
    steps.extend(match own {
        Some(own) if replaced => vec![body, own],
        Some(own) => vec![own, body],
        None => vec![body],
    });
    Ok(Pipeline(steps))
}

fn filter_step(filter: Option<&RawValue>) -> Result<Vec<Step>, ApiError> {
    let step = |filter| standard("webitel-filter", "filter", &FilterSettings { filter });
    filled(filter).map(step).into_iter().collect()
}

/// The pipeline that shapes the preflight request. It begins with the filter, so that dropped events cause no
/// preflight request.
///
/// # Errors
/// Fails like [`shape`].
pub(super) fn preflight(auth: &Auth<'_>, filter: Option<&RawValue>) -> Result<Pipeline, ApiError> {
    let settings = AuthSettings {
        url: auth.url.as_str(),
        method: auth.method,
        headers: filled(auth.headers),
        map: filled(auth.map),
    };
    let mut steps = filter_step(filter)?;
    steps.push(standard("webitel-auth", "auth", &settings)?);
    Ok(Pipeline(steps))
}

/// Filters out empty arrays and objects. The text is compact.
fn filled(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| !matches!(value.get(), "[]" | "{}"))
}

fn standard(name: &str, members: &str, settings: &impl Serialize) -> Result<Step, ApiError> {
    let text = serde_json::to_string(settings)
        .map_err(|error| Problem::internal("writing settings as JSON", &error))?;
    if text.len() > Pipeline::MAX_SETTINGS_LEN {
        let max = Pipeline::MAX_SETTINGS_LEN;
        return Err(ApiError::bad(format_args!("{members}: more than {max} bytes of JSON")));
    }
    let reference = name.parse().map_err(|Invalid(rule)| ApiError::bad(rule))?;
    Ok(step(reference, text))
}

fn step(plugin: PluginRef, settings: String) -> Step {
    Step { plugin, settings: settings.into() }
}
