//! Structured mode: the context around the data, in the JSON event format (HTTP, section 3.2).

use std::fmt::Write;

use hookwright_json_tree::{checked, write_string};
use hookwright_plugin::{Body, Failure, Request};

use crate::context::{Attribute, Context};

pub fn write(context: &Context<'_>, mut draft: Request) -> Result<Request, Failure> {
    let content_type = draft.header("content-type").map(str::to_owned);
    let mut text = String::with_capacity(size(&draft.body) + 1024);
    text.push('{');
    for (name, attribute) in &context.attributes {
        write_string(name, &mut text);
        text.push(':');
        match attribute {
            Attribute::Text(value) => write_string(value, &mut text),
            Attribute::Integer(value) => write!(text, "{value}").unwrap_or_default(),
            Attribute::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
        }
        text.push(',');
    }
    write_data(&draft.body, content_type.as_deref(), &mut text)?;
    // Remove the comma after the last member.
    text.pop();
    text.push('}');
    draft.body = Body::Text(text);
    draft.set_header("content-type", "application/cloudevents+json; charset=UTF-8");
    Ok(draft)
}

fn size(body: &Body) -> usize {
    match body {
        Body::None => 0,
        Body::Text(text) => text.len(),
        Body::Binary(bytes) => bytes.len().div_ceil(3) * 4,
    }
}

/// Writes JSON data unchanged, other text as a string, and bytes in base64 (JSON, section 3.1).
fn write_data(body: &Body, content_type: Option<&str>, text: &mut String) -> Result<(), Failure> {
    let is_json = content_type.is_none_or(is_json);
    if !matches!(body, Body::None) {
        text.push_str("\"datacontenttype\":");
        write_string(content_type.unwrap_or("application/json"), text);
        text.push(',');
    }
    match body {
        Body::None => return Ok(()),
        Body::Text(data) if is_json => {
            let data = checked(data)
                .map_err(|error| Failure::new("bad-body", format!("the body is not JSON: {error}")))?;
            text.push_str("\"data\":");
            text.push_str(data);
        }
        Body::Text(data) => {
            text.push_str("\"data\":");
            write_string(data, text);
        }
        Body::Binary(bytes) => {
            text.push_str("\"data_base64\":\"");
            write_base64(bytes, text);
            text.push('"');
        }
    }
    text.push(',');
    Ok(())
}

/// Whether the subtype is `json` or ends with `+json` (JSON, section 3.1).
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.split_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Writes base64 (RFC 4648, section 4).
fn write_base64(bytes: &[u8], text: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            if digit <= chunk.len() {
                text.push(char::from(ALPHABET[(group >> (18 - 6 * digit) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_matches_the_examples_of_rfc_4648_section_10() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, expected) in cases {
            let mut text = String::new();
            write_base64(plain.as_bytes(), &mut text);
            assert_eq!(text, expected, "{plain}");
        }
    }

    #[test]
    fn media_types_of_json_are_recognized() {
        for (content_type, expected) in [
            ("application/json", true),
            ("Text/JSON; charset=utf-8", true),
            ("application/vnd.x+json", true),
            ("application/jsonp", false),
            ("text/plain", false),
            ("json", false),
        ] {
            assert_eq!(is_json(content_type), expected, "{content_type}");
        }
    }
}
