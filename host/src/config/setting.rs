//! What defines a setting.

use super::values::Config;

/// One setting.
pub struct Setting {
    /// The name in `hookwright.toml`.
    pub name: &'static str,
    /// The name of the setting that names a file with the value, if it is secret.
    pub(super) file_name: &'static str,
    /// The placeholder for the value in the help.
    pub value_name: &'static str,
    /// The default as text, if there is one.
    pub default: Option<&'static str>,
    /// The description in the help and in the documentation.
    pub help: &'static str,
    /// Whether the value must not be shown in messages.
    pub secret: bool,
    /// Whether the value is a list: the option can then be repeated.
    pub list: bool,
    /// Parses the text into the configuration, or returns a description of the values that are allowed.
    pub(super) apply: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// Whether the value is a yes or no, which TOML has a type for.
    pub(super) fn is_boolean(&self) -> bool {
        self.value_name == "BOOL"
    }
}

/// Defines a setting that `$read` parses into the field `$field`.
macro_rules! setting {
    ($name:literal, $value_name:literal, $default:expr, $help:literal, $field:ident = $read:expr) => {
        $crate::config::setting::Setting {
            name: $name,
            file_name: concat!($name, "_file"),
            value_name: $value_name,
            default: $default,
            help: $help,
            secret: false,
            list: false,
            apply: |config, text| {
                let read: fn(&str) -> Result<_, String> = $read;
                config.$field = read(text)?;
                Ok(())
            },
        }
    };
}
pub(super) use setting;
