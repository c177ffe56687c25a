//! The event, and parsing and writing of its data.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Failure;
use crate::bindings::base::hookwright::plugin::types::Event as WireEvent;
use crate::failure::located;

/// An accepted event. Every retry passes the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<D = JsonText> {
    /// Unique within the tenant.
    pub id: String,
    /// The event type, e.g. `ticket.update`.
    pub event_type: String,
    /// Milliseconds since the Unix epoch.
    pub occurred_at: u64,
    /// Properties that are not part of the data: `tenant`, `project`, `hook`, `trigger`. New names may be added at any
    /// time.
    pub attributes: Vec<(String, String)>,
    /// The event's data.
    pub data: D,
}

impl<D> Event<D> {
    /// Creates an event with the id `event`, the time 0 and no attributes, for tests.
    pub fn new(event_type: impl Into<String>, data: D) -> Self {
        Event {
            id: "event".into(),
            event_type: event_type.into(),
            occurred_at: 0,
            attributes: Vec::new(),
            data,
        }
    }

    /// The value of an attribute, if the event has it.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl<D: Data> Event<D> {
    /// Converts an event of the contract.
    pub(crate) fn from_wire(event: WireEvent) -> Result<Self, Failure> {
        Ok(Event {
            id: event.id,
            event_type: event.type_,
            occurred_at: event.occurred_at,
            attributes: event.attributes,
            data: D::from_text(event.data)?,
        })
    }
}

/// JSON text that is neither parsed nor checked.
///
/// As data it has no cost. As the result of a mapper it must be JSON; the host checks it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonText(pub String);

/// Types of an event's data: every `Deserialize` type, and [`JsonText`].
pub trait Data: Sized {
    /// Parses JSON text.
    ///
    /// # Errors
    /// `bad-data`, with the path of the value, if the text does not have this type.
    fn from_text(text: String) -> Result<Self, Failure>;
}

impl<T: DeserializeOwned> Data for T {
    fn from_text(text: String) -> Result<Self, Failure> {
        serde_json::from_str(&text).map_err(|_error| located::<T>("bad-data", "data", &text))
    }
}

impl Data for JsonText {
    fn from_text(text: String) -> Result<Self, Failure> {
        Ok(JsonText(text))
    }
}

/// Result types of a mapper: every `Serialize` type, and [`JsonText`].
pub trait Output {
    /// Writes JSON text.
    ///
    /// # Errors
    /// `bad-output` if the value cannot be written as JSON, for example a map whose keys are not strings.
    fn into_text(self) -> Result<String, Failure>;
}

impl<T: Serialize> Output for T {
    fn into_text(self) -> Result<String, Failure> {
        serde_json::to_string(&self).map_err(|error| Failure::new("bad-output", error.to_string()))
    }
}

impl Output for JsonText {
    fn into_text(self) -> Result<String, Failure> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Order {
        lines: Vec<Line>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Line {
        count: u32,
    }

    #[test]
    fn data_of_another_type_is_reported_with_its_path() {
        let failure =
            Order::from_text(r#"{"lines":[{"count":1},{"count":"two"}]}"#.into()).expect_err("wrong type");
        assert_eq!(failure.code, "bad-data");
        assert!(!failure.retryable);
        assert!(
            failure.message.starts_with("data at `lines[1].count`: invalid type: string \"two\""),
            "{failure:?}"
        );
    }

    #[test]
    fn json_text_is_passed_through_unchanged() {
        let text = r#"{ "n": 1.0 }"#;
        let data = JsonText::from_text(text.into()).expect("never fails");
        assert_eq!(data.into_text().as_deref(), Ok(text));
    }

    #[test]
    fn attributes_are_found_by_name() {
        let mut event = Event::new("t", ());
        event.attributes.push(("tenant".into(), "acme".into()));
        assert_eq!(event.attribute("tenant"), Some("acme"));
        assert_eq!(event.attribute("project"), None);
    }
}
