//! In what the requests of two runs differ.

use std::collections::BTreeMap;

use hookwright_json_tree::{Kind, Node, checked, depth, equal};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::pointer::Pointer;
use crate::api::problem::shorten;
use crate::delivery::differences;
use crate::domain::{Hook, Request, SentRequest, Verdict};
use crate::sandbox::{PipelineEnd, PipelineRun};

/// Larger bodies are compared only by their bytes.
const MAX_COMPARED_LEN: usize = 256 * 1024;
/// Deeper bodies are compared only by their bytes.
const MAX_DEPTH: usize = 64;
/// Of longer pointers, the beginning is shown, which names a value that contains the difference.
const MAX_POINTER: usize = 1_024;

/// A value of a JSON body that differs.
#[derive(Debug, Serialize, ToSchema, PartialEq, Eq)]
#[schema(as = BodyDifference)]
pub(super) struct BodyDifferenceView {
    /// Where it is in the body.
    #[schema(value_type = String)]
    pointer: Pointer,
    /// The beginning of its JSON text before, so that numbers keep their digits; null if there was none.
    before: Option<String>,
    /// The beginning of its JSON text after; null if there is none.
    after: Option<String>,
}

/// The request that a run would send.
pub(super) fn request_of(run: &PipelineRun) -> Option<&Request> {
    match &run.end {
        PipelineEnd::Verdict(Verdict::Keep(request)) => Some(request),
        _ => None,
    }
}

/// The word for how a run ended.
pub(super) fn verdict_of(run: &PipelineRun) -> &'static str {
    match &run.end {
        PipelineEnd::Verdict(Verdict::Keep(_)) => "keep",
        PipelineEnd::Verdict(Verdict::Drop { .. }) => "drop",
        PipelineEnd::Fault { .. } => "fault",
    }
}

/// In what the requests of two runs differ, if both have one.
pub(super) fn request_differences(
    hook: &Hook,
    before: &PipelineRun,
    after: &PipelineRun,
) -> Option<Vec<&'static str>> {
    let (before, after) = (request_of(before)?, request_of(after)?);
    let body = before.body.as_bytes();
    let sent = SentRequest {
        method: before.method.clone(),
        url: before.url.clone(),
        headers: before.headers.clone(),
        body_bytes: body.len() as u64,
        body_kept_until: None,
        batch: None,
    };
    Some(differences(hook, (&sent, Some(body)), after))
}

/// The first `limit` values in which two bodies differ. None if one of them is not JSON, is large or is nested deeply.
pub(super) fn body_differences(before: &[u8], after: &[u8], limit: usize) -> Vec<BodyDifferenceView> {
    let mut found = Vec::new();
    let text = |body| std::str::from_utf8(body).ok().and_then(comparable);
    if let (Some(before), Some(after)) = (text(before), text(after)) {
        compare(&mut Vec::new(), Some(before), Some(after), &mut found, limit);
    }
    found
}

/// The text without white space around it, if it is JSON that can be compared.
fn comparable(text: &str) -> Option<&str> {
    let is_small = text.len() <= MAX_COMPARED_LEN && depth(text) <= MAX_DEPTH;
    is_small.then(|| checked(text).ok()).flatten()
}

/// Adds the differences at `here` to `found`, until there are `limit`. Containers are not compared as a whole, which would
/// be done again at each level.
fn compare(
    here: &mut Vec<Place>,
    before: Option<&str>,
    after: Option<&str>,
    found: &mut Vec<BodyDifferenceView>,
    limit: usize,
) {
    if found.len() >= limit || before == after {
        return;
    }
    match before.zip(after).and_then(|(before, after)| children(before, after)) {
        Some(children) => {
            for (place, before, after) in children {
                here.push(place);
                compare(here, before.as_deref(), after.as_deref(), found, limit);
                here.pop();
            }
        }
        None if before.zip(after).is_some_and(|(one, other)| equal(one, other)) => {}
        None => found.push(BodyDifferenceView {
            pointer: pointer(here),
            before: before.map(shortened),
            after: after.map(shortened),
        }),
    }
}

fn shortened(text: &str) -> String {
    shorten(text).into_owned()
}

/// A member or an element.
enum Place {
    Member(String),
    Element(usize),
}

impl Place {
    fn under(&self, parent: &Pointer) -> Pointer {
        match self {
            Self::Member(name) => parent.clone().member(name),
            Self::Element(index) => parent.clone().index(*index),
        }
    }
}

