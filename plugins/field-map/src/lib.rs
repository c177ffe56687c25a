//! The standard plugin `field-map`: transforms an event's data. `README.md` describes its settings.
//!
//! All operations read the original data, so they do not affect one another: `move` can swap two members. Unchanged
//! parts are passed on as text, see `hookwright-json-tree`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod edit;
mod settings;

use hookwright_json_tree::{Node, NotJson, Pointer};
use hookwright_plugin::{Event, Failure, JsonText};

pub use settings::Settings;

use edit::{insert, remove, rename};

/// Transforms the event's data.
///
/// # Errors
/// `bad-data` if the event's data is not JSON; `bad-path` if a value cannot be written at a pointer.
pub fn map_fields(event: &Event<JsonText>, settings: &Settings) -> Result<JsonText, Failure> {
    let text = event.data.0.as_str();
    let mut source = Node::new(text);
    let found = find_all(&mut source, settings)?;

    let mut result = match &settings.pick {
        Some(pick) => {
            let mut picked = Node::empty();
            for pointer in pick {
                if let Some(node) = source.get(pointer).map_err(not_json)? {
                    let node = node.clone();
                    insert(&mut picked, pointer, node)?;
                }
            }
            picked
        }
        None => source,
    };
    for (pointer, name) in &settings.rename {
        rename(&mut result, pointer, name).map_err(not_json)?;
    }
    for pointer in settings.moves.keys() {
        remove(&mut result, pointer).map_err(not_json)?;
    }
    for (to, node) in found {
        insert(&mut result, to, node)?;
    }
    for (pointer, value) in &settings.set {
        insert(&mut result, pointer, Node::Text(value.get()))?;
    }
    for (pointer, value) in &settings.default {
        if result.get(pointer).map_err(not_json)?.is_none() {
            insert(&mut result, pointer, Node::Text(value.get()))?;
        }
    }
    for pointer in &settings.drop {
        remove(&mut result, pointer).map_err(not_json)?;
    }

    let mut written = String::with_capacity(text.len() + 64);
    result.write(&mut written);
    Ok(JsonText(written))
}

/// Returns the values for `copy` and `move` with their destinations. Missing sources are skipped.
fn find_all<'a, 's>(
    source: &mut Node<'a>,
    settings: &'s Settings,
) -> Result<Vec<(&'s Pointer, Node<'a>)>, Failure> {
    let mut found = Vec::with_capacity(settings.copy.len() + settings.moves.len());
    for (from, to) in settings.copy.iter().chain(&settings.moves) {
        if let Some(node) = source.get(from).map_err(not_json)? {
            found.push((to, node.clone()));
        }
    }
    Ok(found)
}

fn not_json(error: NotJson) -> Failure {
    Failure::new("bad-data", format!("data is not JSON: {error}"))
}

#[hookwright_plugin::mapper]
fn mapper(event: Event<JsonText>, settings: Settings) -> Result<JsonText, Failure> {
    map_fields(&event, &settings)
}
