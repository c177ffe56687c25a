//! Resolution of names in templates.

use hookwright_plugin::{Event, Failure, JsonText};

use crate::{Data, PreflightResponse, js, template};

/// Sources of a template's values: the event's data and the preflight response.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The event's data.
    pub data: Data<'a>,
    /// The preflight response.
    pub preflight: PreflightResponse,
}

impl<'a> Scope<'a> {
    /// Creates the scope of an event.
    ///
    /// # Errors
    /// `bad-data` if the data is not JSON; `bad-preflight` if the preflight response is invalid.
    pub fn of(event: &'a Event<JsonText>) -> Result<Self, Failure> {
        Ok(Scope { data: Data::of(event)?, preflight: PreflightResponse::of(event)? })
    }

    /// Resolves a name of the preflight response; `None` for other names.
    ///
    /// Such names are not resolved in the data, so an event cannot forge a response.
    pub fn preflight_value(&self, name: &str) -> Option<String> {
        name.strip_prefix("auth:").map(|rest| self.preflight.text_of(rest))
    }

    /// Renders a template whose names are exact names of members.
    pub fn render_flat(&self, template: &str) -> String {
        template::render(template, |name| {
            self.preflight_value(name).unwrap_or_else(|| {
                self.data.member(name).map(|text| js::template_text(&text)).unwrap_or_default()
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_names_are_exact() {
        let text =
            r#"{"a": {"b": 1}, "a.b": 2.0, "variable_v": "x", "zero": 0, "auth:body:token": "forged"}"#;
        let mut event = Event::new("t", JsonText(text.into()));
        event.attributes.push(("preflight".into(), r#"{"body":"{\"t\":\"real\"}"}"#.into()));
        let scope = Scope::of(&event).expect("a scope");
        for (template, expected) in [
            ("<${a.b}>", "<2.0>"),
            ("<${v}>", "<>"),
            ("<${variable_v}>", "<x>"),
            ("<${zero}>", "<>"),
            ("<${ a.b}>", "<>"),
            ("<${auth:body:token}>", "<>"),
            ("<${auth:body:t}>", "<real>"),
        ] {
            assert_eq!(scope.render_flat(template), expected, "{template}");
        }
    }
}
