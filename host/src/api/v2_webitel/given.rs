//! An object as it was sent, read member by member, so that each refusal names the member and what it must be.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::answer::Refusal;
use crate::api::json::{self, Members};

/// What an object must be.
const OBJECT: &str = "an object, each of whose members stands once";

/// The members of an object. Whoever asks for one that is null finds it absent.
#[derive(Debug, Clone)]
pub(super) struct Given<'a> {
    /// What stands before a member's name in a refusal: empty, or `auth.`.
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Given<'a> {
    /// The object that is the whole of `text`, which [`compact`] made.
    ///
    /// # Errors
    /// Where it isn't one.
    pub(super) fn read(text: &'a str) -> Result<Self, Refusal> {
        let Members(members) = json::parse_text::<Members<&RawValue>>(text)?;
        Ok(Self { path: String::new(), members })
    }

    /// The members, in their order, with those that are null.
    pub(super) fn members(&self) -> &[(String, &'a RawValue)] {
        &self.members
    }

    /// The JSON of a member.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.members.iter().find(|(other, _)| other == name)?;
        (value.get() != "null").then_some(*value)
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        self.typed(name, "a string")
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        self.typed(name, "true or false")
    }

    /// A whole number, in whatever form of JSON's.
    pub(super) fn whole(&self, name: &str) -> Result<Option<i64>, Refusal> {
        const WANTED: &str = "a whole number";
        // Beyond this, doubles are no longer whole numbers in turn.
        const MAX: f64 = 9_007_199_254_740_991.0;
        let Some(number) = self.typed::<f64>(name, WANTED)? else { return Ok(None) };
        if number.fract() != 0.0 || number.abs() > MAX {
            return Err(self.wrong(name, WANTED));
        }
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within the bound fits")]
        Ok(Some(number as i64))
    }

    pub(super) fn texts(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        self.typed(name, "an array of strings")
    }

    /// An object; its members are called after it in refusals.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, Refusal> {
        self.raw(name).map_or(Ok(None), |value| self.object_of(name, value))
    }

    /// An object whose members are all strings.
    pub(super) fn object_of_texts(&self, name: &str) -> Result<Option<Self>, Refusal> {
        let Some(object) = self.object(name)? else { return Ok(None) };
        for (member, value) in &object.members {
            object.text_of(member, value)?;
        }
        Ok(Some(object))
    }

    /// As [`Self::text`], of a member that is at hand: looking each up by its name would take its time where there
    /// are many.
    pub(super) fn text_of(&self, name: &str, value: &'a RawValue) -> Result<Option<String>, Refusal> {
        self.read_as(name, value, "a string")
    }

    /// As [`Self::object`], of a member that is at hand.
    pub(super) fn object_of(&self, name: &str, value: &'a RawValue) -> Result<Option<Self>, Refusal> {
        let members = self.read_as::<Members<&'a RawValue>>(name, value, OBJECT)?;
        Ok(members.map(|Members(members)| Self { path: format!("{}{name}.", self.path), members }))
    }

    fn typed<T: Deserialize<'a>>(&self, name: &str, wanted: &str) -> Result<Option<T>, Refusal> {
        self.raw(name).map_or(Ok(None), |value| self.read_as(name, value, wanted))
    }

    fn read_as<T: Deserialize<'a>>(
        &self,
        name: &str,
        value: &'a RawValue,
        wanted: &str,
    ) -> Result<Option<T>, Refusal> {
        serde_json::from_str(value.get()).map_err(|_| self.wrong(name, wanted))
    }

    /// A member that is not what it must be.
    pub(super) fn wrong(&self, name: &str, wanted: &str) -> Refusal {
        Refusal::bad(format_args!("{} must be {wanted}", self.name(name)))
    }

    /// The name of a member from the outermost object on, as far as it is worth repeating.
    pub(super) fn name(&self, member: &str) -> String {
        crate::api::problem::shorten(&format!("{}{member}", self.path)).into_owned()
    }
}

/// The text of a body that is a JSON object, without the white space between its parts.
///
/// # Errors
/// Where it isn't one.
pub(super) fn compact(body: &[u8]) -> Result<String, Refusal> {
    // Read first: without its spaces, what is wrong could come out right.
    json::parse::<Members<&RawValue>>(body)?;
    let text = json::text_of(body)?;
    let mut compact = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            ' ' | '\t' | '\n' | '\r' if !in_string => continue,
            _ => {}
        }
        compact.push(c);
    }
    Ok(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_goes_where_it_says_nothing() {
        let text = compact(b" {\"a b\" : [ 1 ,\n\"x \\\" y\\\\\" , { } ] ,\t\"c\":1.50}\r\n").unwrap();
        assert_eq!(text, r#"{"a b":["x"]}"#.replace(r#"["x"]"#, r#"[1,"x \" y\\",{}],"c":1.50"#));
        for body in ["", "[]", "{\"a\":1 2}", "{\"a\":1,\"a\":2}", "{} {}"] {
            assert!(compact(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn each_refusal_names_the_member() {
        let text = r#"{"s":5,"f":"true","w":1.5,"big":1e300,"o":[],"t":{"m":1},"l":["a",1],"n":null,"twice":{"a":1,"a":2}}"#;
        let given = Given::read(text).unwrap();
        let infos = [
            given.text("s").unwrap_err(),
            given.flag("f").unwrap_err(),
            given.whole("w").unwrap_err(),
            given.whole("big").unwrap_err(),
            given.object("o").unwrap_err(),
            given.object_of_texts("t").unwrap_err(),
            given.texts("l").unwrap_err(),
            given.object("twice").unwrap_err(),
        ]
        .map(|refusal| refusal.info().to_owned());
        assert_eq!(
            infos,
            [
                "Bad request: s must be a string.",
                "Bad request: f must be true or false.",
                "Bad request: w must be a whole number.",
                "Bad request: big must be a whole number.",
                "Bad request: o must be an object, each of whose members stands once.",
                "Bad request: t.m must be a string.",
                "Bad request: l must be an array of strings.",
                "Bad request: twice must be an object, each of whose members stands once.",
            ]
        );
        assert_eq!((given.text("n"), given.whole("absent")), (Ok(None), Ok(None)));
    }
}
