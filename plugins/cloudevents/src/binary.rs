//! Binary mode: the context in headers, the body unchanged (HTTP, section 3.1).

use hookwright_plugin::{Body, Request};

use crate::context::{Attribute, Context};

pub fn write(context: &Context<'_>, mut draft: Request) -> Request {
    for (name, attribute) in &context.attributes {
        let value = match attribute {
            Attribute::Text(text) => percent_encode(text),
            Attribute::Integer(number) => number.to_string(),
            Attribute::Boolean(value) => value.to_string(),
        };
        draft.set_header(&format!("ce-{name}"), value);
    }
    // The content type header stands for `datacontenttype` (HTTP, section 3.1.1). A body without one is JSON.
    if draft.header("content-type").is_none() && !matches!(draft.body, Body::None) {
        draft.set_header("content-type", "application/json");
    }
    draft
}

/// Encodes space, `"`, `%` and all characters that are not printable ASCII (HTTP, section 3.1.3.2).
fn percent_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'%' => {}
            b'!'..=b'~' => {
                encoded.push(char::from(byte));
                continue;
            }
            _ => {}
        }
        encoded.push('%');
        encoded.push(char::from(HEX[usize::from(byte >> 4)]));
        encoded.push(char::from(HEX[usize::from(byte & 15)]));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_percent_encoded() {
        // The first case is the example of the specification.
        for (text, expected) in
            [("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"), ("a\"b%c~!", "a%22b%25c~!"), ("\u{7f}", "%7F")]
        {
            assert_eq!(percent_encode(text), expected, "{text}");
        }
    }
}
