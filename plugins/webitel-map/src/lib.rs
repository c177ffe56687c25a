//! The standard plugin `webitel-map`: implements `fields` and `map` of a Webitel hook. `README.md` describes its
//! settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use hookwright_json_tree::Node;
use hookwright_plugin::{Event, Failure, JsonText};
use hookwright_webitel_common::settings::{Names, Texts};
use serde::Deserialize;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    fields: Names,
    map: Texts,
}

/// Selects and renames members of the event's data. Data that is not an object is not changed.
///
/// # Errors
/// `bad-data` if the data is not JSON.
pub fn map_fields(event: &Event<JsonText>, settings: &Settings) -> Result<JsonText, Failure> {
    let text = event.data.0.as_str();
    let mut data = Node::new(text);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    let Node::Object(members) = &mut data else { return Ok(JsonText(text.to_owned())) };

    if !settings.fields.is_empty() {
        members.retain(|(name, _)| settings.fields.contains(name));
    }
    for (from, to) in settings.map.iter() {
        if from != to && members.iter().any(|(name, _)| name == from) {
            // The renamed member replaces a member that already has the new name.
            members.retain(|(name, _)| name != to);
            if let Some((name, _)) = members.iter_mut().find(|(name, _)| name == from) {
                *name = to.to_owned().into();
            }
        }
    }
    let mut written = String::with_capacity(text.len() + 64);
    data.write(&mut written);
    Ok(JsonText(written))
}

#[hookwright_plugin::mapper]
fn mapper(event: Event<JsonText>, settings: Settings) -> Result<JsonText, Failure> {
    map_fields(&event, &settings)
}
