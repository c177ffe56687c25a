//! JavaScript's comparisons of values of different types.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::value::Value;

/// `==` (ES, section 7.2.14). `None` if it throws.
pub fn loosely_equal(left: &Value, right: &Value) -> Option<bool> {
    use Value::{Boolean, Null, Number, Object, Text, Undefined};
    Some(match (left, right) {
        (Undefined | Null, Undefined | Null) => true,
        (Undefined | Null, _) | (_, Undefined | Null) => false,
        // An object equals only itself, and the two sides are never the same object.
        (Object(_), Object(_)) => false,
        (Boolean(left), Boolean(right)) => left == right,
        (Text(left), Text(right)) => left == right,
        (Object(units), Text(text)) | (Text(text), Object(units)) => units.as_ref()? == text,
        (Object(None), _) | (_, Object(None)) => return None,
        (Number(_) | Boolean(_) | Text(_) | Object(_), _) => left.number() == right.number(),
    })
}

/// The order for `<`, `>`, `<=` and `>=` (ES, section 7.2.13). `None` if a side is NaN or the comparison throws: then
/// none of them holds.
pub fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (units(left)?, units(right)?) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.number().partial_cmp(&right.number()),
    }
}

/// Returns the code units of a text or of an object that converts to text, `Some(None)` for other values, and `None` if
/// the conversion throws.
fn units(value: &Value) -> Option<Option<Cow<'_, [u16]>>> {
    match value {
        Value::Text(_) | Value::Object(_) => value.text().map(Some),
        _ => Some(None),
    }
}
