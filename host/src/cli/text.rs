//! Makes text from outside safe for a terminal, and fits it into columns.

use anstream::adapter::strip_str;
use unicode_width::UnicodeWidthChar as _;

/// A tab in a body.
const TAB: &str = "    ";

/// The text as one line without escape sequences and control characters.
pub(super) fn clean(text: &str) -> String {
    let stripped = strip_str(text).to_string();
    let mut clean = String::with_capacity(stripped.len());
    for c in stripped.chars() {
        match c {
            '\t' => clean.push_str(TAB),
            '\n' => clean.push(' '),
            c if is_unsafe(c) => {}
            c => clean.push(c),
        }
    }
    clean
}

/// The lines of the text, each as by [`clean`].
pub(super) fn lines(text: &str) -> Vec<String> {
    // Escape sequences may contain line feeds.
    strip_str(text).to_string().lines().map(clean).collect()
}

/// Control characters, and those that change the direction of other text.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The number of columns of a clean text.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The beginning of a clean text that fits into `columns`; `…` shows that there is more.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if take(text, columns).len() == text.len() {
        return text.to_owned();
    }
    let mut cut = take(text, columns.saturating_sub(1)).to_owned();
    if columns > 0 {
        cut.push('…');
    }
    cut
}

/// As [`cut`], filled up with spaces.
pub(super) fn fit(text: &str, columns: usize) -> String {
    let mut cut = cut(text, columns);
    cut.extend(std::iter::repeat_n(' ', columns.saturating_sub(width(&cut))));
    cut
}

/// The longest beginning of a clean text of at most so many columns.
pub(super) fn take(text: &str, columns: usize) -> &str {
    let mut used = 0;
    for (index, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return &text[..index];
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_control_the_terminal() {
        for (text, expected) in [
            ("order.paid", "order.paid"),
            ("\x1b[31mred\x1b[0m \x1b]0;title\x07x", "red x"),
            ("a\r\nb\tc", "a b    c"),
            ("a\u{9b}2Jb\u{202e}c\u{0}\u{7f}", "a2Jbc"),
            ("größe 漢字", "größe 漢字"),
        ] {
            let clean = clean(text);
            assert!(!clean.chars().any(is_unsafe), "{text:?}: {clean:?}");
            assert_eq!(clean, expected, "{text:?}");
        }
        assert_eq!(lines("a\x1b[2Jb\n\n c\r\n"), ["ab", "", " c"]);
    }

    #[test]
    fn text_fits_into_columns() {
        for (text, columns, expected) in [
            ("abc", 5, "abc  "),
            ("abcdef", 5, "abcd…"),
            ("漢字漢字", 5, "漢字…"),
            ("漢字漢字", 4, "漢… "),
            ("abc", 0, ""),
        ] {
            assert_eq!(fit(text, columns), expected);
        }
    }
}
