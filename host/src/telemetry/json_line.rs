//! A line of the log in JSON that does not come from a `tracing` event, in the same form.

use serde::Serialize;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};

#[derive(Serialize)]
struct JsonLine<'a, F> {
    timestamp: String,
    level: &'a str,
    message: &'a str,
    #[serde(flatten)]
    fields: F,
    target: &'static str,
}

/// The line, without its end. `fields` is serialized as an object.
pub fn json_line(level: tracing::Level, message: &str, fields: impl Serialize) -> String {
    let mut timestamp = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let line = JsonLine { timestamp, level: level.as_str(), message, fields, target: env!("CARGO_PKG_NAME") };
    serde_json::to_string(&line).unwrap_or_default()
}
