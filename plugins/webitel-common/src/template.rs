//! Templates: text with `${name}` placeholders.

/// A part of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// Literal text.
    Text(&'t str),
    /// The text between `${` and the next `}`. It may contain any characters and may be empty.
    Name(&'t str),
}

/// Returns the parts of a template, in order. A `${` without a following `}` is text.
pub fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((name, after)) = rest.strip_prefix("${").and_then(|inner| inner.split_once('}')) {
            rest = after;
            return Some(Piece::Name(name));
        }
        // A `${` that is not closed is text, and so is the rest.
        let next = if rest.starts_with("${") { None } else { rest.find("${") };
        let (text, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after;
        Some(Piece::Text(text))
    })
}

/// Replaces each name by its text.
pub fn render(template: &str, text_of: impl Fn(&str) -> String) -> String {
    let mut rendered = String::with_capacity(template.len());
    for piece in pieces(template) {
        match piece {
            Piece::Text(text) => rendered.push_str(text),
            Piece::Name(name) => rendered.push_str(&text_of(name)),
        }
    }
    rendered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_at_the_first_brace() {
        let shown = |name: &str| format!("<{name}>");
        for (template, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${a}", "<a>"),
            ("x${a}y${b}z", "x<a>y<b>z"),
            ("${a}${b}", "<a><b>"),
            ("${}", "<>"),
            ("${ a\n}", "< a\n>"),
            ("${a${b}}", "<a${b>}"),
            ("$${a}}", "$<a>}"),
            ("{a} $a ${", "{a} $a ${"),
            ("é${a", "é${a"),
            ("${a ${", "${a ${"),
        ] {
            assert_eq!(render(template, shown), expected, "{template}");
        }
    }
}
