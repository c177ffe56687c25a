//! Reading settings that are members of a stored hook.
//!
//! Whoever stores a hook is told of little that is wrong with it, and the original takes what it can use. So do
//! these: what isn't of the type that is asked for is passed over.

use hookwright_json_tree::{Kind, Node, unescape};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

use crate::js;

/// The members of an object whose values are strings, in their order. Of another value, none.
#[derive(Debug, Default)]
pub struct Texts(Vec<(String, String)>);

impl Texts {
    /// Name and value of each.
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

/// The elements of an array that are strings, in their order. Of another value, none.
#[derive(Debug, Default)]
pub struct Names(Vec<String>);

impl Names {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is one of them.
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

/// A string. Of another value, none.
///
/// # Errors
/// If the text isn't JSON.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = Box::<RawValue>::deserialize(deserializer)?;
    Ok(string(&Node::new(raw.get())))
}

/// Whether JavaScript takes the value for true.
///
/// # Errors
/// If the text isn't JSON.
pub fn truthy<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(js::truthy(Box::<RawValue>::deserialize(deserializer)?.get()))
}

/// Whether the value is `true`.
///
/// # Errors
/// If the text isn't JSON.
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

/// How a hook's request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "HTTP's own words")]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As HTTP writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        }
    }
}

/// A method in any case. Of the empty string, and of what is no string, none.
///
/// # Errors
/// If it is another method, or the text isn't JSON.
pub fn method<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Method>, D::Error> {
    let Some(text) = text(deserializer)?.filter(|text| !text.is_empty()) else { return Ok(None) };
    [Method::Get, Method::Post, Method::Put, Method::Delete]
        .into_iter()
        .find(|method| text.eq_ignore_ascii_case(method.as_str()))
        .map(Some)
        .ok_or_else(|| D::Error::custom("a method is one of GET, POST, PUT, DELETE"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_of_another_type_is_passed_over() {
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
    fn methods_are_known_in_any_case() {
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
