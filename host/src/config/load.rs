//! Loads the configuration from its four sources.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::values::Config;
use super::{Setting, check, file, settings};

/// The environment variable with the path of the settings file, an alternative to `--config`.
const CONFIG_VARIABLE: &str = "HOOKWRIGHT_CONFIG";

/// The options on the command line.
#[derive(Default, Clone)]
pub struct CommandLine {
    /// The path in `--config`.
    pub config: Option<PathBuf>,
    /// The settings by name, as text.
    pub settings: BTreeMap<&'static str, String>,
}

impl CommandLine {
    /// Sets `name` to `text`.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.settings.insert(name, text.into());
        self
    }
}

/// Looks up a variable in the process environment.
#[must_use]
pub fn process_environment(variable: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "the only module that reads the environment")]
    std::env::var_os(variable)
}

/// The names of the variables in the process environment.
pub fn process_variables() -> impl Iterator<Item = String> {
    #[expect(clippy::disallowed_methods, reason = "the only module that reads the environment")]
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// Finds the `variables` that have the prefix of settings and are not settings: probably misspelled.
/// Variables for clients of the API, which have the same prefix, are excluded.
pub fn unknown_variables(variables: impl Iterator<Item = String>) -> Vec<String> {
    const OTHERS: [&str; 3] = [CONFIG_VARIABLE, "HOOKWRIGHT_URL", "HOOKWRIGHT_KEY"];
    let is_known = |name: &String| {
        OTHERS.contains(&name.as_str()) || settings().any(|setting| setting.variable() == *name)
    };
    variables.filter(|name| name.starts_with("HOOKWRIGHT_") && !is_known(name)).collect()
}

/// Loads all settings. An empty environment variable counts as absent, because Compose files often set them
/// so.
///
/// # Errors
/// Fails with the first invalid setting, its source and the values that are allowed.
pub fn load(
    command_line: &CommandLine,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Config, ConfigError> {
    let variable = |name: &str| match environment(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(ConfigError::NotUtf8 { variable: name.to_owned() }),
    };
    let path = match &command_line.config {
        Some(path) => Some(path.clone()),
        None => variable(CONFIG_VARIABLE)?.map(PathBuf::from),
    };
    let from_file = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
    let mut config = Config::placeholder();
    for setting in settings() {
        let found = match command_line.settings.get(setting.name) {
            Some(text) => Some((text.clone(), Origin::CommandLine(setting.option()))),
            None => match variable(&setting.variable())? {
                Some(text) => Some((text, Origin::Environment(setting.variable()))),
                None => from_file_or_default(setting, &from_file, path.as_deref()),
            },
        };
        if let Some((text, origin)) = found {
            apply(setting, &mut config, &text, origin)?;
            config.given.insert(setting.name, &text);
        }
    }
    check::check(&config)?;
    Ok(config)
}

fn from_file_or_default(
    setting: &Setting,
    from_file: &BTreeMap<&'static str, String>,
    path: Option<&Path>,
) -> Option<(String, Origin)> {
    if let (Some(text), Some(path)) = (from_file.get(setting.name), path) {
        return Some((text.clone(), Origin::File(path.to_owned())));
    }
    setting.default.map(|text| (text.to_owned(), Origin::Default))
}

fn apply(setting: &Setting, config: &mut Config, text: &str, origin: Origin) -> Result<(), ConfigError> {
    (setting.apply)(config, text).map_err(|allowed| ConfigError::Bad {
        name: setting.name,
        shown: if setting.secret { String::new() } else { format!(" = `{text}`") },
        origin,
        allowed,
    })
}
