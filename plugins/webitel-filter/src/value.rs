//! JavaScript values.

use std::borrow::Cow;

use hookwright_json_tree::{Kind, kind};
use hookwright_webitel_common::js::string_of;

use crate::number;

/// A JavaScript value: JSON or `undefined`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Missing.
    Undefined,
    Null,
    Boolean(bool),
    Number(f64),
    /// Text in UTF-16. It is ordered by code unit.
    Text(Vec<u16>),
    /// An array or an object, as its primitive text (ES, section 7.1.1); `None` if the conversion throws.
    Object(Option<Vec<u16>>),
}

impl Value {
    /// Converts a JSON text.
    pub fn of(text: &str) -> Self {
        match kind(text) {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Boolean(text == "true"),
            Kind::Number => Value::Number(number::of_json(text)),
            Kind::String => Value::Text(string_of(text, Cow::Borrowed).unwrap_or_default()),
            Kind::Array | Kind::Object => {
                Value::Object(string_of(text, |text| number::to_text(number::of_json(text)).into()))
            }
        }
    }

    /// `ToString` (ES, section 7.1.17). `None` if it throws.
    pub fn text(&self) -> Option<Cow<'_, [u16]>> {
        let plain = |text: &str| Some(text.encode_utf16().collect());
        match self {
            Value::Undefined => plain("undefined"),
            Value::Null => plain("null"),
            Value::Boolean(value) => plain(if *value { "true" } else { "false" }),
            Value::Number(value) => plain(&number::to_text(*value)),
            Value::Text(units) => Some(Cow::Borrowed(units)),
            Value::Object(units) => units.as_deref().map(Cow::Borrowed),
        }
    }

    /// `ToNumber` (ES, section 7.1.4) of the primitive value.
    pub fn number(&self) -> f64 {
        match self {
            Value::Undefined | Value::Object(None) => f64::NAN,
            Value::Null => 0.0,
            Value::Boolean(value) => f64::from(u8::from(*value)),
            Value::Number(value) => *value,
            Value::Text(units) | Value::Object(Some(units)) => number::of_text(units),
        }
    }
}
