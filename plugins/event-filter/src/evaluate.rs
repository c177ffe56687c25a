//! Evaluation of conditions.

use hookwright_json_tree::{Node, write_string};
use hookwright_plugin::{Event, Failure, JsonText};

use crate::condition::{Condition, Subject};
use crate::test::Test;

/// Evaluates conditions on an event. Parsed parts of the data are shared between the conditions.
pub struct Evaluation<'a> {
    event: &'a Event<JsonText>,
    data: Node<'a>,
}

impl<'a> Evaluation<'a> {
    pub fn new(event: &'a Event<JsonText>) -> Self {
        Evaluation { event, data: Node::new(&event.data.0) }
    }

    /// Whether the event meets a condition. Stops at the first inner condition that determines the result.
    pub fn meets(&mut self, condition: &Condition) -> Result<bool, Failure> {
        match condition {
            Condition::All(conditions) => self.first(conditions, false).map(|found| !found),
            Condition::Any(conditions) => self.first(conditions, true),
            Condition::Not(condition) => Ok(!self.meets(condition)?),
            Condition::Value(subject, tests) => self.tests_hold(subject, tests),
        }
    }

    /// Whether any of the conditions has the result `wanted`.
    fn first(&mut self, conditions: &[Condition], wanted: bool) -> Result<bool, Failure> {
        for condition in conditions {
            if self.meets(condition)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn tests_hold(&mut self, subject: &Subject, tests: &[Test]) -> Result<bool, Failure> {
        let all_hold = |value: Option<&str>| tests.iter().all(|test| test.holds(value));
        let text = match subject {
            Subject::Data(pointer) => {
                let node = self
                    .data
                    .get(pointer)
                    .map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
                return Ok(match node {
                    Some(node) => all_hold(Some(&node.text())),
                    None => all_hold(None),
                });
            }
            Subject::Type => Some(self.event.event_type.as_str()),
            Subject::Id => Some(self.event.id.as_str()),
            Subject::Attribute(name) => self.event.attribute(name),
        };
        let json = text.map(|text| {
            let mut json = String::with_capacity(text.len() + 2);
            write_string(text, &mut json);
            json
        });
        Ok(all_hold(json.as_deref()))
    }
}
