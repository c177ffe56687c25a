//! Logging, to standard error.
//!
//! A line reads alone: it says what happened, and its fields carry the ids. A failure is logged once,
//! where it is handled.

mod lines;

use std::io::IsTerminal as _;

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::lines::Lines;
pub use self::lines::flush;
use crate::config::{Config, LogFormat};

/// Begins to log, for the rest of the process's life. Before its end, [`flush`] is to be called.
///
/// # Errors
/// If something logs already, or the system gives no thread to write on.
pub fn start(config: &Config) -> Result<()> {
    let lines = Lines::start(std::io::stderr()).context("cannot start the thread that writes the log")?;
    lines.publish();
    // `config` has checked the filter; a directive that cannot be read is left out.
    let filter = EnvFilter::builder().parse_lossy(&config.log);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines);
    // A line that cannot be written, as on a full disk, is lost: to say so on standard error fails, too, and would be a panic.
    let lines = lines.log_internal_errors(false);
    // On a terminal the subscriber decides by itself: it knows `NO_COLOR`.
    let lines = if std::io::stderr().is_terminal() { lines } else { lines.with_ansi(false) };
    match config.log_format {
        LogFormat::Text => lines.finish().try_init()?,
        LogFormat::Json => lines.json().flatten_event(true).with_ansi(false).finish().try_init()?,
    }
    // The default writes to standard error by itself, and waits for whoever reads that.
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "a thread panicked")));
    Ok(())
}
