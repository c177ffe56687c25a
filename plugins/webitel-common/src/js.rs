//! JavaScript's conversions of JSON values.

use std::borrow::Cow;

use hookwright_json_tree::{Kind, Node, kind};

/// Whether a JSON value is truthy in JavaScript: all values except `null`, `false`, zero and the empty string.
pub fn truthy(text: &str) -> bool {
    match kind(text) {
        Kind::Null => false,
        Kind::Boolean => text == "true",
        Kind::Number => text.parse::<f64>().is_ok_and(|number| number != 0.0),
        Kind::String => text != "\"\"",
        Kind::Array | Kind::Object => true,
    }
}

/// Returns the text of a value in a template: empty if the value is falsy.
pub fn template_text(text: &str) -> String {
    if truthy(text) { text_of(text) } else { String::new() }
}

/// Returns the result of `String()` for a JSON value, except that numbers keep their text; empty if it would throw.
pub fn text_of(text: &str) -> String {
    String::from_utf16_lossy(&string_of(text, Cow::Borrowed).unwrap_or_default())
}

/// Returns the result of `String()` for a JSON value, in UTF-16, which keeps unpaired surrogates. `number` converts
/// numbers.
///
/// The text of an array is its elements separated by commas, at every level of nesting, where `null` is empty. `None`
/// if JavaScript would throw, because an object has a member `toString`.
pub fn string_of<'t>(text: &'t str, number: impl Fn(&'t str) -> Cow<'t, str>) -> Option<Vec<u16>> {
    let mut out = Vec::with_capacity(text.len());
    if kind(text) == Kind::Null {
        push(&mut out, "null");
        return Some(out);
    }
    // The text of an array is that of its leaves, so skip brackets and keep commas. One pass without recursion limits
    // the stack for any nesting.
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b',' => {
                push(&mut out, ",");
                at + 1
            }
            b'[' | b']' | b' ' | b'\t' | b'\n' | b'\r' => at + 1,
            b'"' => {
                let end = string_end(bytes, at);
                decode(&text[at..end], &mut out);
                end
            }
            b'{' => {
                let end = object_end(bytes, at);
                if hides_to_string(&text[at..end]) {
                    return None;
                }
                push(&mut out, "[object Object]");
                end
            }
            _ => {
                let length = bytes[at..].iter().position(|byte| b",] \t\n\r".contains(byte));
                let end = length.map_or(bytes.len(), |length| at + length);
                let literal = &text[at..end];
                match kind(literal) {
                    Kind::Null => {}
                    Kind::Number => push(&mut out, &number(literal)),
                    _ => push(&mut out, literal),
                }
                end
            }
        };
        at = end;
    }
    Some(out)
}

fn push(out: &mut Vec<u16>, text: &str) {
    out.extend(text.encode_utf16());
}

/// Returns the index after the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Returns the index after the object that begins at `start`.
fn object_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

/// Whether an object has a member `toString`. It hides JavaScript's method and is not callable.
fn hides_to_string(object: &str) -> bool {
    // Fast path: most objects do not contain the name, and an escaped name contains a backslash.
    if !object.contains("toString") && !object.contains('\\') {
        return false;
    }
    let mut node = Node::new(object);
    let divided = node.divide().is_ok();
    matches!(node, Node::Object(members) if divided && members.iter().any(|(name, _)| name == "toString"))
}

/// Decodes a JSON string with its quotes.
pub fn decode(literal: &str, out: &mut Vec<u16>) {
    let inner = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(literal);
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        push(out, plain);
        let mut characters = escape.chars();
        let unit = match characters.next() {
            Some('u') => {
                let code = escape.get(1..5).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                characters = escape.get(5..).unwrap_or_default().chars();
                code.unwrap_or(0xfffd)
            }
            Some('b') => 0x08,
            Some('f') => 0x0c,
            Some('n') => 0x0a,
            Some('r') => 0x0d,
            Some('t') => 0x09,
            // `"`, `\` and `/`.
            Some(other) => u16::try_from(u32::from(other)).unwrap_or(0xfffd),
            None => break,
        };
        out.push(unit);
        rest = characters.as_str();
    }
    push(out, rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_false_zero_and_the_empty_string_are_falsy() {
        for text in ["null", "false", "0", "-0", "0.0", "0e9", "1e-999", "\"\""] {
            assert!(!truthy(text), "{text}");
            assert_eq!(template_text(text), "", "{text}");
        }
        for text in ["true", "1", "-0.1", "1e999", "\"0\"", "\" \"", "[]", "{}"] {
            assert!(truthy(text), "{text}");
        }
    }

    #[test]
    fn values_are_converted_as_in_javascript_but_numbers_keep_their_text() {
        for (text, expected) in [
            ("true", "true"),
            ("1.50", "1.50"),
            ("9007199254740993", "9007199254740993"),
            (r#""a\"b\\\/\u00e9\n\ud834\udd1e\t""#, "a\"b\\/é\n𝄞\t"),
            (r#""\ud800!""#, "\u{fffd}!"),
            ("[]", ""),
            ("[ [ ] ]", ""),
            ("[null]", ""),
            ("[1, [2, [null, \"x,]\"]], true]", "1,2,,x,],true"),
            ("[[],1]", ",1"),
            (r#"{"a": 1}"#, "[object Object]"),
            (r#"[{"a":{"b":"}\""}}, 2]"#, "[object Object],2"),
            (r#"{"toString": 1}"#, ""),
            (r#"{"to\u0053tring": 1}"#, ""),
            (r#"{"a": "toString"}"#, "[object Object]"),
        ] {
            assert_eq!(template_text(text), expected, "{text}");
        }
        assert_eq!(string_of("null", Cow::Borrowed), Some("null".encode_utf16().collect()));
    }

    #[test]
    fn nesting_does_not_use_stack() {
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(template_text(&deep), "1");
    }
}
