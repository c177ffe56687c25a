//! JavaScript's comparisons of different types.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::value::Value;

/// `==` (ES, section 7.2.14). None where it throws.
pub fn loosely_equal(left: &Value, right: &Value) -> Option<bool> {
    use Value::{Boolean, Null, Number, Object, Text, Undefined};
    Some(match (left, right) {
        (Undefined | Null, Undefined | Null) => true,
        (Undefined | Null, _) | (_, Undefined | Null) => false,
        // An object is equal to itself alone, and one that was stored is never one that came.
        (Object(_), Object(_)) => false,
        (Boolean(left), Boolean(right)) => left == right,
        (Text(left), Text(right)) => left == right,
        (Object(units), Text(text)) | (Text(text), Object(units)) => units.as_ref()? == text,
        (Object(None), _) | (_, Object(None)) => return None,
        (Number(_) | Boolean(_) | Text(_) | Object(_), _) => left.number() == right.number(),
    })
}

/// What `<` and its like compare (ES, section 7.2.13). None where one of them is not a number, or it throws: then
/// none of the four holds.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (units(left)?, units(right)?) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.number().partial_cmp(&right.number()),
    }
}

/// The code units of what is text, or becomes text as a primitive; none of what doesn't. None at all where it throws.
fn units(value: &Value) -> Option<Option<Cow<'_, [u16]>>> {
    match value {
        Value::Text(_) | Value::Object(_) => value.text().map(Some),
        _ => Some(None),
    }
}
