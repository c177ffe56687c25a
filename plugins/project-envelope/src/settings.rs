//! The settings.

use hookwright_json_tree::Node;
use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub(crate) client_id: i64,
    pub(crate) project_id: i64,
    #[serde(default)]
    pub(crate) custom_parameters: Parameters,
}

/// Members of an object, in order, with the text of their values.
#[derive(Debug, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let mut node = Node::new(raw.get());
        node.divide().map_err(D::Error::custom)?;
        match node {
            Node::Object(members) => {
                let owned = |(name, value): (std::borrow::Cow<'_, str>, Node<'_>)| {
                    (name.into_owned(), value.text().into_owned())
                };
                Ok(Parameters(members.into_iter().map(owned).collect()))
            }
            _ if raw.get() == "null" => Ok(Parameters::default()),
            _ => Err(D::Error::custom("custom parameters must be an object")),
        }
    }
}
