//! The settings.

use std::borrow::Cow;
use std::cmp::Ordering;

use hookwright_json_tree::{Node, unescape};
use hookwright_webitel_common::js::truthy;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use crate::compare::{loosely_equal, order};
use crate::pattern;
use crate::value::Value;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub(crate) filter: Rules,
}

/// The rules, in order.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.0.iter()
    }
}

/// A member of the event's data, an operation, and the value to compare with.
#[derive(Debug)]
pub(crate) struct Rule {
    pub key: String,
    /// `None` if the operation is unknown: the rule never holds.
    operation: Option<Operation>,
    /// The value, as JSON.
    stored: String,
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessOrEqual,
    GreaterOrEqual,
    Matches,
}

impl Operation {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "==" => Operation::Equal,
            "!=" => Operation::NotEqual,
            "<" => Operation::Less,
            ">" => Operation::Greater,
            "<=" => Operation::LessOrEqual,
            ">=" => Operation::GreaterOrEqual,
            "reg" => Operation::Matches,
            _ => return None,
        })
    }
}

impl Rule {
    /// Parses a rule. A value that is not an object has no operation.
    fn read(key: Cow<'_, str>, mut node: Node<'_>) -> Self {
        let members = match (node.divide(), node) {
            (Ok(()), Node::Object(members)) => members,
            _ => Vec::new(),
        };
        let member = |wanted: &str| {
            members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.text().into_owned())
        };
        let operation = member("operation").and_then(|text| Operation::parse(&unescape(&text)?));
        // The original system stores falsy values as null.
        let stored = member("value").filter(|text| truthy(text)).unwrap_or_else(|| "null".into());
        Rule { key: key.into_owned(), operation, stored }
    }

    /// Whether the rule holds for a JSON value; `None` is a missing value. It does not hold if JavaScript would throw.
    pub fn holds(&self, member: Option<&str>) -> bool {
        let Some(operation) = self.operation else { return false };
        let member = member.map_or(Value::Undefined, Value::of);
        let stored = Value::of(&self.stored);
        let ordered = |wanted: fn(Ordering) -> bool| order(&member, &stored).is_some_and(wanted);
        match operation {
            Operation::Equal => loosely_equal(&member, &null_by_name(stored)) == Some(true),
            Operation::NotEqual => loosely_equal(&member, &null_by_name(stored)) == Some(false),
            Operation::Less => ordered(Ordering::is_lt),
            Operation::Greater => ordered(Ordering::is_gt),
            Operation::LessOrEqual => ordered(Ordering::is_le),
            Operation::GreaterOrEqual => ordered(Ordering::is_ge),
            Operation::Matches => match (&stored, member.text()) {
                (Value::Text(pattern), Some(text)) => pattern::matches(pattern, &text),
                _ => false,
            },
        }
    }
}

/// Converts the text `null` to null, which also equals a missing value.
fn null_by_name(stored: Value) -> Value {
    match stored {
        Value::Text(units) if units.iter().copied().eq("null".encode_utf16()) => Value::Null,
        other => other,
    }
}

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let mut node = Node::new(raw.get());
        node.divide().map_err(D::Error::custom)?;
        match node {
            Node::Object(members) => {
                Ok(Rules(members.into_iter().map(|(key, node)| Rule::read(key, node)).collect()))
            }
            // Some languages write an empty object as an empty array.
            Node::Array(elements) if elements.is_empty() => Ok(Rules::default()),
            Node::Text(text) if !truthy(text) => Ok(Rules::default()),
            // Ignoring the value would deliver all events.
            _ => Err(D::Error::custom("a filter must be an object of keys and rules")),
        }
    }
}
