//! A span, in terms of OpenTelemetry.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{SpanId, TraceContext, TraceId, UnixMillis};

/// The longest text of an attribute or an error, in bytes.
const MAX_TEXT: usize = 256;

/// What has happened between two points in time.
#[derive(Debug, Clone)]
pub struct TraceSpan {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id.
    pub span_id: SpanId,
    /// The span that caused it, and whether that is another process's, as far as this one knows.
    pub parent: Option<(SpanId, bool)>,
    /// What tracing systems have added.
    pub state: Option<Arc<str>>,
    /// What it is. There are few names.
    pub name: &'static str,
    /// Its kind.
    pub kind: SpanKind,
    /// When it began, in nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// When it ended.
    pub end_ns: u64,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Value)>,
    /// Other spans that it belongs to.
    pub links: Vec<TraceContext>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// How a span is related to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Within the engine.
    Internal,
    /// A request to the engine.
    Server,
    /// A request of the engine.
    Client,
    /// Works on what another span has left in the engine.
    Consumer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

impl TraceSpan {
    /// A span in the trace of `parent`, below it.
    #[must_use]
    pub fn below(parent: &TraceContext, span_id: SpanId, is_remote: bool, name: &'static str) -> Self {
        Self {
            trace_id: parent.trace_id,
            span_id,
            parent: Some((parent.span_id, is_remote)),
            state: parent.state.clone(),
            name,
            kind: SpanKind::Internal,
            start_ns: 0,
            end_ns: 0,
            attributes: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// The same with this kind.
    #[must_use]
    pub fn of_kind(self, kind: SpanKind) -> Self {
        Self { kind, ..self }
    }

    /// The same, which took so long until `end_ns`.
    #[must_use]
    pub fn lasting(self, duration: Duration, end_ns: u64) -> Self {
        let duration = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Self { start_ns: end_ns.saturating_sub(duration), end_ns, ..self }
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// The span has failed: how, of few kinds, and why, in words.
    pub fn fail(&mut self, kind: impl Into<Value>, why: &str) {
        self.set("error.type", kind);
        self.error = Some(shortened(why).to_owned());
    }
}

/// Nanoseconds since the Unix epoch.
#[must_use]
pub fn nanos(time: UnixMillis) -> u64 {
    u64::try_from(time.0).unwrap_or_default().saturating_mul(1_000_000)
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(shortened(text).to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}
