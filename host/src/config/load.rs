//! From the four sources to one configuration.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use super::values::Config;
use super::{SETTINGS, Setting, file};

/// The variable that names the settings file, for whom `--config` does not suit.
const CONFIG_VARIABLE: &str = "HOOKWRIGHT_CONFIG";

/// What was given on the command line.
#[derive(Default, Clone)]
pub struct Given {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// Settings by name, as text.
    pub settings: BTreeMap<&'static str, String>,
}

impl Given {
    /// With `name` set to `text`.
    #[must_use]
    pub fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.settings.insert(name, text.into());
        self
    }
}

/// Where a setting's text came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An option.
    CommandLine(String),
    /// A variable.
    Environment(String),
    /// A member of a file.
    File(PathBuf),
    /// Nowhere: the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(option) => write!(f, "from the command line (--{option})"),
            Self::Environment(variable) => write!(f, "from the environment ({variable})"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that a setting does not allow. `shown` is empty for a secret.
    #[error("setting `{name}`{shown} {origin}: must be {allowed}")]
    Bad {
        /// Which setting.
        name: &'static str,
        /// The value, behind ` = `, if it may be shown.
        shown: String,
        /// Where it came from.
        origin: Origin,
        /// What is allowed.
        allowed: String,
    },
    /// A variable whose text cannot be read.
    #[error("{variable} in the environment is not UTF-8")]
    NotUtf8 {
        /// The variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not TOML", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: Box<toml::de::Error>,
    },
    /// The file has a member that stands for nothing.
    #[error("unknown setting `{name}` in {}; there are: {known}", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// The member.
        name: String,
        /// All there are.
        known: String,
    },
    /// The file has a member of a type that the setting cannot have.
    #[error("setting `{name}` in {} is {found}; must be {wanted}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// Which setting.
        name: &'static str,
        /// The type it has.
        found: &'static str,
        /// The type it must have.
        wanted: &'static str,
    },
}

/// Looks a variable up in the process's own environment.
#[must_use]
pub fn process_environment(variable: &str) -> Option<OsString> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::var_os(variable)
}

/// The names of the process's own variables.
pub fn process_variables() -> impl Iterator<Item = String> {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// Of `variables`, those which look like settings and are none: misspelt ones, most likely. What clients of the
/// engine's API are told by such variables is none of its settings either, and is let be.
pub fn unknown_variables(variables: impl Iterator<Item = String>) -> Vec<String> {
    const OTHERS: [&str; 3] = [CONFIG_VARIABLE, "HOOKWRIGHT_URL", "HOOKWRIGHT_KEY"];
    let is_known = |name: &String| {
        OTHERS.contains(&name.as_str()) || SETTINGS.iter().any(|setting| setting.variable() == *name)
    };
    variables.filter(|name| name.starts_with("HOOKWRIGHT_") && !is_known(name)).collect()
}

/// Reads every setting. A variable that is empty counts as not there, as compose files leave them.
///
/// # Errors
/// Says which setting is wrong, where its value came from and what is allowed.
pub fn load(given: &Given, environment: impl Fn(&str) -> Option<OsString>) -> Result<Config, ConfigError> {
    let variable = |name: &str| match environment(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(Err(_)) => Err(ConfigError::NotUtf8 { variable: name.to_owned() }),
    };
    let path = match &given.config {
        Some(path) => Some(path.clone()),
        None => variable(CONFIG_VARIABLE)?.map(PathBuf::from),
    };
    let from_file = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
    let mut config = Config::blank();
    for setting in SETTINGS {
        let found = match given.settings.get(setting.name) {
            Some(text) => Some((text.clone(), Origin::CommandLine(setting.option()))),
            None => match variable(&setting.variable())? {
                Some(text) => Some((text, Origin::Environment(setting.variable()))),
                None => from_file_or_default(setting, &from_file, path.as_deref()),
            },
        };
        if let Some((text, origin)) = found {
            apply(setting, &mut config, &text, origin)?;
        }
    }
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
