//! Comparisons of JavaScript: `loose.json`, written by `loose.mjs` with Node.js.

use hookwright_plugin::{Event, JsonText, parse_settings};
use hookwright_webitel_filter::accept;
use serde::Deserialize;
use serde_json::value::RawValue;

const OPERATIONS: [&str; 7] = ["==", "!=", "<", ">", "<=", ">=", "reg"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default, deserialize_with = "present")]
    member: Option<Box<RawValue>>,
    stored: Box<RawValue>,
    holds: Vec<String>,
}

/// Without this, `null` would be parsed as `None`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::deserialize(deserializer).map(Some)
}

#[test]
fn rules_hold_if_they_hold_in_javascript() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/loose.json");
    let text = std::fs::read_to_string(path).expect("the cases");
    let cases: Vec<Case> = serde_json::from_str(&text).expect("the cases");
    assert!(cases.len() > 500, "{}", cases.len());

    let mut wrong = Vec::new();
    for Case { member, stored, holds } in &cases {
        let data = member.as_ref().map_or_else(|| "{}".into(), |member| format!(r#"{{"key":{member}}}"#));
        let event = Event::new("test.event", JsonText(data));
        for operation in OPERATIONS {
            let settings =
                format!(r#"{{"filter":{{"key":{{"operation":"{operation}","value":{stored}}}}}}}"#);
            let settings = parse_settings(&settings).expect("settings");
            let found = accept(&event, &settings).expect("JSON");
            if found != holds.iter().any(|name| name == operation) {
                wrong.push(format!("{:?} {operation} {stored}: {found}", event.data.0));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
