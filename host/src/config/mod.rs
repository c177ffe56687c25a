//! The engine's settings: one table, four sources.
//!
//! [`settings()`] defines each setting once: its name, its default, its help and its parser. The table is the
//! source of the command line options (`--max-in-flight`), the environment variables
//! (`HOOKWRIGHT_MAX_IN_FLIGHT`), the members of `hookwright.toml` (`max_in_flight`) and the table of
//! `host/docs/settings.md`. The command line wins over the environment, the environment over the file, the
//! file over the default.
//!
//! The value of a secret setting may also be in a file: `admin_key_file` names the one with `admin_key`.
//!
//! No other module reads the environment. [`load()`] receives a function that looks up variables, so that
//! tests can pass a map.

mod check;
mod error;
mod file;
mod given;
mod load;
mod read;
mod secret_file;
mod setting;
mod settings;
mod tenant_limits;
mod values;

pub use error::{ConfigError, Origin};
pub use given::Given;
pub use load::{CommandLine, load, log_format, process_environment, process_variables, unknown_variables};
pub use setting::Setting;
pub use settings::settings;
pub use values::{AdminKey, Config, LogFormat, OperatorApi};

#[cfg(test)]
mod tests;