fn pointer(places: &[Place]) -> Pointer {
    let mut pointer = Pointer::root();
    for place in places {
        let longer = place.under(&pointer);
        if longer.as_str().len() > MAX_POINTER {
            break;
        }
        pointer = longer;
    }
    pointer
}

type Pair = (Place, Option<String>, Option<String>);

/// The members or elements of two values, in pairs; `None` if they are not of one kind that has some.
fn children(before: &str, after: &str) -> Option<Vec<Pair>> {
    let (mut before, mut after) = (Node::new(before), Node::new(after));
    if before.kind() != after.kind() || !matches!(before.kind(), Kind::Object | Kind::Array) {
        return None;
    }
    before.divide().ok()?;
    after.divide().ok()?;
    let text = |node: &Node<'_>| node.text().into_owned();
    Some(match (before, after) {
        (Node::Object(before), Node::Object(after)) => {
            let mut rest: BTreeMap<_, _> =
                after.iter().map(|(name, value)| (name.as_ref(), text(value))).collect();
            let mut pairs: Vec<Pair> = Vec::with_capacity(before.len());
            for (name, value) in &before {
                pairs.push((Place::Member(name.to_string()), Some(text(value)), rest.remove(name.as_ref())));
            }
            let added = after.iter().filter_map(|(name, _)| {
                Some((Place::Member(name.to_string()), None, Some(rest.remove(name.as_ref())?)))
            });
            pairs.extend(added);
            pairs
        }
        (Node::Array(before), Node::Array(after)) => {
            let length = before.len().max(after.len());
            let pair =
                |index| (Place::Element(index), before.get(index).map(text), after.get(index).map(text));
            (0..length).map(pair).collect()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: &[(&str, Option<&str>, Option<&str>)]) {
        let found = body_differences(before.as_bytes(), after.as_bytes(), 3);
        let found: Vec<_> =
            found.iter().map(|it| (it.pointer.as_str(), it.before.as_deref(), it.after.as_deref())).collect();
        assert_eq!(found, expected, "{before} {after}");
    }

    #[test]
    fn values_that_differ_are_named() {
        check(r#"{"a": 1, "b": [1, 2]}"#, r#"{"b":[1,2],"a":1}"#, &[]);
        check(r#"{"a":1}"#, r#"{"a":2}"#, &[("/a", Some("1"), Some("2"))]);
        check(
            r#"{"a":{"x/y":[1,2]},"gone":true}"#,
            r#"{"a":{"x/y":[1,3,4]},"new":null}"#,
            &[
                ("/a/x~1y/1", Some("2"), Some("3")),
                ("/a/x~1y/2", None, Some("4")),
                ("/gone", Some("true"), None),
            ],
        );
        check(r#"{"a":[]}"#, r#"{"a":{}}"#, &[("/a", Some("[]"), Some("{}"))]);
        check("1", "[1]", &[("", Some("1"), Some("[1]"))]);
    }

    #[test]
    fn numbers_keep_their_digits() {
        let (before, after) = (r#"{"id":9007199254740993}"#, r#"{"id":9007199254740992}"#);
        check(before, after, &[("/id", Some("9007199254740993"), Some("9007199254740992"))]);
    }

    /// In time that grows with the size, and not with its square or the depth.
    #[test]
    fn many_members_far_inside_are_compared() {
        let members = |last: u8| {
            let members: Vec<_> = (0..20_000).map(|number| format!("\"{number:x}\":0")).collect();
            format!("{{{},\"last\":{last}}}", members.join(","))
        };
        let within = |inner: String| (1..MAX_DEPTH).fold(inner, |inner, _| format!("{{\"a\":{inner}}}"));
        let (before, after) = (within(members(1)), within(members(2)));
        let pointer = "/a".repeat(MAX_DEPTH - 1) + "/last";
        check(&before, &after, &[(&pointer, Some("1"), Some("2"))]);
    }

    #[test]
    fn a_long_pointer_ends_at_what_contains_the_difference() {
        let body = |value: u8| format!("{{\"a\":{{\"{}\":{value}}}}}", "b".repeat(MAX_POINTER));
        check(&body(1), &body(2), &[("/a", Some("1"), Some("2"))]);
    }

    #[test]
    fn only_the_first_differences_of_small_json_are_named() {
        assert_eq!(body_differences(b"[1,2,3,4]", b"[5,6,7,8]", 2).len(), 2);
        for odd in
            [&b"text"[..], b"\xff", "[".repeat(MAX_DEPTH + 1).as_bytes(), &[b'1'; MAX_COMPARED_LEN + 1]]
        {
            assert_eq!(body_differences(odd, b"1", 2), []);
        }
    }
}
