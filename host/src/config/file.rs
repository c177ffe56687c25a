//! The settings file, `hookwright.toml`.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::ConfigError;
use super::{Setting, settings};

/// Reads the settings in the file at `path`, as text by name.
pub(super) fn read(path: &Path) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let content = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(path, &content)
}

pub(super) fn parse(path: &Path, content: &str) -> Result<BTreeMap<&'static str, String>, ConfigError> {
    let table: toml::Table = content
        .parse()
        .map_err(|source| ConfigError::NotToml { path: path.to_owned(), source: Box::new(source) })?;
    let mut texts = BTreeMap::new();
    for (name, value) in table {
        let (name, text, wanted) = match (Setting::named(&name), Setting::file_named(&name)) {
            (Some(setting), _) if setting.list => {
                (setting.name, text_of(setting, &value), "a string or an array of strings")
            }
            (Some(setting), _) if setting.is_boolean() => {
                (setting.name, text_of(setting, &value), "`true` or `false`")
            }
            (Some(setting), _) => (setting.name, text_of(setting, &value), "a string or a number"),
            (None, Some(file)) => (file, value.as_str().map(str::to_owned), "a string"),
            (None, None) => {
                return Err(ConfigError::Unknown { path: path.to_owned(), name, known: names() });
            }
        };
        let found = value.type_str();
        let text =
            text.ok_or_else(|| ConfigError::WrongType { path: path.to_owned(), name, found, wanted })?;
        texts.insert(name, text);
    }
    Ok(texts)
}

fn text_of(setting: &Setting, value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Boolean(value) if setting.is_boolean() => Some(value.to_string()),
        toml::Value::Integer(_) if setting.is_boolean() => None,
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Array(items) if setting.list => {
            items.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        _ => None,
    }
}

fn names() -> String {
    settings().map(|setting| setting.name).collect::<Vec<_>>().join(", ")
}
