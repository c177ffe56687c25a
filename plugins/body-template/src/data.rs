//! The variables of a template.
//!
//! Data is converted lazily: an object or an array keeps its text, is divided when a template reads its members, and is
//! written as its original text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use hookwright_json_tree::{Kind, Node, checked, kind, unescape};
use hookwright_plugin::{Body, Event, Failure, JsonText, Request, time};
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

/// Returns the variables of a template: `data`, `id`, `type`, `occurred_at`, `time`, `attributes` and `request`.
///
/// # Errors
/// `bad-data` if the data is not JSON.
pub fn context(event: &Event<JsonText>, draft: &Request) -> Result<Value, Failure> {
    let text = checked(&event.data.0)
        .map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    let source: Arc<str> = text.into();
    let attributes: BTreeMap<&str, &str> =
        event.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let headers: BTreeMap<String, &str> =
        draft.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    let body = match &draft.body {
        Body::Text(text) => Value::from(text.as_str()),
        Body::None | Body::Binary(_) => Value::from(()),
    };
    let request = Value::from_pairs([
        ("method", Value::from(draft.method.as_str())),
        ("url", Value::from(draft.url.as_str())),
        ("headers", Value::from_pairs(headers)),
        ("body", body),
    ]);
    Ok(Value::from_pairs([
        ("data", value_of(&source, &source)),
        ("id", Value::from(event.id.as_str())),
        ("type", Value::from(event.event_type.as_str())),
        ("occurred_at", Value::from(event.occurred_at)),
        ("time", Value::from(time::rfc3339(event.occurred_at))),
        ("attributes", Value::from_pairs(attributes)),
        ("request", request),
    ]))
}

/// Converts a JSON text that is a slice of `source`.
fn value_of(source: &Arc<str>, text: &str) -> Value {
    match kind(text) {
        Kind::Null => Value::from(()),
        Kind::Boolean => Value::from(text == "true"),
        Kind::String => Value::from(unescape(text).unwrap_or_default()),
        Kind::Number => number(text),
        Kind::Array | Kind::Object => {
            let start = text.as_ptr() as usize - source.as_ptr() as usize;
            let range = start..start + text.len();
            Value::from_object(Json { source: source.clone(), range, members: OnceLock::new() })
        }
    }
}

/// Converts a number to one that supports arithmetic, if that does not change its text, or to one that keeps its text.
fn number(text: &str) -> Value {
    if let Ok(number) = text.parse::<i128>()
        && text != "-0"
    {
        return Value::from(number);
    }
    match text.parse::<f64>() {
        Ok(number) if Value::from(number).to_string() == text => Value::from(number),
        _ => Value::from_object(Number(text.to_owned())),
    }
}

/// A number whose text a conversion would change, such as `1.50`, `1e400` or `-0`.
#[derive(Debug)]
pub struct Number(pub String);

impl Object for Number {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An array or an object of the data.
#[derive(Debug)]
pub struct Json {
    source: Arc<str>,
    range: std::ops::Range<usize>,
    members: OnceLock<Members>,
}

#[derive(Debug)]
enum Members {
    Named(Vec<(String, Value)>),
    Numbered(Vec<Value>),
}

impl Json {
    /// The text of the value.
    pub fn text(&self) -> &str {
        &self.source[self.range.clone()]
    }

    fn members(&self) -> &Members {
        self.members.get_or_init(|| {
            let mut node = Node::Text(self.text());
            // The data was checked before, so dividing does not fail.
            let value = |node: &Node<'_>| match node {
                Node::Text(text) => value_of(&self.source, text),
                Node::Object(_) | Node::Array(_) => Value::UNDEFINED,
            };
            match node.divide().map(|()| node) {
                Ok(Node::Object(members)) => Members::Named(
                    members.iter().map(|(name, node)| (name.clone().into_owned(), value(node))).collect(),
                ),
                Ok(Node::Array(elements)) => Members::Numbered(elements.iter().map(value).collect()),
                Ok(Node::Text(_)) | Err(_) => Members::Numbered(Vec::new()),
            }
        })
    }
}

impl Object for Json {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if kind(self.text()) == Kind::Object { ObjectRepr::Map } else { ObjectRepr::Seq }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.members() {
            Members::Named(_) => self.get_value_by_str(key.as_str()?),
            Members::Numbered(elements) => elements.get(key.as_usize()?).cloned(),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let Members::Named(members) = self.members() else { return None };
        members.iter().find(|(name, _)| name == key).map(|(_, value)| value.clone())
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match self.members() {
            Members::Named(members) => {
                Enumerator::Values(members.iter().map(|(name, _)| Value::from(name.as_str())).collect())
            }
            Members::Numbered(elements) => Enumerator::Seq(elements.len()),
        }
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text())
    }
}
