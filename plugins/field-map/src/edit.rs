//! Changes of a tree.

use hookwright_json_tree::{Kind, Node, NotJson, Pointer, array_index};
use hookwright_plugin::Failure;

/// Sets the value at a pointer: replaces the existing value, or appends a member. Creates missing objects on the path.
/// For an array, `-` or its length appends an element.
///
/// # Errors
/// `bad-path` if a value on the path is neither an object nor an array, or an index is beyond the end of an array;
/// `bad-data` if text on the path is not JSON.
pub fn insert<'a>(root: &mut Node<'a>, pointer: &Pointer, value: Node<'a>) -> Result<(), Failure> {
    let mut node = root;
    for (level, token) in pointer.tokens().iter().enumerate() {
        node.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
        let kind = node.kind();
        node = match node {
            Node::Object(members) => {
                let index = members.iter().position(|(name, _)| name == token).unwrap_or_else(|| {
                    members.push((token.clone().into(), Node::empty()));
                    members.len() - 1
                });
                &mut members[index].1
            }
            Node::Array(elements) => {
                let index = if token == "-" { Some(elements.len()) } else { array_index(token) };
                match index {
                    Some(index) if index < elements.len() => &mut elements[index],
                    Some(index) if index == elements.len() => {
                        elements.push(Node::empty());
                        &mut elements[index]
                    }
                    _ => return Err(bad_path(pointer, level, "an array without this index")),
                }
            }
            Node::Text(_) => return Err(bad_path(pointer, level, name_of(kind))),
        };
    }
    *node = value;
    Ok(())
}

fn bad_path(pointer: &Pointer, level: usize, what: &str) -> Failure {
    let reached: String = pointer.tokens()[..level].iter().map(|token| format!("/{token}")).collect();
    let place = if reached.is_empty() { "the data".into() } else { format!("`{reached}`") };
    Failure::new("bad-path", format!("cannot write `{pointer}`: {place} is {what}"))
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

/// Removes the value at a pointer, if it exists. Following elements of an array move up. At the root, null remains.
pub fn remove(root: &mut Node<'_>, pointer: &Pointer) -> Result<(), NotJson> {
    let Some((last, parent)) = split(root, pointer)? else {
        if pointer.tokens().is_empty() {
            *root = Node::Text("null");
        }
        return Ok(());
    };
    match parent {
        Node::Object(members) => members.retain(|(name, _)| name != last),
        Node::Array(elements) => {
            if let Some(index) = array_index(last).filter(|index| *index < elements.len()) {
                elements.remove(index);
            }
        }
        Node::Text(_) => {}
    }
    Ok(())
}

/// Renames a member and keeps its position. Removes a member that already has the new name.
pub fn rename(root: &mut Node<'_>, pointer: &Pointer, name: &str) -> Result<(), NotJson> {
    if let Some((last, Node::Object(members))) = split(root, pointer)?
        && last != name
        && members.iter().any(|(known, _)| known == last)
    {
        members.retain(|(known, _)| known != name);
        if let Some((known, _)) = members.iter_mut().find(|(known, _)| known == last) {
            *known = name.to_owned().into();
        }
    }
    Ok(())
}

/// Returns the last token of a pointer and its parent value, divided.
fn split<'n, 'a, 'p>(
    root: &'n mut Node<'a>,
    pointer: &'p Pointer,
) -> Result<Option<(&'p str, &'n mut Node<'a>)>, NotJson> {
    let Some((last, parent)) = pointer.parent() else { return Ok(None) };
    let Some(node) = root.get(&parent)? else { return Ok(None) };
    node.divide()?;
    Ok(Some((last, node)))
}
