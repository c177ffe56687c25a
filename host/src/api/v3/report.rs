//! Views of pipeline runs and HTTP messages: steps, faults, logs, headers and bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::fault_place;
use crate::api::pointer::Pointer;
use crate::api::v3::openapi::schemas;
use crate::domain::attempt::LogLine;
use crate::domain::mask::{MASK, is_secret_name};
use crate::domain::{Fault, Header, HeaderList, Role, StepReport};

/// Headers by name. Values of a repeated header are joined by `, ` (RFC 9110, section 5.3).
#[derive(Debug, Clone, ToSchema)]
#[schema(value_type = std::collections::BTreeMap<String, String>)]
pub(super) struct Headers(HeaderList);

impl Headers {
    pub(super) fn new(headers: &[Header]) -> Self {
        let mut joined: HeaderList = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            match joined.iter_mut().find(|(other, _)| other.eq_ignore_ascii_case(name)) {
                Some((_, values)) => {
                    values.push_str(", ");
                    values.push_str(value);
                }
                None => joined.push((name.clone(), value.clone())),
            }
        }
        Self(joined)
    }

    /// Masks the values of these headers, whose names are in lower case.
    pub(super) fn masked(self, names: &[&str]) -> Self {
        self.masked_where(|name| names.contains(&name.to_ascii_lowercase().as_str()))
    }

    /// Masks the values of headers whose name indicates a secret.
    pub(super) fn without_secrets(self) -> Self {
        self.masked_where(is_secret_name)
    }

    fn masked_where(mut self, is_masked: impl Fn(&str) -> bool) -> Self {
        for (name, value) in &mut self.0 {
            if is_masked(name) {
                *value = MASK.into();
            }
        }
        self
    }
}

impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// A body, as text if it is UTF-8, else in base64. If `body` is null and `body_base64` is absent, there is no
/// body.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BodyView {
    /// The body as text; null if there is no body, or if it is not UTF-8.
    body: Option<String>,
    /// The body in base64 (RFC 4648, section 4), only if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    body_base64: Option<String>,
}

impl BodyView {
    pub(super) fn none() -> Self {
        Self { body: None, body_base64: None }
    }

    pub(super) fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { body: Some(text.to_owned()), body_base64: None },
            Err(_) => Self { body: None, body_base64: Some(STANDARD.encode(bytes)) },
        }
    }

    /// A truncated body, which may end within a character.
    pub(super) fn of_cut(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Err(error) if error.error_len().is_none() => Self::of(&bytes[..error.valid_up_to()]),
            _ => Self::of(bytes),
        }
    }
}

/// The run of one step.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Step)]
pub(super) struct StepView {
    /// The plugin as the pipeline names it.
    #[schema(value_type = schemas::PluginRef)]
    plugin: String,
    /// The version that ran; null if none was found.
    #[schema(value_type = Option<schemas::VersionNumber>)]
    version: Option<u32>,
    /// The SHA-256 digest of that version; null if none was found.
    #[schema(value_type = Option<schemas::Digest>)]
    digest: Option<String>,
    /// The last role that ran: `filter`, `mapper` or `transformer`; null if none ran.
    #[schema(value_type = Option<schemas::Role>)]
    role: Option<&'static str>,
    /// The roles that ran, in order.
    #[schema(value_type = Vec<schemas::Role>)]
    roles: Vec<&'static str>,
    /// The fuel used. One unit is about one WebAssembly instruction; host calls also use fuel.
    fuel: u64,
    /// The fuel granted: a base amount for each role, and more for larger input. Null in attempts of engine
    /// versions that did not record it.
    fuel_granted: Option<u64>,
    /// The duration of the step, in microseconds.
    duration_us: u64,
    /// The peak size of linear memory, in bytes.
    memory_bytes: u64,
    /// The limit on linear memory, in bytes. Only in dry runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    memory_granted: Option<u64>,
    /// The size of what the step returned, in bytes. Only in dry runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    output_bytes: Option<u64>,
    /// The most that the step may return: a base amount, and more for larger input. Only in dry runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u64)]
    output_granted: Option<u64>,
    /// The lines that the plugin logged.
    logs: Vec<LogView>,
    /// How the plugin failed; null if it did not fail.
    fault: Option<FaultView>,
}

