//! Access to the event's data, which is usually a flat object.

use std::borrow::Cow;

use hookwright_json_tree::{Node, array_index};
use hookwright_plugin::{Event, Failure, JsonText};

/// Members of the data, in order. Data that is not an object has none.
#[derive(Debug)]
pub struct Data<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Data<'a> {
    /// Parses the members of an event's data.
    ///
    /// # Errors
    /// `bad-data` if the data is not JSON.
    pub fn of(event: &'a Event<JsonText>) -> Result<Self, Failure> {
        let mut node = Node::new(&event.data.0);
        node.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
        Ok(match node {
            Node::Object(members) => Data(members),
            _ => Data(Vec::new()),
        })
    }

    /// Returns the text of the member with exactly this name.
    pub fn member(&self, name: &str) -> Option<Cow<'a, str>> {
        self.find(name).map(Node::text)
    }

    /// Returns the text of the value at a path: names, or indices of arrays, separated by dots.
    pub fn at_path(&self, path: &str) -> Option<Cow<'a, str>> {
        let mut names = path.split('.');
        let mut node = self.find(names.next()?)?.clone();
        for name in names {
            // A value that is not JSON counts as missing.
            node.divide().ok()?;
            node = match node {
                Node::Object(members) => members.into_iter().find(|(known, _)| known == name)?.1,
                Node::Array(mut elements) => {
                    let index = array_index(name).filter(|index| *index < elements.len())?;
                    elements.swap_remove(index)
                }
                Node::Text(_) => return None,
            };
        }
        Some(node.text())
    }

    fn find(&self, name: &str) -> Option<&Node<'a>> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, node)| node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_exact_name_and_by_path() {
        let event = Event::new("t", JsonText(r#"{"a.b": 1, "a": {"b": [2.50, {"c": "x"}]}}"#.into()));
        let data = Data::of(&event).expect("JSON");
        assert_eq!(data.member("a.b").as_deref(), Some("1"));
        for (path, expected) in [
            ("a.b", Some(r#"[2.50, {"c": "x"}]"#)),
            ("a.b.0", Some("2.50")),
            ("a.b.1.c", Some("\"x\"")),
            ("a.b.2", None),
            ("a.b.00", None),
            ("a.b.0.c", None),
            ("b.a", None),
            ("a.", None),
        ] {
            assert_eq!(data.at_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn other_data_has_no_members() {
        for text in ["null", "[1]", "\"text\""] {
            let event = Event::new("t", JsonText(text.into()));
            assert_eq!(Data::of(&event).expect(text).member("0"), None, "{text}");
        }
        assert_eq!(Data::of(&Event::new("t", JsonText("{".into()))).expect_err("not JSON").code, "bad-data");
    }
}
