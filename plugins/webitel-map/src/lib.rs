//! The standard plugin `webitel-map`: the members `fields` and `map` of a Webitel hook. Its settings are described in
//! `README.md`.

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

/// The event's data, picked and renamed. Data that is no object stays as it is.
///
/// # Errors
/// `bad-data` if the data isn't JSON.
pub fn map_fields(event: &Event<JsonText>, settings: &Settings) -> Result<JsonText, Failure> {
    let text = event.data.0.as_str();
    let mut data = Node::new(text);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data isn't JSON: {error}")))?;
    let Node::Object(members) = &mut data else { return Ok(JsonText(text.to_owned())) };

    if !settings.fields.is_empty() {
        members.retain(|(name, _)| settings.fields.contains(name));
    }
    for (from, to) in settings.map.iter() {
        if from != to && members.iter().any(|(name, _)| name == from) {
            // The member that had the new name goes: what is renamed is what is wanted.
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
