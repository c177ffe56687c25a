//! Spans as OTLP 1 sends them: messages of `opentelemetry/proto/collector/trace/v1/trace_service.proto`, and those that they
//! consist of. Fields that are not used are left out.

use prost::Message;

use super::span::{SpanKind, TraceSpan, Value};
use crate::domain::TraceContext;

/// Who sends the spans.
#[derive(Debug, Clone)]
pub struct Resource(pub Vec<(&'static str, String)>);

/// The semantic conventions that names of attributes follow.
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
/// The flag of a sampled trace (W3C), and that the other two are set.
const SAMPLED: u32 = 0x101;
/// The parent, or the linked span, is another process's.
const IS_REMOTE: u32 = 0x200;
/// `STATUS_CODE_ERROR`.
const ERROR: i32 = 2;

#[derive(Message)]
struct ExportTraceServiceRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
    #[prost(string, tag = "3")]
    schema_url: String,
}

#[derive(Message)]
struct ResourceMessage {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Message)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Message)]
struct AnyValue {
    #[prost(oneof = "Kind", tags = "1, 3")]
    value: Option<Kind>,
}

#[derive(prost::Oneof)]
enum Kind {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

#[derive(Message)]
struct ExportTraceServiceResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// The body of a request that exports `spans`.
#[must_use]
pub fn encode(resource: &Resource, spans: Vec<TraceSpan>) -> Vec<u8> {
    let Resource(attributes) = resource;
    let attributes = attributes.iter().map(|(name, value)| attribute(name, Kind::Text(value.clone())));
    let scope =
        Scope { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans =
        vec![ScopeSpans { scope: Some(scope), spans: spans.into_iter().map(SpanMessage::from).collect() }];
    let resource = Some(ResourceMessage { attributes: attributes.collect() });
    let all = ResourceSpans { resource, scope_spans, schema_url: SCHEMA.to_owned() };
    ExportTraceServiceRequest { resource_spans: vec![all] }.encode_to_vec()
}

/// How many spans a collector that has accepted the request has rejected, and why.
#[must_use]
pub fn rejected(response: &[u8]) -> Option<(usize, String)> {
    let PartialSuccess { rejected_spans, error_message } =
        ExportTraceServiceResponse::decode(response).ok()?.partial_success?;
    let rejected = usize::try_from(rejected_spans).ok().filter(|rejected| *rejected > 0)?;
    Some((rejected, error_message))
}

fn attribute(name: &str, value: Kind) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

impl From<TraceSpan> for SpanMessage {
    fn from(span: TraceSpan) -> Self {
        let (parent_span_id, is_remote) = match span.parent {
            Some((parent, is_remote)) => (parent.0.to_vec(), is_remote),
            None => (Vec::new(), false),
        };
        let attributes = span.attributes.into_iter().map(|(name, value)| {
            let value = match value {
                Value::Text(text) => Kind::Text(text),
                Value::Number(number) => Kind::Number(number),
            };
            attribute(name, value)
        });
        Self {
            trace_id: span.trace_id.0.to_vec(),
            span_id: span.span_id.0.to_vec(),
            trace_state: span.state.as_deref().unwrap_or_default().to_owned(),
            parent_span_id,
            name: span.name.to_owned(),
            kind: match span.kind {
                SpanKind::Internal => 1,
                SpanKind::Server => 2,
                SpanKind::Client => 3,
                SpanKind::Consumer => 5,
            },
            start_time_unix_nano: span.start_ns,
            end_time_unix_nano: span.end_ns,
            attributes: attributes.collect(),
            links: span.links.iter().map(Link::from).collect(),
            status: span.error.map(|message| Status { message, code: ERROR }),
            flags: SAMPLED | if is_remote { IS_REMOTE } else { 0 },
        }
    }
}

impl From<&TraceContext> for Link {
    fn from(to: &TraceContext) -> Self {
        Self {
            trace_id: to.trace_id.0.to_vec(),
            span_id: to.span_id.0.to_vec(),
            trace_state: to.state.as_deref().unwrap_or_default().to_owned(),
            flags: SAMPLED | IS_REMOTE,
        }
    }
}
