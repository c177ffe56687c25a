//! Where templates find their values.

use hookwright_plugin::{Event, Failure, JsonText};

use crate::{Answer, Data, js, template};

/// What a template's names can stand for: members of the event's data, and parts of the auth answer.
#[derive(Debug)]
pub struct Scope<'a> {
    /// The event's data.
    pub data: Data<'a>,
    /// The auth answer.
    pub answer: Answer,
}

impl<'a> Scope<'a> {
    /// Of an event.
    ///
    /// # Errors
    /// `bad-data` if the data isn't JSON, `bad-preflight` if what should be the auth answer isn't.
    pub fn of(event: &'a Event<JsonText>) -> Result<Self, Failure> {
        Ok(Scope { data: Data::of(event)?, answer: Answer::of(event)? })
    }

    /// What a name of the auth answer stands for. `None` of other names.
    ///
    /// Such names are never looked for in the data, so that no event can pass for an answer.
    pub fn answered(&self, name: &str) -> Option<String> {
        name.strip_prefix("auth:").map(|rest| self.answer.text_of(rest))
    }

    /// Renders a template whose names are those of members, exactly.
    pub fn render_flat(&self, template: &str) -> String {
        template::render(template, |name| {
            self.answered(name).unwrap_or_else(|| {
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
