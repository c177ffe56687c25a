//! Logging, to standard error.
//!
//! Each message is understandable by itself; ids are fields. A failure is logged once, by the code that
//! handles it.

mod access;
mod json_line;
mod lines;

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use tracing_subscriber::reload::Handle;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, reload};

pub use self::access::ACCESS;
pub use self::json_line::json_line;
use self::lines::Lines;
pub use self::lines::flush;
use crate::config::{Config, LogFormat};

type SetFilter = dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync;

/// Exchanges the filter of the process's log.
static SET_FILTER: OnceLock<Box<SetFilter>> = OnceLock::new();

/// The format of everything that the process writes.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The format of what the process writes: text before [`set_format`] and [`start`].
#[must_use]
pub fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or(LogFormat::Text)
}

/// Sets the format, if it is not set.
pub fn set_format(format: LogFormat) {
    let _ = FORMAT.set(format);
}

/// Logs what passes `filter` from now on. `config` has validated it. Does nothing before [`start`].
///
/// # Errors
/// Fails if the logger has ended.
pub fn set_filter(filter: &str) -> Result<()> {
    let Some(set) = SET_FILTER.get() else { return Ok(()) };
    set(parsed(filter)).context("cannot exchange the log filter")
}

fn parsed(filter: &str) -> EnvFilter {
    EnvFilter::builder().parse_lossy(format!("{ACCESS}=info,{filter}"))
}

fn keep<S: 'static>(handle: Handle<EnvFilter, S>) {
    let _ = SET_FILTER.set(Box::new(move |filter| handle.reload(filter)));
}

/// Starts logging for the rest of the process. Call [`flush`] before the process exits.
///
/// # Errors
/// Fails if a logger is already installed, or if the thread cannot be created.
pub fn start(config: &Config) -> Result<()> {
    set_format(config.log_format);
    let lines = Lines::start(std::io::stderr(), config.log_format)
        .context("cannot start the thread that writes the log")?;
    lines.publish();
    // `config` has validated the filter; invalid directives would be ignored.
    let filter = parsed(&config.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // Otherwise the subscriber reports a failed write with `eprintln!`, which panics if standard error fails,
    // too.
    let lines = lines.log_internal_errors(false);
    // On a terminal the subscriber respects `NO_COLOR` by itself.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match config.log_format {
        LogFormat::Text => {
            let lines = lines.with_filter_reloading();
            keep(lines.reload_handle());
            lines.finish().try_init()?;
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_ansi(false).with_filter_reloading();
            keep(lines.reload_handle());
            lines.finish().try_init()?;
        }
    }
    // The default hook writes to standard error directly, which may block.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    Ok(())
}
