//! Valid JSON from a template, whatever the position of its values.
//!
//! In `{"text": "Hi ${name}", "user": ${user}}`, the first value is part of a string and the second is a value of its
//! own. The position is unknown when a value is written, because it may be in a block that is captured and used
//! elsewhere. So every value is written as JSON between two marks, control characters that are not allowed in JSON.
//! This module finds them in the finished text.

use hookwright_plugin::Failure;

/// Mark before a value's JSON.
pub const BEGIN: char = '\u{1}';
/// Mark after a value's JSON.
pub const END: char = '\u{2}';

/// Resolves the marks and checks the body.
///
/// # Errors
/// `bad-body`, with line, column and an excerpt, if the body is not JSON.
pub fn finish(marked: &str) -> Result<String, Failure> {
    let body = resolve(marked)?;
    if let Err(error) = hookwright_json_tree::checked(&body) {
        let (line, column) = error.position();
        let around = excerpt(body.lines().nth(line.saturating_sub(1)).unwrap_or_default(), column);
        return Err(Failure::new("bad-body", format!("the body is not JSON: {error}, near `{around}`")));
    }
    Ok(body)
}

fn resolve(marked: &str) -> Result<String, Failure> {
    let mut body = String::with_capacity(marked.len());
    let (mut in_string, mut escaped) = (false, false);
    let mut rest = marked;
    loop {
        let (literal, after) = rest.split_once(BEGIN).unwrap_or((rest, ""));
        for byte in literal.bytes() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = in_string,
                b'"' => in_string = !in_string,
                _ => {}
            }
        }
        body.push_str(literal);
        if literal.len() == rest.len() {
            return Ok(body);
        }
        let (value, after) = after.split_once(END).ok_or_else(|| {
            Failure::new(
                "bad-body",
                "a filter cut a value that was already written; shorten the value itself",
            )
        })?;
        if in_string {
            write_inside_string(value, &mut body)
        } else {
            body.push_str(value)
        }
        rest = after;
    }
}

/// Writes a value inside a string: a string's characters, nothing for null, or the escaped text of other values.
fn write_inside_string(value: &str, body: &mut String) {
    if let Some(inside) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) {
        body.push_str(inside);
    } else if value != "null" {
        let mut quoted = String::with_capacity(value.len() + 2);
        hookwright_json_tree::write_string(value, &mut quoted);
        body.push_str(&quoted[1..quoted.len() - 1]);
    }
}

fn excerpt(line: &str, column: usize) -> String {
    let start = column.saturating_sub(20);
    line.chars().skip(start).take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_according_to_their_position() {
        let cases = [
            ("{\"a\":\u{1}\"x\\\"y\"\u{2}}", r#"{"a":"x\"y"}"#),
            ("{\"a\":\"<\u{1}\"x\\\"y\"\u{2}>\"}", r#"{"a":"<x\"y>"}"#),
            ("{\"a\":\"\\\"\u{1}1.0\u{2}\"}", r#"{"a":"\"1.0"}"#),
            ("{\"a\":\"\u{1}{\"b\":1}\u{2}\"}", r#"{"a":"{\"b\":1}"}"#),
            ("[\"\u{1}null\u{2}\",\u{1}null\u{2}]", r#"["",null]"#),
            ("\u{1}\"a\"\u{2}", r#""a""#),
        ];
        for (marked, expected) in cases {
            assert_eq!(finish(marked).as_deref(), Ok(expected), "{marked:?}");
        }
    }

    #[test]
    fn a_body_that_is_not_json_is_reported_with_its_position() {
        let failure = finish("{\n  \"a\": ,\n}").expect_err("not JSON");
        assert_eq!(failure.code, "bad-body");
        assert_eq!(
            failure.message,
            "the body is not JSON: expected value at line 2 column 8, near `  \"a\": ,`"
        );
    }
}
