//! Parsing of settings that come from a stored hook.
//!
//! The original system hardly checks a hook when it is stored, and ignores what it cannot use. These functions do the
//! same: values of an unexpected type are ignored.

use hookwright_json_tree::{Kind, Node, unescape};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use crate::js;

/// Members of an object whose values are strings, in order. Empty for other values.
#[derive(Debug, Default)]
pub struct Texts(Vec<(String, String)>);

impl Texts {
    /// Iterates over names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let Node::Object(members) = divided::<D::Error>(&raw)? else { return Ok(Texts::default()) };
        let texts =
            members.into_iter().filter_map(|(name, value)| Some((name.into_owned(), string(&value)?)));
        Ok(Texts(texts.collect()))
    }
}

/// Elements of an array that are strings, in order. Empty for other values.
#[derive(Debug, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list contains this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|known| known == name)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let Node::Array(elements) = divided::<D::Error>(&raw)? else { return Ok(Names::default()) };
        Ok(Names(elements.iter().filter_map(string).collect()))
    }
}

/// Parses a string; `None` for other values.
///
/// # Errors
/// If the text is not JSON.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(string(&Node::new(raw.get())))
}

/// Whether the value is truthy in JavaScript.
///
/// # Errors
/// If the text is not JSON.
pub fn truthy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(js::truthy(Box::<RawValue>::deserialize(deserializer)?.get()))
}

/// Whether the value is `true`.
///
/// # Errors
/// If the text is not JSON.
pub fn exactly_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Box::<RawValue>::deserialize(deserializer)?.get() == "true")
}

fn divided<E: Error>(raw: &RawValue) -> Result<Node<'_>, E> {
    let mut node = Node::new(raw.get());
    node.divide().map_err(E::custom)?;
    Ok(node)
}

fn string(value: &Node<'_>) -> Option<String> {
    match value {
        Node::Text(text) if value.kind() == Kind::String => unescape(text).map(Into::into),
        _ => None,
    }
}

/// Method of a hook's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "methods of HTTP")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// The name of the method.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// Parses a method, case-insensitive; `None` for the empty string and for values that are not strings.
///
/// # Errors
/// If it is another method, or the text is not JSON.
pub fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Method>, D::Error> {
    let Some(text) = text(deserializer)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    [Method::Get, Method::Post, Method::Put, Method::Delete]
        .into_iter()
        .find(|method| text.eq_ignore_ascii_case(method.as_str()))
        .map(Some)
        .ok_or_else(|| D::Error::custom("unknown method; expected one of GET, POST, PUT, DELETE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_another_type_are_ignored() {
        for (text, expected) in [
            (r#"{"b":"1","a":2,"c":null,"a\u0062":"x\ny"}"#, vec![("b", "1"), ("ab", "x\ny")]),
            (r#"{"a":"1","b":"2","a":"3"}"#, vec![("a", "3"), ("b", "2")]),
            ("[]", vec![]),
            (r#""a""#, vec![]),
            ("null", vec![]),
        ] {
            let texts: Texts = serde_json::from_str(text).expect(text);
            assert_eq!(texts.iter().collect::<Vec<_>>(), expected, "{text}");
        }
        for (text, expected) in [(r#"["a",1,null,"b"]"#, vec!["a", "b"]), ("{}", vec![]), ("1", vec![])] {
            let names: Names = serde_json::from_str(text).expect(text);
            assert_eq!(names.0, expected, "{text}");
        }
    }

    #[test]
    fn methods_are_case_insensitive() {
        for (text, expected) in [
            ("\"post\"", Some(Some(Method::Post))),
            ("\"Get\"", Some(Some(Method::Get))),
            ("\"\"", Some(None)),
            ("null", Some(None)),
            ("\"PATCH\"", None),
        ] {
            let mut source = serde_json::Deserializer::from_str(text);
            assert_eq!(method(&mut source).ok(), expected, "{text}");
        }
    }
}
