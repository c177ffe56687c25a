//! Correct JSON from a template, wherever in it a value stands.
//!
//! `{"text": "Hi ${name}", "user": ${user}}` wants the first value as the inside of a string and the second as a value of
//! its own. Where a value stands can't be told when it is written: it may be in a block that is captured
//! and used elsewhere. So every value is written as JSON between two marks, control characters that JSON can't hold
//! unescaped, and the places are found here, in the finished text.

use hookwright_plugin::Failure;

/// Before a value's JSON.
pub const BEGIN: char = '\u{1}';
/// After it.
pub const END: char = '\u{2}';

/// Resolves the marks and checks the whole.
///
/// # Errors
/// `bad-body`, with line, column and the text there, if it isn't JSON.
pub fn finish(marked: &str) -> Result<String, Failure> {
    let body = resolve(marked)?;
    if let Err(error) = hookwright_json_tree::checked(&body) {
        let (line, column) = error.place();
        let around = excerpt(body.lines().nth(line.saturating_sub(1)).unwrap_or_default(), column);
        return Err(Failure::new("bad-body", format!("the body isn't JSON: {error}, near `{around}`")));
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
            Failure::new("bad-body", "a value was cut by a filter; shorten it before it is written")
        })?;
        if in_string {
            write_inside_string(value, &mut body)
        } else {
            body.push_str(value)
        }
        rest = after;
    }
}

/// A string's inside as it is; null as nothing; of all else the text.
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
    fn values_are_written_as_their_place_wants() {
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
    fn a_body_that_is_not_json_is_told_with_its_place() {
        let failure = finish("{\n  \"a\": ,\n}").expect_err("not JSON");
        assert_eq!(failure.code, "bad-body");
        assert_eq!(
            failure.message,
            "the body isn't JSON: expected value at line 2 column 8, near `  \"a\": ,`"
        );
    }
}
