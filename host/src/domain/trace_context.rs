//! The context of a distributed trace, as HTTP headers carry it (W3C Trace Context, level 1).

use std::sync::Arc;

/// Where in a trace something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span that is the parent of what follows.
    pub span_id: SpanId,
    /// Whether the spans of the trace are recorded.
    pub is_sampled: bool,
    /// What tracing systems have added, in the form of the header `tracestate`.
    pub state: Option<Arc<str>>,
}

/// The id of a trace, never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceId(pub [u8; 16]);

impl TraceId {
    /// An id of random bytes.
    #[must_use]
    pub fn of_random(mut bytes: [u8; 16]) -> Self {
        bytes[0] |= u8::from(bytes == [0; 16]);
        Self(bytes)
    }
}

/// The id of a span, never all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanId(pub [u8; 8]);

impl SpanId {
    /// An id of random bytes.
    #[must_use]
    pub fn of_random(mut bytes: [u8; 8]) -> Self {
        bytes[0] |= u8::from(bytes == [0; 8]);
        Self(bytes)
    }
}

/// The length of the fields of version 00.
const LENGTH: usize = 55;
/// The flag of sampled traces (section 3.2.2.5.1).
const SAMPLED: u8 = 1;

impl TraceContext {
    /// The header with the ids.
    pub const PARENT: &str = "traceparent";
    /// The header with what tracing systems have added.
    pub const STATE: &str = "tracestate";
    /// The longest state that is passed on, in bytes (section 3.3.1.5).
    pub const MAX_STATE: usize = 512;

    /// Parses the headers. A malformed parent starts a new trace: `None`. A malformed or long state is left out.
    #[must_use]
    pub fn parse(parent: &str, state: Option<&str>) -> Option<Self> {
        let (fields, rest) = parent.split_at_checked(LENGTH)?;
        let [version, trace_id, span_id, flags] = split(fields)?;
        // A later version may add fields.
        if version == [0xff]
            || (version == [0] && !rest.is_empty())
            || !(rest.is_empty() || rest.starts_with('-'))
        {
            return None;
        }
        let (trace_id, span_id) = (trace_id.try_into().ok()?, span_id.try_into().ok()?);
        if trace_id == [0; 16] || span_id == [0; 8] {
            return None;
        }
        Some(Self {
            trace_id: TraceId(trace_id),
            span_id: SpanId(span_id),
            is_sampled: flags[0] & SAMPLED != 0,
            state: state.filter(|state| is_state(state)).map(Arc::from),
        })
    }

    /// Reads what [`Self::to_text`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.split_once(' ') {
            Some((parent, state)) => Self::parse(parent, Some(state)),
            None => Self::parse(text, None),
        }
    }

    /// Both headers in one text, to be stored.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = self.parent();
        if let Some(state) = &self.state {
            text.push(' ');
            text.push_str(state);
        }
        text
    }

    /// The value of the header [`Self::PARENT`].
    #[must_use]
    pub fn parent(&self) -> String {
        let flags = if self.is_sampled { "01" } else { "00" };
        format!("00-{}-{}-{flags}", hex::encode(self.trace_id.0), hex::encode(self.span_id.0))
    }

    /// The context of a span below this one.
    #[must_use]
    pub fn child(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }
}

/// The bytes of the four fields.
fn split(fields: &str) -> Option<[Vec<u8>; 4]> {
    let mut parts = fields.split('-').zip([2, 32, 16, 2]).map(|(part, length)| {
        // Uppercase is malformed (section 3.2.1).
        let fits = part.len() == length && !part.bytes().any(|byte| byte.is_ascii_uppercase());
        hex::decode(part).ok().filter(|_| fits)
    });
    let all = [parts.next()??, parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(all)
}

/// Whether it can be sent as a header and is not too long. What is in it is up to tracing systems.
fn is_state(text: &str) -> bool {
    let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !text.trim().is_empty() && text.len() <= TraceContext::MAX_STATE && text.bytes().all(is_visible)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_read_and_written() {
        let context = TraceContext::parse(PARENT, Some("a=1,b=2")).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.parent(), PARENT);
        assert_eq!(context.to_text(), format!("{PARENT} a=1,b=2"));
        assert_eq!(TraceContext::from_text(&context.to_text()), Some(context.clone()));
        let child = context.child(SpanId([1; 8]));
        assert_eq!(child.parent(), "00-0af7651916cd43dd8448eb211c80319c-0101010101010101-01");
        assert_eq!(child.state, context.state);
    }

    #[test]
    fn malformed_headers_are_left_out() {
        for (parent, is_valid) in [
            (PARENT, true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
            // Other flags have no meaning here.
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", true),
            // A later version, with a field more.
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", true),
            ("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what", false),
            ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
            ("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333é-1", false),
            ("", false),
        ] {
            assert_eq!(TraceContext::parse(parent, None).is_some(), is_valid, "{parent}");
        }
        for (state, is_kept) in
            [("a=1", true), ("", false), (" ", false), ("a=\u{e9}", false), (&"a".repeat(513), false)]
        {
            let context = TraceContext::parse(PARENT, Some(state)).unwrap();
            assert_eq!(context.state.is_some(), is_kept, "{state}");
        }
    }
}
