//! A JSON object of a request, parsed member by member, so that each error names the member and the expected
//! type.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::response::ApiError;
use crate::api::json::{self, Members};

/// The expected type of an object, for error messages.
const OBJECT: &str = "an object without duplicate members";

/// The members of an object. A member that is null counts as absent.
#[derive(Debug, Clone)]
pub(super) struct Input<'a> {
    /// The prefix of members' names in error messages: empty, or such as `auth.`.
    path: String,
    members: Vec<(String, &'a RawValue)>,
}

impl<'a> Input<'a> {
    /// Parses the object `text`.
    ///
    /// # Errors
    /// Fails if `text` is not a JSON object.
    pub(super) fn read(text: &'a str) -> Result<Self, ApiError> {
        let Members(members) = json::parse_text::<Members<&RawValue>>(text)?;
        Ok(Self { path: String::new(), members })
    }

    /// The members in order, including those that are null.
    pub(super) fn members(&self) -> &[(String, &'a RawValue)] {
        &self.members
    }

    /// The JSON text of a member.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.members.iter().find(|(other, _)| other == name)?;
        (value.get() != "null").then_some(*value)
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<String>, ApiError> {
        self.typed(name, "a string")
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.typed(name, "true or false")
    }

    /// An integer in any JSON notation, such as `1e3`.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        const EXPECTED: &str = "an integer";
        // 2^53 - 1: doubles cannot represent all greater integers.
        const MAX: f64 = 9_007_199_254_740_991.0;
        let Some(number) = self.typed::<f64>(name, EXPECTED)? else { return Ok(None) };
        if number.fract() != 0.0 || number.abs() > MAX {
            return Err(self.wrong(name, EXPECTED));
        }
        #[expect(clippy::cast_possible_truncation, reason = "an integer within the bound fits")]
        Ok(Some(number as i64))
    }

    pub(super) fn strings(&self, name: &str) -> Result<Option<Vec<String>>, ApiError> {
        self.typed(name, "an array of strings")
    }

    /// An object; error messages prefix its members with its name.
    pub(super) fn object(&self, name: &str) -> Result<Option<Self>, ApiError> {
        self.raw(name).map_or(Ok(None), |value| self.object_of(name, value))
    }

    /// An object whose members are all strings.
    pub(super) fn object_of_strings(&self, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(object) = self.object(name)? else { return Ok(None) };
        for (member, value) in &object.members {
            object.string_of(member, value)?;
        }
        Ok(Some(object))
    }

    /// Like [`Self::string`], for a member that the caller has: looking up each of many members by name would
    /// be slow.
    pub(super) fn string_of(&self, name: &str, value: &'a RawValue) -> Result<Option<String>, ApiError> {
        self.read_as(name, value, "a string")
    }

    /// Like [`Self::object`], for a member that the caller has.
    pub(super) fn object_of(&self, name: &str, value: &'a RawValue) -> Result<Option<Self>, ApiError> {
        let members = self.read_as::<Members<&'a RawValue>>(name, value, OBJECT)?;
        Ok(members.map(|Members(members)| Self { path: format!("{}{name}.", self.path), members }))
    }

    fn typed<T: Deserialize<'a>>(&self, name: &str, expected: &str) -> Result<Option<T>, ApiError> {
        self.raw(name).map_or(Ok(None), |value| self.read_as(name, value, expected))
    }

    fn read_as<T: Deserialize<'a>>(
        &self,
        name: &str,
        value: &'a RawValue,
        expected: &str,
    ) -> Result<Option<T>, ApiError> {
        serde_json::from_str(value.get()).map_err(|_| self.wrong(name, expected))
    }

    /// The error for a member that is not what was `expected`.
    pub(super) fn wrong(&self, name: &str, expected: &str) -> ApiError {
        ApiError::bad(format_args!("{} must be {expected}", self.name(name)))
    }

    /// The path of a member from the outermost object, shortened.
    pub(super) fn name(&self, member: &str) -> String {
        crate::api::problem::shorten(&format!("{}{member}", self.path)).into_owned()
    }
}

/// The text of a JSON object without insignificant white space.
///
/// # Errors
/// Fails if the body is not a JSON object.
pub(super) fn compact(body: &[u8]) -> Result<String, ApiError> {
    // Validated first: removing spaces could turn invalid text into valid text.
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
    fn insignificant_white_space_is_removed() {
        let text = compact(b" {\"a b\" : [ 1 ,\n\"x \\\" y\\\\\" , { } ] ,\t\"c\":1.50}\r\n").unwrap();
        assert_eq!(text, r#"{"a b":["x"]}"#.replace(r#"["x"]"#, r#"[1,"x \" y\\",{}],"c":1.50"#));
        for body in ["", "[]", "{\"a\":1 2}", "{\"a\":1,\"a\":2}", "{} {}"] {
            assert!(compact(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn each_error_names_the_member() {
        let text = r#"{"s":5,"f":"true","w":1.5,"big":1e300,"o":[],"t":{"m":1},"l":["a",1],"n":null,"twice":{"a":1,"a":2}}"#;
        let input = Input::read(text).unwrap();
        let infos = [
            input.string("s").unwrap_err(),
            input.boolean("f").unwrap_err(),
            input.integer("w").unwrap_err(),
            input.integer("big").unwrap_err(),
            input.object("o").unwrap_err(),
            input.object_of_strings("t").unwrap_err(),
            input.strings("l").unwrap_err(),
            input.object("twice").unwrap_err(),
        ]
        .map(|refusal| refusal.info().to_owned());
        assert_eq!(
            infos,
            [
                "Bad request: s must be a string.",
                "Bad request: f must be true or false.",
                "Bad request: w must be an integer.",
                "Bad request: big must be an integer.",
                "Bad request: o must be an object without duplicate members.",
                "Bad request: t.m must be a string.",
                "Bad request: l must be an array of strings.",
                "Bad request: twice must be an object without duplicate members.",
            ]
        );
        assert_eq!((input.string("n"), input.integer("absent")), (Ok(None), Ok(None)));
    }
}
