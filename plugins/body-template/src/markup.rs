//! The format of values in a body, by content type.

use hookwright_json_tree::write_string;
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, Output};

use crate::data::{Json, Number};
use crate::json_body;

/// The format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// JSON, according to the position: see [`json_body`].
    Json,
    /// Text with escapes for HTML and XML.
    Xml,
    /// Text.
    Plain,
}

impl Markup {
    /// JSON for `…/json` and `…+json`; XML for `text/html`, `…/xml` and `…+xml`; plain for others.
    pub fn of(content_type: &str) -> Self {
        let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let subtype = media_type.split_once('/').map_or("", |(_, subtype)| subtype);
        let is = |name: &str| {
            subtype == name || subtype.rsplit_once('+').is_some_and(|(_, suffix)| suffix == name)
        };
        if is("json") {
            Markup::Json
        } else if is("xml") || media_type == "text/html" {
            Markup::Xml
        } else {
            Markup::Plain
        }
    }

    /// Writes a value. Text that is already escaped, or captured from a block, is written unchanged.
    pub fn write(self, out: &mut Output<'_>, value: &Value) -> Result<(), Error> {
        if value.is_safe() {
            return Ok(out.write_str(value.as_str().unwrap_or_default())?);
        }
        match self {
            Markup::Json => {
                let mut text = String::from(json_body::BEGIN);
                write_json(value, &mut text)?;
                text.push(json_body::END);
                out.write_str(&text)?;
            }
            Markup::Xml => out.write_str(&escape_xml(&plain(value)?))?,
            Markup::Plain => out.write_str(&plain(value)?)?,
        }
        Ok(())
    }
}

/// Returns the characters of a string, nothing for null or a missing value, and JSON for other values.
fn plain(value: &Value) -> Result<String, Error> {
    if let Some(text) = value.as_str() {
        return Ok(text.to_owned());
    }
    let mut text = String::new();
    if !matches!(value.kind(), ValueKind::None | ValueKind::Undefined) {
        write_json(value, &mut text)?;
    }
    Ok(text)
}

/// Writes a value as JSON. Values of the data keep their original text.
pub fn write_json(value: &Value, text: &mut String) -> Result<(), Error> {
    if let Some(json) = value.downcast_object_ref::<Json>() {
        text.push_str(json.text());
        return Ok(());
    }
    if let Some(number) = value.downcast_object_ref::<Number>() {
        text.push_str(&number.0);
        return Ok(());
    }
    match value.kind() {
        ValueKind::Undefined | ValueKind::None => text.push_str("null"),
        ValueKind::Bool => text.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::Number => {
            let number = value.to_string();
            // JSON has neither infinity nor NaN.
            let finite = number.bytes().any(|byte| byte.is_ascii_digit());
            text.push_str(if finite { &number } else { "null" });
        }
        ValueKind::String => write_string(value.as_str().unwrap_or_default(), text),
        ValueKind::Seq | ValueKind::Iterable => write_items(value, text)?,
        ValueKind::Map => write_members(value, text)?,
        _ => {
            return Err(Error::new(
                ErrorKind::BadSerialization,
                format!("a value of type {} cannot be written", value.kind()),
            ));
        }
    }
    Ok(())
}

fn write_items(value: &Value, text: &mut String) -> Result<(), Error> {
    text.push('[');
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_json(&item, text)?;
    }
    text.push(']');
    Ok(())
}

fn write_members(value: &Value, text: &mut String) -> Result<(), Error> {
    text.push('{');
    for (index, name) in value.try_iter()?.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(&name.to_string(), text);
        text.push(':');
        write_json(&value.get_item(&name)?, text)?;
    }
    text.push('}');
    Ok(())
}

fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_determines_the_format() {
        for (content_type, expected) in [
            ("application/json", Markup::Json),
            ("Application/vnd.a+JSON; charset=utf-8", Markup::Json),
            ("text/xml", Markup::Xml),
            ("application/soap+xml", Markup::Xml),
            ("text/html; charset=utf-8", Markup::Xml),
            ("text/plain", Markup::Plain),
            ("application/jsonl", Markup::Plain),
            ("json", Markup::Plain),
        ] {
            assert_eq!(Markup::of(content_type), expected, "{content_type}");
        }
    }
}
