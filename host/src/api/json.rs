//! Strict JSON parsing with errors that name the invalid value and its position.
//!
//! Valid input costs one pass of `serde_json` and one scan for brackets. Only invalid input is parsed a
//! second time, to find the path of the error. Text that is stored unparsed, such as an event's data, is
//! checked for two properties that the parsers of plugins reject: nesting beyond [`MAX_DEPTH`] and unpaired
//! surrogates.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use hookwright_json_tree::depth;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::pointer::Pointer;
use super::problem::{Kind, Problem, shorten};

/// The maximum nesting depth of arrays and objects. `serde_json`, which most plugins use, supports 127
/// levels; the difference is for envelopes around the data.
pub const MAX_DEPTH: usize = 120;

/// Accepts only a JSON object: the implementation that serde derives for a struct accepts an array as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

/// For a member of a patch where null means something: absent is `None`, null is `Some(None)`.
///
/// # Errors
/// If the value has another type.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// The members of an object, in order. Duplicate names are an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members<V>(pub Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Members<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
            type Value = Members<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<V>, A::Error> {
                let (mut members, mut names) = (Vec::new(), HashSet::new());
                while let Some((name, value)) = map.next_entry::<String, V>()? {
                    if !names.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor(PhantomData))
    }
}

impl<V: Serialize> Serialize for Members<V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// JSON text that has been validated, to be written unchanged.
#[must_use]
pub fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Parses a body that is one JSON object.
///
/// # Errors
/// Fails if the body is not a JSON object, or not a valid `T`.
pub fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Problem> {
    parse_text(text_of(body)?)
}

/// Like [`parse`], for text.
///
/// # Errors
/// Fails like [`parse`].
pub fn parse_text<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Problem> {
    check_depth(text)?;
    check_surrogates(text)?;
    match serde_json::from_str::<Object<T>>(text) {
        Ok(Object(value)) => Ok(value),
        Err(_) => Err(locate_error::<Object<T>>(text)),
    }
}

/// The body as text.
///
/// # Errors
/// Fails if the body is empty or not UTF-8.
pub fn text_of(body: &[u8]) -> Result<&str, Problem> {
    if body.is_empty() {
        return Err(Problem::new(Kind::MalformedJson, "the body is empty; expected a JSON object"));
    }
    std::str::from_utf8(body).map_err(|error| {
        let position = error.valid_up_to();
        Problem::new(Kind::MalformedJson, format!("the body is not UTF-8: invalid byte at offset {position}"))
    })
}

/// Parses invalid text a second time, slower, to find the path of the error.
fn locate_error<'a, T: Deserialize<'a>>(text: &'a str) -> Problem {
    let mut reader = serde_json::Deserializer::from_str(text);
    let (error, path) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => {
            let path = Pointer::from(error.path());
            (error.into_inner(), path)
        }
        Ok(_) => match reader.end() {
            Err(error) => (error, Pointer::root()),
            // Unreachable: the first pass rejected the same text.
            Ok(()) => return Problem::new(Kind::MalformedJson, "the body could not be read"),
        },
    };
    problem_of(&error, path)
}

fn problem_of(error: &serde_json::Error, path: Pointer) -> Problem {
    let full = error.to_string();
    if matches!(error.classify(), Category::Syntax | Category::Eof | Category::Io) {
        return Problem::new(Kind::MalformedJson, full);
    }
    let (line, column) = (error.line(), error.column());
    let message = full.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&full);
    if let Some(rest) = message.strip_prefix("unknown field `") {
        return unknown_member(rest, path);
    }
    if let Some(name) = quoted(message, "missing field `") {
        // The pointer names an existing value: the object that lacks the member.
        return Problem::at(Kind::MissingMember, path, format!("missing member `{name}`"));
    }
    if let Some(name) = quoted(message, "duplicate field `") {
        let path = end_with(path, name);
        return Problem::at(Kind::DuplicateMember, path, format!("duplicate member `{}`", shorten(name)));
    }
    if let Some(mismatch) = message.strip_prefix("invalid type: ") {
        return Problem::at(Kind::WrongType, path, describe_mismatch(mismatch).into_owned());
    }
    let rule = message.strip_prefix("invalid value: ").map_or(Cow::Borrowed(message), describe_mismatch);
    Problem::at(Kind::InvalidValue, path, rule.into_owned())
}

/// `rest` is serde's message after "unknown field `": the name, "`, expected " and the known names.
fn unknown_member(rest: &str, path: Pointer) -> Problem {
    // The name may contain the separator; the known names never do.
    let end = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no fields"));
    let (name, expected) = end.map_or((rest, ""), |end| (&rest[..end], &rest[end + 3..]));
    let expected = expected.replace("there are no fields", "no members are allowed");
    let detail = format!("unknown member `{}`; {expected}", shorten(name));
    Problem::at(Kind::UnknownMember, end_with(path, name), detail)
}

fn quoted<'m>(message: &'m str, before: &str) -> Option<&'m str> {
    message.strip_prefix(before)?.strip_suffix('`')
}

/// serde fails while it reads a member's name; whether the path already ends with the name depends on the
/// deserializer.
fn end_with(path: Pointer, name: &str) -> Pointer {
    let last = Pointer::to(name);
    if path.as_str().ends_with(last.as_str()) { path } else { path.member(name) }
}

/// Replaces serde's names of types by those of JSON, in a message such as "map, expected u64".
fn describe_mismatch(mismatch: &str) -> Cow<'_, str> {
    let Some((found, expected)) = mismatch.rsplit_once(", expected ") else {
        return Cow::Borrowed(mismatch);
    };
    let found = match found {
        "map" => "an object",
        "sequence" => "an array",
        other => other,
    };
    let expected = match expected {
        "i64" | "i32" => "an integer",
        "u64" | "u32" | "u16" => "a non-negative integer",
        "a sequence" => "an array",
        "a map" => "an object",
        other => other,
    };
    Cow::Owned(format!("expected {expected}, found {}", shorten(found)))
}

/// # Errors
/// Fails if arrays and objects are nested more than [`MAX_DEPTH`] levels deep.
fn check_depth(text: &str) -> Result<(), Problem> {
    // Counting brackets bounds the depth from above and is much faster than tracking it. `[` and `{` differ
    // in one bit.
    let openings = text.bytes().filter(|byte| byte | 0x20 == b'{').count();
    if openings <= MAX_DEPTH || depth(text) <= MAX_DEPTH {
        return Ok(());
    }
    let detail = format!("arrays and objects are nested more than {MAX_DEPTH} levels deep");
    Err(Problem::new(Kind::MalformedJson, detail))
}

/// # Errors
/// Fails if an escape is an unpaired surrogate (RFC 8259, section 8.2), which UTF-8 cannot represent.
fn check_surrogates(text: &str) -> Result<(), Problem> {
    if !text.contains("\\u") {
        return Ok(());
    }
    let bytes = text.as_bytes();
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        at += match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                let escape = &text[at..at + 6];
                let detail = format!(
                    "`{escape}` at byte {at} is an unpaired surrogate; write a pair or another character"
                );
                return Err(Problem::new(Kind::MalformedJson, detail));
            }
            Some(_) => 6,
            None => 2,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
