//! Lines of the screen: pieces of text, each with a tone.

use anstyle::Style;

use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::cli::text;

/// How a piece of text is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Bad,
    Muted,
    Faint,
    Head,
}

impl Tone {
    /// The style in which it is shown.
    pub(super) fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => GOOD,
            Self::Bad => BAD,
            Self::Muted => MUTED,
            Self::Faint => FAINT,
            Self::Head => HEAD,
        }
    }
}

/// See the module's head. Its text is clean: see [`text::clean`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Line {
    spans: Vec<(Tone, String)>,
    is_selected: bool,
}

impl Line {
    /// A line of one piece.
    pub(super) fn of(tone: Tone, text: &str) -> Self {
        Self::default().and(tone, text)
    }

    /// Adds a piece, which it cleans.
    pub(super) fn and(mut self, tone: Tone, text: &str) -> Self {
        self.spans.push((tone, text::clean(text)));
        self
    }

    /// Marks the line as the selected one.
    pub(super) fn selected(self, is_selected: bool) -> Self {
        Self { is_selected, ..self }
    }

    /// The text without styles.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        self.spans.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// The line in lines of at most `columns`.
    pub(super) fn wrapped(&self, columns: usize) -> Vec<Self> {
        let mut lines = vec![Self { is_selected: self.is_selected, ..Self::default() }];
        // A wide character fits in any case.
        let columns = columns.max(2);
        let mut room = columns;
        for (tone, text) in &self.spans {
            let mut rest = text.as_str();
            while !rest.is_empty() {
                let piece = text::take(rest, room);
                if piece.is_empty() {
                    lines.push(Self::default());
                    room = columns;
                    continue;
                }
                if let Some(line) = lines.last_mut() {
                    line.spans.push((*tone, piece.to_owned()));
                }
                room -= text::width(piece);
                rest = &rest[piece.len()..];
            }
        }
        lines
    }

    /// What the terminal gets, at most `columns` wide.
    pub(super) fn shown(&self, columns: usize, has_styles: bool) -> String {
        let mut shown = String::new();
        let mut room = columns;
        for (tone, text) in &self.spans {
            let text = text::cut(text, room);
            room -= text::width(&text).min(room);
            let style = if self.is_selected { tone.style().invert() } else { tone.style() };
            if has_styles && style != Style::new() {
                shown.push_str(&format!("{style}{text}{PLAIN}"));
            } else {
                shown.push_str(&text);
            }
        }
        if self.is_selected && has_styles {
            let style = Style::new().invert();
            shown.push_str(&format!("{style}{}{PLAIN}", " ".repeat(room)));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_has_styles_only_if_they_are_wanted() {
        let line = Line::of(Tone::Plain, "ab").and(Tone::Bad, "cd\x1b[2J\nef");
        // What was cut off before leaves no room for a sign.
        for (columns, plain) in [(20, "abcd ef"), (5, "abcd…"), (2, "ab"), (0, "")] {
            assert_eq!(line.shown(columns, false), plain);
        }
        assert_eq!(line.shown(9, true), format!("ab{BAD}cd ef{PLAIN}"));
        assert_eq!(
            anstream::adapter::strip_str(&line.clone().selected(true).shown(9, true)).to_string(),
            "abcd ef  "
        );
    }

    #[test]
    fn a_long_line_is_wrapped() {
        let line = Line::of(Tone::Head, "abc").and(Tone::Plain, "defg");
        let texts: Vec<_> = line.wrapped(4).iter().map(Line::text).collect();
        assert_eq!(texts, ["abcd", "efg"]);
        assert_eq!(line.wrapped(7), std::slice::from_ref(&line));
        assert_eq!(Line::default().wrapped(4), [Line::default()]);
        let wide: Vec<_> = Line::of(Tone::Plain, "漢字漢").wrapped(3).iter().map(Line::text).collect();
        assert_eq!(wide, ["漢", "字", "漢"]);
    }
}
