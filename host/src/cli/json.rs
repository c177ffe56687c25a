//! Formats JSON for people.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;
use serde::de::IgnoredAny;

/// Writes a value as JSON, with one member per line.
pub(super) fn write(value: &impl Serialize, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{}", serde_json::to_string_pretty(value)?)?;
    Ok(out.flush()?)
}

/// Formats JSON text with one member per line; returns other text unchanged. Works on the text, so that the
/// order of members and the digits of numbers are preserved.
pub(super) fn indented(text: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() * 2);
    let mut depth = 0;
    let (mut in_string, mut escaped, mut opened) = (false, false, false);
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            ' ' | '\t' | '\r' | '\n' => continue,
            '}' | ']' => {
                depth -= 1;
                if !opened {
                    new_line(&mut out, depth);
                }
            }
            _ if opened => new_line(&mut out, depth),
            _ => {}
        }
        opened = matches!(c, '{' | '[');
        depth += usize::from(opened);
        in_string = c == '"';
        out.push(c);
        match c {
            ',' => new_line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out
}

fn new_line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_keeps_the_order_of_members_and_the_digits_of_numbers() {
        for (text, expected) in [
            (
                r#"{"b":1.50,"a":[1, {}],"c":[]}"#,
                "{\n  \"b\": 1.50,\n  \"a\": [\n    1,\n    {}\n  ],\n  \"c\": []\n}",
            ),
            (r#"{ "a\"{,:" : "\\" }"#, "{\n  \"a\\\"{,:\": \"\\\\\"\n}"),
            ("  true ", "true"),
            ("[ ]", "[]"),
            ("Hello, {you}", "Hello, {you}"),
        ] {
            assert_eq!(indented(text), expected);
        }
    }
}
