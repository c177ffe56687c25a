//! Loads the configuration from its four sources.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Origin};
use super::settings::{option_of, variable_of};
use super::values::{Config, LogFormat};
use super::{Setting, check, file, read, secret_file, settings};

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
    const OTHERS: [&str; 4] =
        [CONFIG_VARIABLE, "HOOKWRIGHT_URL", "HOOKWRIGHT_KEY", "HOOKWRIGHT_LISTEN_SECRET"];
    let is_setting = |setting: &Setting, variable: &String| {
        setting.variable() == *variable
            || setting.file_name().is_some_and(|name| variable_of(name) == *variable)
    };
    let is_known = |name: &String| {
        OTHERS.contains(&name.as_str()) || settings().any(|setting| is_setting(setting, name))
    };
    variables.filter(|name| name.starts_with("HOOKWRIGHT_") && !is_known(name)).collect()
}

/// The format of the log, whatever is wrong with other settings: the message that says what is wrong has it.
pub fn log_format(command_line: &CommandLine, environment: impl Fn(&str) -> Option<OsString>) -> LogFormat {
    let variable = |name: &str| {
        let text = environment(name).and_then(|text| text.into_string().ok());
        Ok(text.filter(|text| !text.is_empty()))
    };
    let path = command_line.config.clone().or_else(|| variable(CONFIG_VARIABLE).ok()?.map(PathBuf::from));
    let from_file = path.as_deref().and_then(|path| file::read(path).ok()).unwrap_or_default();
    let sources = Sources { command_line, variable: &variable, file: path.as_deref().zip(Some(&from_file)) };
    let text = sources.text("log_format").ok().flatten();
    text.and_then(|(text, _)| read::log_format(&text).ok()).unwrap_or(LogFormat::Text)
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
    let sources = Sources { command_line, variable: &variable, file: path.as_deref().zip(Some(&from_file)) };
    let mut config = Config::placeholder();
    for setting in settings() {
        let plain = sources.text(setting.name)?;
        let in_file = setting.file_name().map(|name| sources.text(name)).transpose()?.flatten();
        let found = match (plain, in_file) {
            (Some((_, value)), Some((_, file))) => {
                return Err(ConfigError::Both { name: setting.name, value, file });
            }
            (None, Some((path, origin))) => Some(secret_file::read(setting, path.into(), origin)?),
            (Some(plain), None) => Some(plain),
            (None, None) => setting.default.map(|text| (text.to_owned(), Origin::Default)),
        };
        if let Some((text, origin)) = found {
            apply(setting, &mut config, &text, origin)?;
            config.given.insert(setting.name, &text);
        }
    }
    check::check(&config)?;
    Ok(config)
}

/// Where settings come from, besides their defaults.
struct Sources<'a> {
    command_line: &'a CommandLine,
    variable: &'a dyn Fn(&str) -> Result<Option<String>, ConfigError>,
    file: Option<(&'a Path, &'a BTreeMap<&'static str, String>)>,
}

impl Sources<'_> {
    /// The text of a setting, and where it is from.
    fn text(&self, name: &'static str) -> Result<Option<(String, Origin)>, ConfigError> {
        if let Some(text) = self.command_line.settings.get(name) {
            return Ok(Some((text.clone(), Origin::CommandLine(option_of(name)))));
        }
        let variable = variable_of(name);
        if let Some(text) = (self.variable)(&variable)? {
            return Ok(Some((text, Origin::Environment(variable))));
        }
        let in_file = self.file.and_then(|(path, texts)| Some((texts.get(name)?, path)));
        Ok(in_file.map(|(text, path)| (text.clone(), Origin::File(path.to_owned()))))
    }
}

fn apply(setting: &Setting, config: &mut Config, text: &str, origin: Origin) -> Result<(), ConfigError> {
    (setting.apply)(config, text).map_err(|allowed| ConfigError::Bad {
        name: setting.name,
        shown: if setting.secret { String::new() } else { format!(" = `{text}`") },
        origin,
        allowed,
    })
}
