//! What the engine shows of itself in distributed traces: spans, which wait here until they are exported by OTLP.
//!
//! Without an exporter nothing is made or kept. With one, a request that publishes events has a span if its publisher's trace is
//! sampled, or if it has none and is drawn. Its events carry the context of that span, so whatever node attempts their deliveries,
//! now or in three days, adds to the same trace.

mod buffer;
mod otlp;
mod span;

pub use self::buffer::{Began, Traces, dropped_spans};
pub use self::otlp::{Resource, encode, rejected};
pub use self::span::{SpanKind, TraceSpan, Value, nanos};
