//! The lazy tree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{Pointer, scan};

/// A JSON value: text, or the members that it was divided into.
#[derive(Clone, Debug)]
pub enum Node<'a> {
    /// Unparsed text. It is valid JSON without surrounding white space if it comes from dividing another node.
    Text(&'a str),
    /// Members of an object, in order, each name once.
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// Elements of an array.
    Array(Vec<Node<'a>>),
}

/// The text is not JSON.
#[derive(Debug)]
pub struct NotJson(serde_json::Error);

impl fmt::Display for NotJson {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl std::error::Error for NotJson {}

impl NotJson {
    /// Line and column of the error, from 1.
    pub fn position(&self) -> (usize, usize) {
        (self.0.line(), self.0.column())
    }
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the types of JSON")]
pub enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

/// Returns the type of a value, from its first character. [`Kind::Number`] for text that is not JSON.
pub fn kind(text: &str) -> Kind {
    match text.as_bytes().first() {
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b'"') => Kind::String,
        Some(b't' | b'f') => Kind::Boolean,
        Some(b'n') => Kind::Null,
        _ => Kind::Number,
    }
}

/// Checks a JSON text and returns it without surrounding white space.
///
/// # Errors
/// [`NotJson`] if it is not JSON.
pub fn checked(text: &str) -> Result<&str, NotJson> {
    match scan::only_value(text) {
        Some(value) => Ok(value),
        None => serde_json::from_str::<&RawValue>(text).map(RawValue::get).map_err(NotJson),
    }
}

/// Returns the nesting depth of arrays and objects in a JSON text; 0 for other values.
pub fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<'a> Node<'a> {
    /// Creates a node from a text. The text is parsed only when a part of it is requested.
    pub fn new(text: &'a str) -> Self {
        Node::Text(text.trim_matches([' ', '\t', '\n', '\r']))
    }

    /// An object without members.
    pub fn empty() -> Self {
        Node::Object(Vec::new())
    }

    /// Returns the value at a pointer, if it exists.
    ///
    /// # Errors
    /// [`NotJson`] if text on the path is not JSON.
    pub fn get(&mut self, pointer: &Pointer) -> Result<Option<&mut Node<'a>>, NotJson> {
        let mut node = self;
        for token in pointer.tokens() {
            node.divide()?;
            let child = match node {
                Node::Text(_) => None,
                Node::Object(members) => {
                    members.iter_mut().find(|(name, _)| name == token).map(|(_, value)| value)
                }
                Node::Array(elements) => array_index(token).and_then(|index| elements.get_mut(index)),
            };
            match child {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    /// Divides an object or an array into its members.
    ///
    /// # Errors
    /// [`NotJson`] if the text begins like an object or an array but is not JSON.
    pub fn divide(&mut self) -> Result<(), NotJson> {
        let Node::Text(text) = *self else { return Ok(()) };
        *self = match kind(text) {
            Kind::Object => match scan::members(text) {
                Some(members) => {
                    let members = members.into_iter().map(|(name, text)| (name, Node::Text(text)));
                    Node::Object(last_of_each_name(members.collect()))
                }
                None => Node::Object(serde_json::from_str::<Members<'a>>(text).map_err(NotJson)?.0),
            },
            Kind::Array => match scan::elements(text) {
                Some(elements) => Node::Array(elements.into_iter().map(Node::Text).collect()),
                None => {
                    let elements = serde_json::from_str::<Vec<&'a RawValue>>(text).map_err(NotJson)?;
                    Node::Array(elements.into_iter().map(|raw| Node::Text(raw.get())).collect())
                }
            },
            _ => return Ok(()),
        };
        Ok(())
    }

    /// Returns the type of the value.
    pub fn kind(&self) -> Kind {
        match self {
            Node::Text(text) => kind(text),
            Node::Object(_) => Kind::Object,
            Node::Array(_) => Kind::Array,
        }
    }

    /// Returns the text of the value: a slice if it was not divided.
    pub fn text(&self) -> Cow<'a, str> {
        match self {
            Node::Text(text) => Cow::Borrowed(text),
            divided => {
                let mut text = String::new();
                divided.write(&mut text);
                Cow::Owned(text)
            }
        }
    }

    /// Writes the value as JSON text.
    pub fn write(&self, out: &mut String) {
        match self {
            Node::Text(text) => out.push_str(text),
            Node::Object(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_string(name, out);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
            Node::Array(elements) => {
                out.push('[');
                for (index, value) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value.write(out);
                }
                out.push(']');
            }
        }
    }
}

/// Parses a token of a pointer as an array index (RFC 6901, section 4): digits without leading zeros.
pub fn array_index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (token == "0" || !token.starts_with('0'))).then(|| token.parse().ok()).flatten()
}

/// Writes a string as JSON (RFC 8259, section 7), including the quotes.
pub fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut written = 0;
    loop {
        let index = scan::next_special(text.as_bytes(), written);
        out.push_str(&text[written..index]);
        let Some(byte) = text.as_bytes().get(index) else { break };
        written = index + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.push_str("\\u00");
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
    out.push('"');
}

struct Members<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    members.push((name, Node::Text(value.get())));
                }
                Ok(Members(last_of_each_name(members)))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Keeps the last member of each name. Uses a map for many members, so that the time is not quadratic.
fn last_of_each_name<'a>(members: Vec<(Cow<'a, str>, Node<'a>)>) -> Vec<(Cow<'a, str>, Node<'a>)> {
    const LINEAR_MAX: usize = 48;
    let may_have_duplicates = if members.len() <= LINEAR_MAX {
        members
            .iter()
            .enumerate()
            .any(|(index, (name, _))| members[..index].iter().any(|(other, _)| other == name))
    } else {
        true
    };
    if !may_have_duplicates {
        return members;
    }
    let mut indices: HashMap<Cow<'a, str>, usize> = HashMap::with_capacity(members.len());
    let mut unique: Vec<(Cow<'a, str>, Node<'a>)> = Vec::with_capacity(members.len());
    for (name, value) in members {
        match indices.get(&name) {
            Some(index) => unique[*index].1 = value,
            None => {
                indices.insert(name.clone(), unique.len());
                unique.push((name, value));
            }
        }
    }
    unique
}

struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a member's name")
            }
            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, pointer: &str) -> Option<String> {
        let mut root = Node::new(text);
        let node = root.get(&Pointer::parse(pointer).expect(pointer)).expect("JSON");
        node.map(|node| node.text().into_owned())
    }

    #[test]
    fn the_examples_of_rfc_6901_section_5() {
        let text =
            r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;
        let cases = [
            ("", text),
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", r#""bar""#),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ];
        for (pointer, expected) in cases {
            assert_eq!(at(text, pointer).as_deref(), Some(expected), "{pointer}");
        }
        for missing in ["/bar", "/foo/2", "/foo/00", "/foo/-", "/foo/+0", "/foo/0/x"] {
            assert_eq!(at(text, missing), None, "{missing}");
        }
    }

    #[test]
    fn dividing_keeps_numbers_and_order() {
        let text = r#" {"z": 1e400, "a\u0062": {"deep": [ 9007199254740993, 1.0 ]}, "m": "\u00e9"} "#;
        let mut root = Node::new(text);
        root.get(&Pointer::parse("/ab/deep/0").expect("pointer")).expect("JSON").expect("there");
        assert_eq!(root.text(), r#"{"z":1e400,"ab":{"deep":[9007199254740993,1.0]},"m":"\u00e9"}"#);
    }

    #[test]
    fn the_last_duplicate_member_counts() {
        assert_eq!(at(r#"{"a":1,"b":2,"a":3}"#, "/a").as_deref(), Some("3"));
        let many = (0..100).map(|n| format!("\"k{}\":{n}", n % 60)).collect::<Vec<_>>().join(",");
        assert_eq!(at(&format!("{{{many}}}"), "/k3").as_deref(), Some("63"));
    }

    #[test]
    fn escaped_strings_can_be_parsed_by_serde_json() {
        for text in ["", "plain", "q\"b\\s/", "\u{0}\u{1f}\n\r\t", "é\u{7f}\u{2028}𝄞"] {
            let mut written = String::new();
            write_string(text, &mut written);
            assert_eq!(serde_json::from_str::<String>(&written).expect(text), text);
        }
    }

    #[test]
    fn text_that_is_not_json_is_an_error() {
        let mut root = Node::new(r#"{"a": nul}"#);
        assert!(root.get(&Pointer::parse("/a").expect("pointer")).is_err());
        assert!(Node::new("[1,").divide().is_err());
    }

    #[test]
    fn depth_ignores_brackets_in_strings() {
        for (text, expected) in
            [("1", 0), (r#""[[""#, 0), (r#""\"[""#, 0), ("[]", 1), (r#"{"a":[{}],"b":[]}"#, 3)]
        {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
