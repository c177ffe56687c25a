//! The settings.

use std::fmt;

use hookwright_json_tree::Pointer;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) mode: Mode,
    #[serde(deserialize_with = "uri_reference")]
    pub(crate) source: String,
    #[serde(default, deserialize_with = "text")]
    pub(crate) type_prefix: String,
    #[serde(default, deserialize_with = "subject")]
    pub(crate) subject: Option<Value>,
    #[serde(default, deserialize_with = "extensions")]
    pub(crate) extensions: Vec<(String, Value)>,
}

/// Where the context is written (HTTP, section 1.3).
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the body, together with the data.
    Structured,
    /// In headers.
    Binary,
}

/// A value, or a reference to one.
#[derive(Debug)]
pub enum Value {
    /// Text.
    Text(String),
    /// A 32-bit integer (CE, section 2.1).
    Integer(i32),
    /// A boolean.
    Boolean(bool),
    /// A value in the event's data.
    Pointer(Pointer),
    /// An attribute of the event.
    Attribute(String),
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(
                    "a string, a boolean, a 32-bit integer, {\"pointer\": …} or {\"attribute\": …}",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                without_control(text).map(|text| Value::Text(text.into())).map_err(E::custom)
            }
            fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Boolean(value))
            }
            fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
                i32::try_from(value)
                    .map(Value::Integer)
                    .map_err(|_error| E::custom("an integer must fit into 32 bits"))
            }
            fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
                i32::try_from(value)
                    .map(Value::Integer)
                    .map_err(|_error| E::custom("an integer must fit into 32 bits"))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let value = match map.next_key::<String>()?.as_deref() {
                    Some("pointer") => Value::Pointer(map.next_value()?),
                    Some("attribute") => Value::Attribute(map.next_value()?),
                    Some(name) => return Err(A::Error::unknown_field(name, &["pointer", "attribute"])),
                    None => return Err(A::Error::custom("expected `pointer` or `attribute`")),
                };
                match map.next_key::<String>()? {
                    None => Ok(value),
                    Some(_) => Err(A::Error::custom("`pointer` or `attribute` must be the only member")),
                }
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Refuses control characters (CE, section 2.1).
fn without_control(text: &str) -> Result<&str, &'static str> {
    if text.chars().any(char::is_control) {
        Err("a string must not contain control characters")
    } else {
        Ok(text)
    }
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    without_control(&text).map_err(D::Error::custom)?;
    Ok(text)
}

/// Refuses an empty subject (CE, section 3.1).
fn subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    let subject = Option::<Value>::deserialize(deserializer)?;
    match &subject {
        Some(Value::Text(text)) if text.is_empty() => Err(D::Error::custom("a subject must not be empty")),
        _ => Ok(subject),
    }
}

/// Parses a non-empty URI reference (CE, section 3.1). Only the characters are checked (RFC 3986, section 2), not the
/// grammar, because receivers compare sources as text.
fn uri_reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Err(D::Error::custom("a source must not be empty"));
    }
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = match byte {
            b'%' if after.len() >= 2 && after[..2].iter().all(u8::is_ascii_hexdigit) => &after[2..],
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => after,
            byte if b"-._~:/?#[]@!$&'()*+,;=".contains(byte) => after,
            _ => {
                return Err(D::Error::custom(
                    "a source must be a URI reference, such as `/orders` or `https://shop.example`",
                ));
            }
        };
    }
    Ok(text)
}

/// Parses extension attributes. Names must consist of lower-case letters and digits, and must not be names of the
/// specification (CE, section 3).
fn extensions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Value)>, D::Error> {
    const RESERVED: &[&str] = &[
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
    ];
    struct ExtensionsVisitor;
    impl<'de> Visitor<'de> for ExtensionsVisitor {
        type Value = Vec<(String, Value)>;
        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of extension attributes")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut extensions: Self::Value = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
                if name.is_empty() || !name.bytes().all(allowed) {
                    return Err(A::Error::custom(format_args!(
                        "the name `{name}` must consist of lower-case letters and digits"
                    )));
                }
                if RESERVED.contains(&name.as_str()) || extensions.iter().any(|(other, _)| *other == name) {
                    return Err(A::Error::custom(format_args!(
                        "the name `{name}` is reserved or already used"
                    )));
                }
                let value = map.next_value()?;
                extensions.push((name, value));
            }
            Ok(extensions)
        }
    }
    deserializer.deserialize_map(ExtensionsVisitor)
}
