//! The operator's settings: one table, four sources.
//!
//! Every setting stands once in [`SETTINGS`]: its name, its default, what it is for, and how its text
//! is read. From that table come the options of the command line (`--max-in-flight`), the
//! environment's variables (`HOOKWRIGHT_MAX_IN_FLIGHT`), the members of `hookwright.toml`
//! (`max_in_flight`) and the table of `host/docs/settings.md`. The command line wins over the environment, the
//! environment over the file, the file over the default.
//!
//! Nothing outside this module reads the environment, and nothing here does it behind anyone's back:
//! [`load()`] is handed a way to look variables up, so that tests hand in a map.

mod file;
mod load;
mod read;
mod settings;
mod values;

pub use load::{ConfigError, Given, Origin, load, process_environment, process_variables, unknown_variables};
pub use settings::{SETTINGS, Setting};
pub use values::{AdminKey, Config, LogFormat};

#[cfg(test)]
mod tests;
