//! Writing into a tree.

use hookwright_json_tree::{Kind, Node, NotJson, Pointer, array_index};
use hookwright_plugin::Failure;

/// Puts a value at a pointer: in place of what is there, or as a new last member. Objects that are missing on the way are
/// made. An array takes `-`, or its length, for a new last element.
///
/// # Errors
/// `bad-path` if a value on the way is neither object nor array, or an index is beyond an array's end; `bad-data` if
/// what is on the way is not JSON.
pub fn insert<'a>(root: &mut Node<'a>, pointer: &Pointer, value: Node<'a>) -> Result<(), Failure> {
    let mut node = root;
    for (level, token) in pointer.tokens().iter().enumerate() {
        node.divide().map_err(|error| Failure::new("bad-data", format!("data isn't JSON: {error}")))?;
        let kind = node.kind();
        node = match node {
            Node::Object(members) => {
                let place = members.iter().position(|(name, _)| name == token).unwrap_or_else(|| {
                    members.push((token.clone().into(), Node::empty()));
                    members.len() - 1
                });
                &mut members[place].1
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
            Node::Text(_) => return Err(bad_path(pointer, level, in_words(kind))),
        };
    }
    *node = value;
    Ok(())
}

fn bad_path(pointer: &Pointer, level: usize, what: &str) -> Failure {
    let reached: String = pointer.tokens()[..level].iter().map(|token| format!("/{token}")).collect();
    let place = if reached.is_empty() { "the data".into() } else { format!("`{reached}`") };
    Failure::new("bad-path", format!("can't write `{pointer}`: {place} is {what}"))
}

fn in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null",
        Kind::Boolean => "a boolean",
        Kind::Number => "a number",
        Kind::String => "a string",
        Kind::Array => "an array",
        Kind::Object => "an object",
    }
}

/// Removes the value at a pointer, if there is one. What follows in an array moves up. At the root, leaves null.
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

/// Gives a member another name, in its place. A member that had that name is gone.
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

/// The last token of a pointer, and the divided value that it is looked for in.
fn split<'n, 'a, 'p>(
    root: &'n mut Node<'a>,
    pointer: &'p Pointer,
) -> Result<Option<(&'p str, &'n mut Node<'a>)>, NotJson> {
    let Some((last, parent)) = pointer.parent() else { return Ok(None) };
    let Some(node) = root.get(&parent)? else { return Ok(None) };
    node.divide()?;
    Ok(Some((last, node)))
}
