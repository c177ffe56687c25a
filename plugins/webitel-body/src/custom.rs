//! Bodies from templates.

use std::borrow::Cow;

use hookwright_json_tree::{Kind, kind, write_string};
use hookwright_webitel_common::Scope;
use hookwright_webitel_common::js::{template_text, truthy};
use hookwright_webitel_common::template::{Piece, pieces};
use serde_json::value::RawValue;

/// The value of a name.
enum Found<'a> {
    /// JSON from the event's data.
    Json(Cow<'a, str>),
    /// Text from the preflight response.
    Text(String),
}

/// Renders a template. With `escape`, values inside a JSON string are escaped, and arrays and objects outside of
/// strings are written as JSON. Without, all values are written as JavaScript converts them to text.
pub fn render(template: &str, scope: &Scope<'_>, escape: bool) -> String {
    let mut rendered = String::with_capacity(template.len());
    let mut position = Position::default();
    for piece in pieces(template) {
        let name = match piece {
            Piece::Text(text) => {
                position.advance(text);
                rendered.push_str(text);
                continue;
            }
            Piece::Name(name) => name,
        };
        // Remove a backslash that would escape the first character of the value.
        if escape && std::mem::take(&mut position.escaped) {
            rendered.pop();
        }
        match find(name, scope) {
            Some(Found::Json(json))
                if escape && !position.in_string && matches!(kind(&json), Kind::Array | Kind::Object) =>
            {
                rendered.push_str(&json);
            }
            Some(Found::Json(json)) => position.write(&template_text(&json), escape, &mut rendered),
            Some(Found::Text(text)) => position.write(&text, escape, &mut rendered),
            None => {}
        }
    }
    rendered
}

/// Resolves a name. A name with dots is a path. For other names, a truthy variable of the channel takes precedence
/// over a member of the event.
fn find<'a>(name: &str, scope: &Scope<'a>) -> Option<Found<'a>> {
    // A member of the response may have a dot in its name, so check this first.
    if let Some(text) = scope.preflight_value(name) {
        return Some(Found::Text(text));
    }
    let json = if name.contains('.') {
        scope.data.at_path(name)
    } else {
        let variable = scope.data.member(&format!("variable_{name}"));
        variable.filter(|value| truthy(value)).or_else(|| scope.data.member(name))
    };
    json.map(Found::Json)
}

/// The position in a JSON text. Only the template's literal text changes it, not the values.
#[derive(Default)]
struct Position {
    in_string: bool,
    escaped: bool,
}

impl Position {
    fn advance(&mut self, text: &str) {
        for byte in text.bytes() {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = self.in_string,
                b'"' => self.in_string = !self.in_string,
                _ => {}
            }
        }
    }

    fn write(&self, text: &str, escape: bool, out: &mut String) {
        if escape && self.in_string {
            let mut literal = String::with_capacity(text.len() + 2);
            write_string(text, &mut literal);
            out.push_str(&literal[1..literal.len() - 1]);
        } else {
            out.push_str(text);
        }
    }
}

/// Removes insignificant white space. `None` if the text is not JSON.
pub fn compact(text: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let mut position = Position::default();
    let mut compact = String::with_capacity(raw.get().len());
    for character in raw.get().chars() {
        if position.in_string || !matches!(character, ' ' | '\t' | '\n' | '\r') {
            compact.push(character);
        }
        position.advance(character.encode_utf8(&mut [0; 4]));
    }
    Some(compact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hookwright_plugin::{Event, JsonText};

    const DATA: &str = r#"{"name": "O\"Neil\\\n", "n": 1.50, "zero": 0, "variable_n": "", "variable_v": "var", "v": "event",
        "list": [1, "a\"", null], "o": {"k": "deep", "x.y": 1}, "o.k": "flat", "t": true}"#;

    fn rendered(template: &str, escape: bool) -> String {
        let event = Event::new("t", JsonText(DATA.into()));
        let scope = Scope::of(&event).expect("a scope");
        render(template, &scope, escape)
    }

    #[test]
    fn values_are_escaped_only_inside_strings() {
        for (template, escaped, original) in [
            (r#"{"a": "${name}"}"#, r#"{"a": "O\"Neil\\\n"}"#, "{\"a\": \"O\"Neil\\\n\"}"),
            (r#"{"a": ${n}}"#, r#"{"a": 1.50}"#, r#"{"a": 1.50}"#),
            (r#"{"a": "${v}"}"#, r#"{"a": "var"}"#, r#"{"a": "var"}"#),
            (r#"{"a": "${zero}${gone}"}"#, r#"{"a": ""}"#, r#"{"a": ""}"#),
            (r#"{"a": "${o.k}"}"#, r#"{"a": "deep"}"#, r#"{"a": "deep"}"#),
            (r#"{"a": ${list}}"#, r#"{"a": [1, "a\"", null]}"#, r#"{"a": 1,a",}"#),
            (r#"{"a": "${list}"}"#, r#"{"a": "1,a\","}"#, r#"{"a": "1,a","}"#),
            (r#"{"a": ${o}}"#, r#"{"a": {"k": "deep", "x.y": 1}}"#, r#"{"a": [object Object]}"#),
            (
                r#"["\"${name}", "\\", ${t}]"#,
                r#"["\"O\"Neil\\\n", "\\", true]"#,
                "[\"\\\"O\"Neil\\\n\", \"\\\\\", true]",
            ),
            (
                r#"["\${name}", "\\${name}", "\${gone}"]"#,
                r#"["O\"Neil\\\n", "\\O\"Neil\\\n", ""]"#,
                "[\"\\O\"Neil\\\n\", \"\\\\O\"Neil\\\n\", \"\\\"]",
            ),
            (r#"{"${v}": "${auth:body:a.b}"}"#, r#"{"var": ""}"#, r#"{"var": ""}"#),
        ] {
            assert_eq!(rendered(template, true), escaped, "{template}");
            assert_eq!(rendered(template, false), original, "{template}");
        }
    }

    #[test]
    fn compacting_keeps_numbers_and_strings() {
        for (text, expected) in [
            (
                " { \"b\" : [ 1.50 , 9007199254740993 ] ,\n \"a b\" : \" \\\" x \" } ",
                Some(r#"{"b":[1.50,9007199254740993],"a b":" \" x "}"#),
            ),
            ("1", Some("1")),
            ("", None),
            ("{\"a\": }", None),
            ("{\"a\": \"line\nend\"}", None),
            ("{} {}", None),
        ] {
            assert_eq!(compact(text).as_deref(), expected, "{text}");
        }
    }
}