impl From<&StepReport> for StepView {
    fn from(step: &StepReport) -> Self {
        let output = Some(step.output).filter(|output| output.granted > 0);
        Self {
            plugin: step.plugin.to_string(),
            version: step.resolved.as_ref().map(|resolved| resolved.version),
            digest: step.resolved.as_ref().map(|resolved| resolved.digest.to_string()),
            role: step.roles.last().map(|role| role.as_str()),
            roles: step.roles.iter().map(|role: &Role| role.as_str()).collect(),
            fuel: step.fuel,
            fuel_granted: Some(step.fuel_granted).filter(|granted| *granted > 0),
            duration_us: u64::try_from(step.duration.as_micros()).unwrap_or(u64::MAX),
            memory_bytes: step.memory_bytes,
            memory_granted: output.map(|output| output.memory_granted),
            output_bytes: output.map(|output| output.bytes),
            output_granted: output.map(|output| output.granted),
            logs: step.logs.iter().map(LogView::from).collect(),
            fault: step.fault.as_ref().map(FaultView::from),
        }
    }
}

/// A line that a plugin logged.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LogLine)]
pub(super) struct LogView {
    #[schema(value_type = schemas::LogLevel)]
    level: &'static str,
    /// The text of the line.
    message: String,
}

impl From<&LogLine> for LogView {
    fn from(line: &LogLine) -> Self {
        Self { level: line.level.as_str(), message: line.message.clone() }
    }
}

/// How a plugin failed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Fault)]
pub(super) struct FaultView {
    /// `trap`, `out-of-fuel`, `deadline`, `out-of-memory`, `output-too-large`, `invalid-output`, `failure` or
    /// `unavailable`.
    #[schema(value_type = schemas::FaultKind)]
    kind: &'static str,
    /// What failed, for people.
    message: String,
    /// The code that the plugin returned; only for `failure`.
    code: Option<String>,
    /// Whether the plugin reported that the same call may succeed later. A delivery is retried on its hook's
    /// schedule in either case; see its `next_attempt_at` and `note`.
    retryable: bool,
    /// The call stack of the plugin, innermost frame first.
    backtrace: Vec<String>,
    /// The value in the settings of the step that the message is about, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = String)]
    settings_pointer: Option<Pointer>,
    /// The line of the script that the message is about, counted from 1, if it names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    line: Option<u32>,
    /// The column in that line, counted from 1; absent if the message names only a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = u32)]
    column: Option<u32>,
}

impl From<&Fault> for FaultView {
    fn from(fault: &Fault) -> Self {
        let (line, column) = fault_place::in_script(&fault.message).unzip();
        Self {
            kind: fault.kind.as_str(),
            message: fault.message.clone(),
            code: fault.code.clone(),
            retryable: fault.retryable,
            backtrace: fault.backtrace.clone(),
            settings_pointer: fault_place::in_settings(&fault.message),
            line,
            column: column.flatten(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_joined_and_masked() {
        let pairs = [("Accept", "a"), ("X", "1"), ("accept", "b"), ("Authorization", "Bearer x")];
        let pairs = pairs.map(|(name, value)| (name.into(), value.into()));
        let headers = Headers::new(&pairs).without_secrets();
        let text = serde_json::to_string(&headers).unwrap();
        assert_eq!(text, r#"{"Accept":"a, b","X":"1","Authorization":"•••"}"#);
    }

    #[test]
    fn bodies_are_text_if_they_are_utf8() {
        for (view, json) in [
            (BodyView::of(b"{}"), r#"{"body":"{}"}"#),
            (BodyView::of(b"\xff"), r#"{"body":null,"body_base64":"/w=="}"#),
            (BodyView::of("aä".as_bytes()), r#"{"body":"aä"}"#),
            (BodyView::of_cut(&"aä".as_bytes()[..2]), r#"{"body":"a"}"#),
            (BodyView::none(), r#"{"body":null}"#),
        ] {
            assert_eq!(serde_json::to_string(&view).unwrap(), json);
        }
    }
}
