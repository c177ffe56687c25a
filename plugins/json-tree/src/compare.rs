//! Equality and order of JSON values.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::node::{Kind, Node, kind};
use crate::number::compare_numbers;

/// Returns the characters of a JSON string, whose text includes the quotes.
///
/// `None` if the text is not a string or contains an unpaired surrogate.
pub fn unescape(text: &str) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(text).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// Whether two JSON texts have the same value: numbers are compared by value, strings by characters, and objects
/// independent of the order of their members.
///
/// Recurses as deep as the shallower of the two, so limit the depth of one of them.
pub fn equal(left: &str, right: &str) -> bool {
    let (left_kind, right_kind) = (kind(left), kind(right));
    if left_kind != right_kind {
        return false;
    }
    match left_kind {
        Kind::Null => true,
        Kind::Boolean => left == right,
        Kind::Number => compare_numbers(left, right) == Ordering::Equal,
        Kind::String => left == right || unescape(left).is_some_and(|text| Some(text) == unescape(right)),
        Kind::Array | Kind::Object => {
            let (mut left, mut right) = (Node::Text(left), Node::Text(right));
            left.divide().is_ok() && right.divide().is_ok() && equal_members(&left, &right)
        }
    }
}

fn equal_members(left: &Node<'_>, right: &Node<'_>) -> bool {
    match (left, right) {
        (Node::Array(left), Node::Array(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| equal(&left.text(), &right.text()))
        }
        (Node::Object(left), Node::Object(right)) => {
            let same = |(name, value): &(Cow<'_, str>, Node<'_>)| {
                let other = right.iter().find(|(other, _)| other == name);
                other.is_some_and(|(_, other)| equal(&value.text(), &other.text()))
            };
            left.len() == right.len() && left.iter().all(same)
        }
        _ => false,
    }
}

/// Compares two numbers by value, or two strings by code point. Other pairs of values have no order.
pub fn order(left: &str, right: &str) -> Option<Ordering> {
    match (kind(left), kind(right)) {
        (Kind::Number, Kind::Number) => Some(compare_numbers(left, right)),
        // The order of UTF-8 bytes is the order of code points.
        (Kind::String, Kind::String) => Some(unescape(left)?.cmp(&unescape(right)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_and_not_texts() {
        let cases = [
            ("1", "1.0", true),
            ("1", r#""1""#, false),
            ("null", "null", true),
            ("null", "false", false),
            ("true", "true", true),
            ("true", "false", false),
            (r#""é""#, r#""\u00e9""#, true),
            (r#""a""#, r#""b""#, false),
            (r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":2}"#, false),
            (r#"{"a":1}"#, r#"{"b":1}"#, false),
            ("[1,2]", "[2,1]", false),
            ("[]", "{}", false),
            ("[1]", "[1,1]", false),
            (r#""\ud800""#, r#""\ud801""#, false),
        ];
        for (left, right, expected) in cases {
            assert_eq!(equal(left, right), expected, "{left} {right}");
            assert_eq!(equal(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn only_numbers_and_strings_have_an_order() {
        let cases = [
            ("1", "2", Some(Ordering::Less)),
            (r#""b""#, r#""a""#, Some(Ordering::Greater)),
            // U+FF5E is less than U+1D11E by code point, but not by UTF-16 code unit.
            (r#""～""#, r#""𝄞""#, Some(Ordering::Less)),
            ("1", r#""2""#, None),
            ("true", "false", None),
            ("null", "null", None),
            ("[1]", "[2]", None),
        ];
        for (left, right, expected) in cases {
            assert_eq!(order(left, right), expected, "{left} {right}");
        }
    }
}
