//! Headers from templates.

use hookwright_plugin::Request;

use crate::Scope;
use crate::settings::Texts;

/// Sets headers from templates. Replaces existing headers with the same names.
pub fn set(request: &mut Request, templates: &Texts, scope: &Scope<'_>) {
    for (name, template) in templates.iter() {
        request.set_header(name, without_controls(&scope.render_flat(template)));
    }
}

/// Removes characters that are not allowed in a header's value (RFC 9110, section 5.5). A line end in a value from an
/// event would otherwise start another header.
pub fn without_controls(value: &str) -> String {
    value.chars().filter(|character| *character == '\t' || !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_removed() {
        assert_eq!(without_controls("a\r\nx-evil: 1\u{0}\u{7f}\u{85}\té’"), "ax-evil: 1\té’");
    }
}
