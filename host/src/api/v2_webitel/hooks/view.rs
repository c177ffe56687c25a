//! The view of a hook, with all or selected members.

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use crate::api::json::{self, Members};
use crate::api::v2_webitel::id;
use crate::domain::{Hook, Tenant};

/// The position of the id among the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdPosition {
    /// As in the published response to GET.
    Start,
    /// As in the published response to POST.
    End,
}

/// The name of the id's member.
const ID: &str = "_id";

/// A hook's members, in order.
#[derive(Debug)]
pub(super) struct HookView(Vec<(String, Box<RawValue>)>);

impl HookView {
    pub(super) fn of(hook: &Hook, domain: &Tenant, id_position: IdPosition) -> Self {
        let mut members = vec![("domain".to_owned(), text(&domain.name))];
        members.extend(members_of(&json::raw(&hook.origin.members)));
        for (name, value) in &mut members {
            // The engine disables a hook whose receiver responds with 410.
            if name == "enable" && !hook.enabled {
                *value = json::raw("false");
            }
        }
        let id = (ID.to_owned(), text(&id::encode(hook.id)));
        members.insert(if id_position == IdPosition::Start { 0 } else { members.len() }, id);
        Self(members)
    }

    /// Selects the members at the paths `columns`, and the id. Without columns, selects all members.
    pub(super) fn project(self, columns: &[Vec<&str>]) -> Self {
        if columns.is_empty() {
            return self;
        }
        let paths: Vec<&[&str]> = columns.iter().map(Vec::as_slice).chain([[ID].as_slice()]).collect();
        Self(project(self.0, &paths))
    }
}

impl Serialize for HookView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

fn text(text: &str) -> Box<RawValue> {
    to_raw_value(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// The members of an object; empty for other values.
fn members_of(value: &RawValue) -> Vec<(String, Box<RawValue>)> {
    serde_json::from_str(value.get()).map(|Members(members)| members).unwrap_or_default()
}

/// Selects the members at `paths`, like a projection of MongoDB: objects along a path are included even if
/// the path's target is absent, other values along a path are not.
fn project(members: Vec<(String, Box<RawValue>)>, paths: &[&[&str]]) -> Vec<(String, Box<RawValue>)> {
    let mut wanted = Vec::new();
    for (name, value) in members {
        let further: Vec<&[&str]> =
            paths.iter().filter(|path| path.first() == Some(&name.as_str())).map(|path| &path[1..]).collect();
        if further.iter().any(|path| path.is_empty()) {
            wanted.push((name, value));
        } else if !further.is_empty() && value.get().starts_with('{') {
            let inner = Members(project(members_of(&value), &further));
            wanted.extend(to_raw_value(&inner).ok().map(|inner| (name, inner)));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_keeps_the_order_of_the_document() {
        let text = r#"{"_id":"1","domain":"d","event":"e","action":{"type":"web","url":"u"},"fields":["a"]}"#;
        for (columns, expected) in [
            (vec![vec!["event"]], r#"{"_id":"1","event":"e"}"#),
            (vec![vec!["event"], vec!["domain"]], r#"{"_id":"1","domain":"d","event":"e"}"#),
            (vec![vec!["action", "url"]], r#"{"_id":"1","action":{"url":"u"}}"#),
            (vec![vec!["action", "url"], vec!["action"]], r#"{"_id":"1","action":{"type":"web","url":"u"}}"#),
            (vec![vec!["action", "gone"]], r#"{"_id":"1","action":{}}"#),
            (vec![vec!["event", "x"], vec!["fields", "0"]], r#"{"_id":"1"}"#),
            (vec![vec!["gone"], vec![""]], r#"{"_id":"1"}"#),
            (vec![], text),
        ] {
            let view = HookView(members_of(&json::raw(text))).project(&columns);
            assert_eq!(serde_json::to_string(&view).unwrap(), expected, "{columns:?}");
        }
    }
}
