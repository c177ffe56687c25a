//! The response to the preflight request, which the host passes in the attribute `preflight`.

use hookwright_json_tree::{Kind, Node};
use hookwright_plugin::{Event, Failure, JsonText};
use serde::Deserialize;

use crate::js;

/// The attribute with the response.
const ATTRIBUTE: &str = "preflight";

/// Parts of the response that templates can use. Empty if the hook has no preflight request.
#[derive(Debug, Default)]
pub struct PreflightResponse {
    /// Names in lower case. Repeated headers are separate.
    headers: Vec<(String, String)>,
    /// Cookies, each name once.
    cookies: Vec<(String, String)>,
    /// Members of the body that are strings.
    body: Vec<(String, String)>,
}

/// The host's format. New members may be added.
#[derive(Deserialize)]
struct RawResponse {
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

impl PreflightResponse {
    /// Parses the response from an event's attributes.
    ///
    /// # Errors
    /// `bad-preflight` if the attribute is not a valid response.
    pub fn of(event: &Event<JsonText>) -> Result<Self, Failure> {
        let Some(text) = event.attribute(ATTRIBUTE) else { return Ok(PreflightResponse::default()) };
        let RawResponse { headers, body } = serde_json::from_str(text).map_err(|error| {
            Failure::new(
                "bad-preflight",
                format!("the attribute `{ATTRIBUTE}` is not a valid response: {error}"),
            )
        })?;
        let mut cookies: Vec<(String, String)> = Vec::new();
        for (name, value) in headers.iter().filter(|(name, _)| name == "set-cookie").filter_map(cookie) {
            match cookies.iter_mut().find(|(known, _)| known == name) {
                Some(known) => known.1 = value.to_owned(),
                None => cookies.push((name.to_owned(), value.to_owned())),
            }
        }
        Ok(PreflightResponse { headers, cookies, body: strings(&body) })
    }

    /// Resolves a template's name after its prefix `auth:`.
    ///
    /// `body:<member>` is a string in the body. `header:<name>` is a header, with repetitions joined, or a cookie.
    pub fn text_of(&self, name: &str) -> String {
        let found = match name.split_once(':') {
            Some(("body", member)) => find(&self.body, member).map(str::to_owned),
            Some(("header", name)) => {
                self.header(name).or_else(|| find(&self.cookies, name).map(str::to_owned))
            }
            _ => None,
        };
        found.unwrap_or_default()
    }

    /// Returns the value of a `cookie` header, if there are cookies.
    pub fn cookie_header(&self) -> Option<String> {
        let pairs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().filter(|(known, _)| known == name);
        let values: Vec<&str> = found.map(|(_, value)| value.as_str()).collect();
        // A cookie may contain commas, so a comma cannot separate cookies.
        let between = if name == "set-cookie" { ";" } else { ", " };
        (!values.is_empty()).then(|| values.join(between))
    }
}

/// Parses name and value of a `set-cookie` header: the text before the first `;` (RFC 6265, section 5.2).
fn cookie(header: &(String, String)) -> Option<(&str, &str)> {
    let pair = header.1.split(';').next()?;
    let (name, value) = pair.split_once('=')?;
    let name = name.trim();
    (!name.is_empty()).then(|| (name, value.trim()))
}

fn strings(body: &str) -> Vec<(String, String)> {
    let mut node = Node::new(body);
    // A body that is not JSON has no members, which is not an error.
    let (Ok(()), Node::Object(members)) = (node.divide(), node) else { return Vec::new() };
    let strings = members.into_iter().filter(|(_, value)| value.kind() == Kind::String);
    strings.map(|(name, value)| (name.into_owned(), js::template_text(&value.text()))).collect()
}

fn find<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PreflightResponse, Failure> {
        let mut event = Event::new("t", JsonText("{}".into()));
        event.attributes.push(("preflight".into(), text.into()));
        PreflightResponse::of(&event)
    }

    #[test]
    fn strings_headers_and_cookies_are_found() {
        let response = parse(
            r#"{"status":200,"headers":[["x-token","t1"],["x-many","a"],["x-many","b"],
                ["set-cookie","sid=a=b; Path=/"],["set-cookie","lang = en"],["set-cookie","sid=new"],["set-cookie","odd"]],
                "body":"{\"token\":\"abc\",\"count\":1,\"in\":{\"x\":\"y\"},\"a:b\":\"colon\"}"}"#,
        )
        .expect("a response");
        for (name, expected) in [
            ("body:token", "abc"),
            ("body:a:b", "colon"),
            ("body:count", ""),
            ("body:in", ""),
            ("body:gone", ""),
            ("header:x-token", "t1"),
            ("header:X-Token", ""),
            ("header:x-many", "a, b"),
            ("header:sid", "new"),
            ("header:lang", "en"),
            ("header:odd", ""),
            ("header:set-cookie", "sid=a=b; Path=/;lang = en;sid=new;odd"),
            ("status", ""),
            ("", ""),
        ] {
            assert_eq!(response.text_of(name), expected, "{name}");
        }
        assert_eq!(response.cookie_header().as_deref(), Some("sid=new; lang=en"));
    }

    #[test]
    fn a_header_takes_precedence_over_a_cookie_with_its_name() {
        let response = parse(r#"{"headers":[["set-cookie","etag=c"],["etag","h"]]}"#).expect("a response");
        assert_eq!(response.text_of("header:etag"), "h");
    }

    #[test]
    fn without_a_response_everything_is_empty() {
        let response =
            PreflightResponse::of(&Event::new("t", JsonText("{}".into()))).expect("an empty response");
        assert_eq!((response.text_of("body:a"), response.cookie_header()), (String::new(), None));
    }

    #[test]
    fn other_bodies_have_no_members_and_an_invalid_attribute_is_an_error() {
        for body in ["", "text", "[1]", "{\\\"a\\\":", "\\\"x\\\""] {
            let response = parse(&format!(r#"{{"body":"{body}"}}"#)).expect(body);
            assert_eq!(response.text_of("body:a"), "", "{body}");
        }
        assert_eq!(parse("200 OK").expect_err("an error").code, "bad-preflight");
    }
}
