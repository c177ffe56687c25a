//! Where in its settings or its script a plugin found the error that its message is about.
//!
//! Plugins return text. The SDK and the standard plugins write places in one form: ``settings at `rules[0].limit` ``,
//! and behind the message of a script `at line 3, column 7`. A message in another form has no place.

use crate::api::pointer::Pointer;

/// What is before a path in the settings.
const SETTINGS: &str = "settings at `";
/// What is before the number of a line, and of a column.
const LINE: &str = "line ";
const COLUMN: &str = ", column ";

/// The value in the settings that `message` names. A name with a dot or a bracket in it cannot be told from a path.
pub(super) fn in_settings(message: &str) -> Option<Pointer> {
    let (path, _) = message.strip_prefix(SETTINGS)?.split_once('`')?;
    let mut pointer = Pointer::root();
    for name in path.split('.') {
        let (name, indexes) = name.split_once('[').map_or((name, None), |(name, rest)| (name, Some(rest)));
        if !name.is_empty() {
            pointer = pointer.member(name);
        }
        for index in indexes.into_iter().flat_map(|rest| rest.trim_end_matches(']').split("][")) {
            pointer = pointer.index(index.parse().ok()?);
        }
    }
    Some(pointer)
}

/// The line that `message` names last, and the column, counted from 1. Only the end of a script has no column.
pub(super) fn in_script(message: &str) -> Option<(u32, Option<u32>)> {
    message.rmatch_indices(LINE).find_map(|(at, _)| {
        let (before, (line, rest)) = (&message[..at], number(&message[at + LINE.len()..])?);
        let column = rest.strip_prefix(COLUMN).and_then(number).map(|(column, _)| column);
        let is_place =
            if column.is_some() { before.ends_with(" at ") } else { before.ends_with(" at the end, ") };
        is_place.then_some((line, column))
    })
}

/// The number at the beginning of `text`, and the rest.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_settings_become_pointers() {
        for (message, pointer) in [
            ("settings at `pointr`: unknown field `pointr`", Some("/pointr")),
            ("settings at `rules[0].limit`: invalid value", Some("/rules/0/limit")),
            ("settings at `a[1][20]`: invalid type", Some("/a/1/20")),
            ("settings at `move./a~b`: no", Some("/move/~1a~0b")),
            ("settings at `.`: no", Some("")),
            ("settings at `a[x]`: no", None),
            ("settings: missing field `script`", None),
            ("no settings at `a`", None),
        ] {
            assert_eq!(in_settings(message).as_ref().map(Pointer::as_str), pointer, "{message}");
        }
    }

    #[test]
    fn the_last_line_of_a_message_is_that_of_the_script() {
        for (message, place) in [
            ("ReferenceError: missing is not defined at line 2, column 9", Some((2, Some(9)))),
            ("settings at `script`: unexpected token at the end, line 4; a hint", Some((4, None))),
            ("Error: at line 7, column 1 of the file at line 3, column 5", Some((3, Some(5)))),
            ("used up its 50,000,000 units of fuel at line 12, column 3", Some((12, Some(3)))),
            ("expected value at line 1 column 5", None),
            ("the line 3 is bad", None),
            ("at line", None),
            ("at line 99999999999", None),
        ] {
            assert_eq!(in_script(message), place, "{message}");
        }
    }
}
