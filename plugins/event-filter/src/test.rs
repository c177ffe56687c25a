//! Tests of a value.

use std::cmp::Ordering;
use std::fmt;

use hookwright_json_tree::{Kind, depth, equal, kind, order, unescape};
use regex_lite::{Regex, RegexBuilder};
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

/// Maximum nesting depth of a constant. Comparing is recursive.
const CONSTANT_DEPTH: usize = 32;
/// Maximum size of a compiled regular expression, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// Maximum nesting depth of its groups. Compiling is recursive.
const PATTERN_DEPTH: u32 = 20;

/// A test of a value.
#[derive(Debug)]
#[allow(missing_docs, reason = "README.md defines each")]
pub enum Test {
    Exists(bool),
    Equals(Constant),
    NotEquals(Constant),
    GreaterThan(Constant),
    GreaterOrEqual(Constant),
    LessThan(Constant),
    LessOrEqual(Constant),
    In(Vec<Constant>),
    NotIn(Vec<Constant>),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Matches(Pattern),
}

impl Test {
    /// Whether the test holds for a JSON value; `None` is a missing value.
    ///
    /// A missing value equals nothing and has no order and no characters, so the negative tests hold for it.
    pub fn holds(&self, value: Option<&str>) -> bool {
        match self {
            Test::Exists(expected) => value.is_some() == *expected,
            Test::Equals(constant) => constant.equals(value),
            Test::NotEquals(constant) => !constant.equals(value),
            Test::GreaterThan(bound) => bound.ordering(value).is_some_and(Ordering::is_gt),
            Test::GreaterOrEqual(bound) => bound.ordering(value).is_some_and(Ordering::is_ge),
            Test::LessThan(bound) => bound.ordering(value).is_some_and(Ordering::is_lt),
            Test::LessOrEqual(bound) => bound.ordering(value).is_some_and(Ordering::is_le),
            Test::In(constants) => constants.iter().any(|constant| constant.equals(value)),
            Test::NotIn(constants) => !constants.iter().any(|constant| constant.equals(value)),
            Test::Prefix(prefix) => string_in(value, |text| text.starts_with(prefix.as_str())),
            Test::Suffix(suffix) => string_in(value, |text| text.ends_with(suffix.as_str())),
            Test::Contains(part) => string_in(value, |text| text.contains(part.as_str())),
            Test::Matches(pattern) => string_in(value, |text| pattern.0.is_match(text)),
        }
    }
}

fn string_in(value: Option<&str>, test: impl FnOnce(&str) -> bool) -> bool {
    value.and_then(unescape).is_some_and(|text| test(&text))
}

/// A JSON value in the settings. It is kept as text so that numbers are compared exactly.
#[derive(Debug)]
pub struct Constant(Box<RawValue>);

impl Constant {
    fn equals(&self, value: Option<&str>) -> bool {
        value.is_some_and(|value| equal(value, self.0.get()))
    }

    fn ordering(&self, value: Option<&str>) -> Option<Ordering> {
        order(value?, self.0.get())
    }

    /// Whether it is a type with an order: a number or a string.
    pub fn has_order(&self) -> bool {
        matches!(kind(self.0.get()), Kind::Number | Kind::String)
    }
}

impl<'de> Deserialize<'de> for Constant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        if depth(raw.get()) > CONSTANT_DEPTH {
            return Err(D::Error::custom(format_args!(
                "a constant must be nested at most {CONSTANT_DEPTH} levels deep"
            )));
        }
        Ok(Constant(raw))
    }
}

/// A regular expression, compiled when the settings are parsed.
pub struct Pattern(Regex);

impl fmt::Debug for Pattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let regex = RegexBuilder::new(&text).size_limit(PATTERN_BYTES).nest_limit(PATTERN_DEPTH).build();
        regex
            .map(Pattern)
            .map_err(|error| D::Error::custom(format_args!("not a regular expression: {error}")))
    }
}
