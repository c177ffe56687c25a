//! The events and hooks of the demo.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::cli::exit::BadInput;

/// Six fictional events, like those of shops and call centers.
const BUILT_IN: &str = include_str!("samples.ndjson");
const CHAT_SCRIPT: &str = include_str!("chat.js");

/// An event to publish.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(in crate::cli) struct Sample {
    /// The event's type.
    pub(super) r#type: String,
    /// The event's data, unparsed.
    pub(super) data: Box<RawValue>,
}

/// Reads the events in `file`, one JSON object per line. Without a file, returns the built-in events.
///
/// # Errors
/// Fails if the file cannot be read, or if a line is not an event.
pub(in crate::cli) fn events(file: Option<&Path>) -> Result<Vec<Sample>, BadInput> {
    let Some(path) = file else { return parse("the built-in events", BUILT_IN) };
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| BadInput(format!("cannot read {name}: {error}")))?;
    parse(&name, &text)
}

fn parse(name: &str, text: &str) -> Result<Vec<Sample>, BadInput> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let events: Result<Vec<_>, _> = lines
        .map(|(at, line)| {
            serde_json::from_str(line).map_err(|error| {
                BadInput(format!("line {} of {name} is not {{\"type\": …, \"data\": …}}: {error}", at + 1))
            })
        })
        .collect();
    events.and_then(|events| {
        if events.is_empty() { Err(BadInput(format!("there are no events in {name}"))) } else { Ok(events) }
    })
}

/// A hook of the demo with its id.
pub(super) type MadeHook = (String, DemoHook);

/// A hook of the demo.
pub(super) struct DemoHook {
    /// The hook's name, which is also its path at the receiver, after a slash.
    pub(super) name: &'static str,
    /// The names of its plugins, for the output.
    pub(super) plugins: &'static str,
    pipeline: Value,
}

impl DemoHook {
    /// The path at the receiver.
    pub(super) fn path(&self) -> String {
        format!("/{}", self.name)
    }

    /// The body of the request that creates the hook.
    pub(super) fn request(&self, receiver: &str) -> Value {
        json!({
            "url": format!("{receiver}{}", self.path()),
            "types": ["*"],
            "description": format!("demo: {}", self.name),
            "pipeline": self.pipeline,
        })
    }
}

/// Three hooks that subscribe to all events and shape them differently.
pub(super) fn hooks() -> [DemoHook; 3] {
    [
        DemoHook {
            name: "important",
            plugins: "event-filter → field-map",
            pipeline: json!([
                { "plugin": "event-filter", "settings": { "any": [
                    { "pointer": "/priority", "in": ["high", "urgent"] },
                    { "pointer": "/total", "greater_or_equal": 100 },
                    { "pointer": "/action", "in": ["created", "opened", "published", "completed"] },
                ] } },
                { "plugin": "field-map", "settings": {
                    "pick": ["/id", "/subject", "/priority", "/total", "/currency", "/action"],
                    "copy": {
                        "/customer/email": "/contact/email",
                        "/sender/login": "/contact/login",
                        "/repository/full_name": "/where",
                    },
                    "set": { "/via": "hookwright" },
                } },
            ]),
        },
        DemoHook {
            name: "chat",
            plugins: "javascript",
            pipeline: json!([{ "plugin": "javascript", "settings": { "script": CHAT_SCRIPT } }]),
        },
        DemoHook {
            name: "archive",
            plugins: "cloudevents",
            pipeline: json!([
                { "plugin": "cloudevents", "settings": { "mode": "structured", "source": "/demo" } },
            ]),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_parsed_by_line_and_errors_name_the_line() {
        assert_eq!(events(None).unwrap().len(), 6);
        let two = parse("FILE", "{\"type\":\"a\",\"data\":1}\n\n{\"type\":\"b\",\"data\":{}}\n").unwrap();
        assert_eq!((two.len(), two[1].r#type.as_str(), two[0].data.get()), (2, "b", "1"));
        for (text, expected) in [
            ("\n", "there are no events in FILE"),
            (
                "{\"type\":\"a\",\"data\":1}\n{\"type\":\"b\"}",
                "line 2 of FILE is not {\"type\": …, \"data\": …}: missing field `data`",
            ),
        ] {
            let message = parse("FILE", text).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
