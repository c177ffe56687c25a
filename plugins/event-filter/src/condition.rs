//! What can be written in the settings, and what of it makes sense.

use std::cell::Cell;

use hookwright_json_tree::Pointer;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::test::{Constant, Pattern, Test};

/// How deep conditions may be nested: reading them goes that deep, and a guest's stack is small.
const CONDITION_DEPTH: usize = 10;

thread_local! {
    /// How many conditions are being read, each in the one before.
    static WITHIN: Cell<usize> = const { Cell::new(0) };
}

/// A condition: all of some, any of some, not another, or tests of one value.
#[derive(Debug)]
pub enum Condition {
    /// Every one holds. True of none.
    All(Vec<Condition>),
    /// At least one holds. False of none.
    Any(Vec<Condition>),
    /// The other one does not hold.
    Not(Box<Condition>),
    /// Every test of the value holds.
    Value(Subject, Vec<Test>),
}

/// The value that is tested.
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

/// All that a condition may have, as written. Reading it as one struct, where an untagged enum would do,
/// keeps serde's messages and their paths: of an untagged enum it says only that no variant matched.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a condition, which is an object")]
struct Written {
    all: Option<Vec<Condition>>,
    any: Option<Vec<Condition>>,
    not: Option<Box<Condition>>,
    pointer: Option<Pointer>,
    of: Option<Of>,
    attribute: Option<String>,
    // `Option` alone would take `"equals": null` for no test at all.
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
        let within = WITHIN.get();
        if within == CONDITION_DEPTH {
            return Err(D::Error::custom(format_args!(
                "conditions are nested at most {CONDITION_DEPTH} deep"
            )));
        }
        WITHIN.set(within + 1);
        let written = Written::deserialize(deserializer);
        WITHIN.set(within);
        written?.check().map_err(D::Error::custom)
    }
}

impl Written {
    fn check(mut self) -> Result<Condition, &'static str> {
        let tests = self.take_tests()?;
        let groups = [self.all.is_some(), self.any.is_some(), self.not.is_some()];
        let subjects = [self.pointer.is_some(), self.of.is_some(), self.attribute.is_some()];
        let count = |given: &[bool]| given.iter().filter(|given| **given).count();
        match (count(&groups), count(&subjects)) {
            (1, 0) if tests.is_empty() => Ok(self.group()),
            (1, 0) => {
                Err("a test needs a `pointer`, `of` or `attribute` beside it, not `all`, `any` or `not`")
            }
            (0, 1) if tests.is_empty() => Err("a value needs a test beside it, such as `equals` or `exists`"),
            (0, 1) => Ok(Condition::Value(self.subject(), tests)),
            _ => Err("a condition has exactly one of `all`, `any`, `not`, `pointer`, `of`, `attribute`"),
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
            (&self.greater_than, "`greater_than`: only numbers and strings have an order"),
            (&self.greater_or_equal, "`greater_or_equal`: only numbers and strings have an order"),
            (&self.less_than, "`less_than`: only numbers and strings have an order"),
            (&self.less_or_equal, "`less_or_equal`: only numbers and strings have an order"),
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
