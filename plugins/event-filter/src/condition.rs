//! Parsing and checking of the settings.

use std::cell::Cell;

use hookwright_json_tree::Pointer;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::test::{Constant, Pattern, Test};

/// Maximum nesting depth of conditions. Parsing is recursive, and a guest's stack is small.
const CONDITION_DEPTH: usize = 10;

thread_local! {
    /// Nesting depth of the condition that is being parsed.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A condition.
#[derive(Debug)]
pub enum Condition {
    /// All conditions hold. True if there are none.
    All(Vec<Condition>),
    /// At least one condition holds. False if there are none.
    Any(Vec<Condition>),
    /// The condition does not hold.
    Not(Box<Condition>),
    /// All tests of the value hold.
    Value(Subject, Vec<Test>),
}

/// The tested value.
#[derive(Debug)]
pub enum Subject {
    /// A value in the event's data.
    Data(Pointer),
    /// The event's type.
    Type,
    /// The event's id.
    Id,
    /// An attribute of the event, by name.
    Attribute(String),
}

/// All members of a condition. This is a struct and not an untagged enum, because serde's errors for an untagged enum
/// have no path and no reason.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a condition, which is an object")]
struct RawCondition {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    pointer: Option<Pointer>,
    of: Option<Of>,
    attribute: Option<String>,
    // Without this, `"equals": null` would be parsed as no test.
    #[serde(default, deserialize_with = "present")]
    equals: Option<Constant>,
    #[serde(default, deserialize_with = "present")]
    not_equals: Option<Constant>,
    #[serde(default, deserialize_with = "present")]
    greater_than: Option<Constant>,
    #[serde(default, deserialize_with = "present")]
    greater_or_equal: Option<Constant>,
    #[serde(default, deserialize_with = "present")]
    less_than: Option<Constant>,
    #[serde(default, deserialize_with = "present")]
    less_or_equal: Option<Constant>,
    r#in: Option<Vec<Constant>>,
    not_in: Option<Vec<Constant>>,
    exists: Option<bool>,
    prefix: Option<String>,
    suffix: Option<String>,
    contains: Option<String>,
    matches: Option<Pattern>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Of {
    Type,
    Id,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Constant>, D::Error> {
    Constant::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let depth = DEPTH.get();
        if depth == CONDITION_DEPTH {
            return Err(D::Error::custom(format_args!(
                "conditions must be nested at most {CONDITION_DEPTH} levels deep"
            )));
        }
        DEPTH.set(depth + 1);
        let raw = RawCondition::deserialize(deserializer);
        DEPTH.set(depth);
        raw?.check().map_err(D::Error::custom)
    }
}

impl RawCondition {
    fn check(mut self) -> Result<Condition, &'static str> {
        let tests = self.take_tests()?;
        let groups = [self.all.is_some(), self.any.is_some(), self.not.is_some()];
        let subjects = [self.pointer.is_some(), self.of.is_some(), self.attribute.is_some()];
        let count = |given: &[bool]| given.iter().filter(|given| **given).count();
        match (count(&groups), count(&subjects)) {
            (1, 0) if tests.is_empty() => Ok(self.group()),
            (1, 0) => {
                Err("a test must be used with `pointer`, `of` or `attribute`, not with `all`, `any` or `not`")
            }
            (0, 1) if tests.is_empty() => Err("a value must have a test, such as `equals` or `exists`"),
            (0, 1) => Ok(Condition::Value(self.subject(), tests)),
            _ => {
                Err("a condition must have exactly one of `all`, `any`, `not`, `pointer`, `of`, `attribute`")
            }
        }
    }

    fn group(self) -> Condition {
        match (self.all, self.any, self.not) {
            (Some(conditions), _, _) => Condition::All(conditions),
            (_, Some(conditions), _) => Condition::Any(conditions),
            (_, _, Some(condition)) => Condition::Not(condition),
            _ => Condition::All(Vec::new()),
        }
    }

    fn subject(self) -> Subject {
        match (self.pointer, self.of, self.attribute) {
            (Some(pointer), _, _) => Subject::Data(pointer),
            (_, Some(Of::Id), _) => Subject::Id,
            (_, _, Some(name)) => Subject::Attribute(name),
            _ => Subject::Type,
        }
    }

    fn take_tests(&mut self) -> Result<Vec<Test>, &'static str> {
        for (bound, refusal) in [
            (&self.greater_than, "`greater_than` must be a number or a string"),
            (&self.greater_or_equal, "`greater_or_equal` must be a number or a string"),
            (&self.less_than, "`less_than` must be a number or a string"),
            (&self.less_or_equal, "`less_or_equal` must be a number or a string"),
        ] {
            if bound.as_ref().is_some_and(|bound| !bound.has_order()) {
                return Err(refusal);
            }
        }
        let tests = [
            self.exists.map(Test::Exists),
            self.equals.take().map(Test::Equals),
            self.not_equals.take().map(Test::NotEquals),
            self.greater_than.take().map(Test::GreaterThan),
            self.greater_or_equal.take().map(Test::GreaterOrEqual),
            self.less_than.take().map(Test::LessThan),
            self.less_or_equal.take().map(Test::LessOrEqual),
            self.r#in.take().map(Test::In),
            self.not_in.take().map(Test::NotIn),
            self.prefix.take().map(Test::Prefix),
            self.suffix.take().map(Test::Suffix),
            self.contains.take().map(Test::Contains),
            self.matches.take().map(Test::Matches),
        ];
        Ok(tests.into_iter().flatten().collect())
    }
}
