//! The properties of the event's object, with dotted names for nested members.

use hookwright_json_tree::{Kind, Node};
use hookwright_plugin::Failure;

use crate::bad_data;

/// Objects whose members the original system writes as `<name>.<member>`.
const DOTTED: [&str; 2] = ["geoloc", "_parent"];

/// Writes the properties, or `{}` if there are none. Members of [`DOTTED`] objects are written with dotted names.
///
/// # Errors
/// `bad-data` if the properties are not an object.
pub fn write(props: Option<&Node<'_>>, out: &mut String) -> Result<(), Failure> {
    let Some(props) = props.filter(|props| props.kind() != Kind::Null) else {
        out.push_str("{}");
        return Ok(());
    };
    let Node::Object(members) = divided(props)? else {
        return Err(bad_data("the event's `props` must be an object"));
    };
    let mut written = Vec::with_capacity(members.len() + 2);
    for (name, value) in &members {
        let nested = if DOTTED.iter().any(|dotted| name == dotted) { divided(value)? } else { Node::empty() };
        match nested {
            Node::Object(inner) if !inner.is_empty() => {
                for (member, value) in inner {
                    let dotted = format!("{name}.{member}");
                    // A member that already has the dotted name takes precedence.
                    if !members.iter().any(|(known, _)| *known == dotted) {
                        written.push((dotted.into(), value));
                    }
                }
            }
            _ => written.push((name.clone(), value.clone())),
        }
    }
    Node::Object(written).write(out);
    Ok(())
}

fn divided<'a>(node: &Node<'a>) -> Result<Node<'a>, Failure> {
    let mut node = node.clone();
    node.divide().map_err(|error| bad_data(&format!("data is not JSON: {error}")))?;
    Ok(node)
}
