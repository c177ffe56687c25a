//! What a collector of OpenTelemetry reads: OTLP 1 in protobuf, with the members that tests look at. The numbers of fields are
//! those of `opentelemetry/proto/trace/v1/trace.proto` and the files that it imports.

use std::collections::HashMap;

/// `SPAN_KIND_INTERNAL`.
pub(super) const INTERNAL: u64 = 1;
/// `SPAN_KIND_SERVER`.
pub(super) const SERVER: u64 = 2;
/// `SPAN_KIND_CLIENT`.
pub(super) const CLIENT: u64 = 3;
/// `SPAN_KIND_CONSUMER`.
pub(super) const CONSUMER: u64 = 5;

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TraceSpan {
    pub(super) trace_id: Vec<u8>,
    pub(super) span_id: Vec<u8>,
    pub(super) trace_state: String,
    pub(super) parent_span_id: Vec<u8>,
    pub(super) name: String,
    pub(super) kind: u64,
    pub(super) start_ns: u64,
    pub(super) end_ns: u64,
    pub(super) attributes: HashMap<String, String>,
    /// The ids of the spans that it is linked to.
    pub(super) links: Vec<Vec<u8>>,
    /// Code and message.
    pub(super) status: Option<(u64, String)>,
}

/// The fields of a message by their numbers.
struct Fields(Vec<(u64, Field)>);

enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

/// The spans in the body of a request, whose resource must be this service.
pub(super) fn spans(body: &[u8], service: &str) -> Vec<TraceSpan> {
    let mut spans = Vec::new();
    for of_resource in Fields::of(body).messages(1) {
        let resource = of_resource.messages(1).remove(0);
        assert_eq!(attributes(&resource, 1)["service.name"], service);
        for of_scope in of_resource.messages(2) {
            assert_eq!(of_scope.messages(1).remove(0).text(1), service);
            spans.extend(of_scope.messages(2).iter().map(span));
        }
    }
    spans
}

fn span(fields: &Fields) -> TraceSpan {
    TraceSpan {
        trace_id: fields.bytes(1),
        span_id: fields.bytes(2),
        trace_state: fields.text(3),
        parent_span_id: fields.bytes(4),
        name: fields.text(5),
        kind: fields.number(6),
        start_ns: fields.number(7),
        end_ns: fields.number(8),
        attributes: attributes(fields, 9),
        links: fields.messages(13).iter().map(|link| link.bytes(2)).collect(),
        status: fields.messages(15).first().map(|status| (status.number(3), status.text(2))),
    }
}

/// `KeyValue`s whose values are texts or integers.
fn attributes(fields: &Fields, number: u64) -> HashMap<String, String> {
    let all = fields.messages(number);
    let shown = all.iter().map(|attribute| {
        let value = attribute.messages(2).remove(0);
        let is_text = value.0.iter().any(|(number, _)| *number == 1);
        (attribute.text(1), if is_text { value.text(1) } else { value.number(3).to_string() })
    });
    shown.collect()
}

impl Fields {
    /// Reads a message.
    fn of(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes);
                    Field::Bytes(take(&mut bytes, usize::try_from(length).unwrap()).to_vec())
                }
                5 => Field::Number(u32::from_le_bytes(take(&mut bytes, 4).try_into().unwrap()).into()),
                other => panic!("the wire type {other} is not used"),
            };
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    fn number(&self, wanted: u64) -> u64 {
        let found = self.0.iter().find_map(|(number, field)| match field {
            Field::Number(value) if *number == wanted => Some(*value),
            _ => None,
        });
        found.unwrap_or_default()
    }

    fn all_bytes(&self, wanted: u64) -> Vec<Vec<u8>> {
        let found = self.0.iter().filter_map(|(number, field)| match field {
            Field::Bytes(value) if *number == wanted => Some(value.clone()),
            _ => None,
        });
        found.collect()
    }

    fn bytes(&self, wanted: u64) -> Vec<u8> {
        self.all_bytes(wanted).pop().unwrap_or_default()
    }

    fn text(&self, wanted: u64) -> String {
        String::from_utf8(self.bytes(wanted)).unwrap()
    }

    fn messages(&self, wanted: u64) -> Vec<Self> {
        self.all_bytes(wanted).iter().map(|bytes| Self::of(bytes)).collect()
    }
}

fn take<'b>(bytes: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number is too long");
}
