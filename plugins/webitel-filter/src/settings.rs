//! What can be written in the settings.

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

/// The rules, in their order.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Rule> {
        self.0.iter()
    }
}

/// A member of the event's data, an operation, and what it is compared with.
#[derive(Debug)]
pub(crate) struct Rule {
    pub key: String,
    /// None of those that there are: the rule never holds.
    operation: Option<Operation>,
    /// JSON.
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
    /// Reads a rule. What isn't an object has no operation.
    fn read(key: Cow<'_, str>, mut node: Node<'_>) -> Self {
        let members = match (node.divide(), node) {
            (Ok(()), Node::Object(members)) => members,
            _ => Vec::new(),
        };
        let member = |wanted: &str| {
            members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.text().into_owned())
        };
        let operation = member("operation").and_then(|text| Operation::parse(&unescape(&text)?));
        // The original keeps what is falsy as null.
        let stored = member("value").filter(|text| truthy(text)).unwrap_or_else(|| "null".into());
        Rule { key: key.into_owned(), operation, stored }
    }

    /// Whether the rule holds of a JSON value, or of an absent one. Where JavaScript would throw, it does not.
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

/// The text `null` means null, which is equal to what is absent too.
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
            // An empty array is how some languages write an empty object.
            Node::Array(elements) if elements.is_empty() => Ok(Rules::default()),
            Node::Text(text) if !truthy(text) => Ok(Rules::default()),
            // To take it for no rules would deliver everything.
            _ => Err(D::Error::custom("a filter is an object of keys and rules")),
        }
    }
}
