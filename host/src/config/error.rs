//! Errors in the configuration, and the sources of settings that they name.

use std::fmt;
use std::path::PathBuf;

/// The source of a setting's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An option on the command line.
    CommandLine(String),
    /// An environment variable.
    Environment(String),
    /// A member of the settings file.
    File(PathBuf),
    /// A file that contains only the setting's value.
    SecretFile {
        /// The setting that names the file.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
    },
    /// The setting's default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(option) => write!(f, "from the command line (--{option})"),
            Self::Environment(variable) => write!(f, "from the environment ({variable})"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::SecretFile { name, path } => write!(f, "from {} (`{name}`)", path.display()),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// An error in the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The value of a setting is not allowed. `shown` is empty for secrets.
    #[error("setting `{name}`{shown} {origin}: must be {allowed}")]
    Bad {
        /// The name of the setting.
        name: &'static str,
        /// ` = ` and the value, unless it is a secret.
        shown: String,
        /// The source of the value.
        origin: Origin,
        /// The values that are allowed.
        allowed: String,
    },
    /// Two settings do not go together.
    #[error("setting `{name}` needs {needed}")]
    Incomplete {
        /// The name of the setting that is set.
        name: &'static str,
        /// What it needs.
        needed: &'static str,
    },
    /// A setting is given, and a file with its value as well.
    #[error("both `{name}` {value} and `{name}_file` {file} are set; remove one of them")]
    Both {
        /// The name of the setting.
        name: &'static str,
        /// The source of the value.
        value: Origin,
        /// The source of the file's path.
        file: Origin,
    },
    /// The file with a secret cannot be read.
    #[error("setting `{name}` {origin}: cannot read the file {}", path.display())]
    UnreadableSecretFile {
        /// The name of the setting.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// The cause.
        source: std::io::Error,
    },
    /// The file with a secret cannot contain one.
    #[error("setting `{name}` {origin}: the file {} {problem}; it must contain the value, and nothing else", path.display())]
    BadSecretFile {
        /// The name of the setting.
        name: &'static str,
        /// The path of the file.
        path: PathBuf,
        /// The source of the path.
        origin: Origin,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The value of an environment variable is not UTF-8.
    #[error("the environment variable {variable} is not UTF-8")]
    NotUtf8 {
        /// The name of the variable.
        variable: String,
    },
    /// The file cannot be read.
    #[error("cannot read the settings file {}", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("the settings file {} is not valid TOML", path.display())]
    NotToml {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        source: Box<toml::de::Error>,
    },
    /// The file has a member that is not a setting.
    #[error("unknown setting `{name}` in {}; expected one of {known}", path.display())]
    Unknown {
        /// The path of the file.
        path: PathBuf,
        /// The name of the member.
        name: String,
        /// The names of all settings.
        known: String,
    },
    /// The file has a member of the wrong type.
    #[error("setting `{name}` in {} has the type {found}; expected {wanted}", path.display())]
    WrongType {
        /// The path of the file.
        path: PathBuf,
        /// The name of the setting.
        name: &'static str,
        /// The type in the file.
        found: &'static str,
        /// The expected type.
        wanted: &'static str,
    },
}
