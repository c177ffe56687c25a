//! The plugin's log, including panic messages.

pub use crate::bindings::base::hookwright::plugin::log::Level;

/// Writes a line to the plugin's log, which its tenant can read. See also [`log!`](crate::log!).
///
/// The host limits the length of a line and of the whole log. Without a host, as in tests, the line goes to standard
/// error.
pub fn write_log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::base::hookwright::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Formats a line and writes it to the plugin's log: `log!("…")`, or with a level, `log!(warn, "{count} orders")`.
///
/// The levels are `debug`, `info` (the default), `warn` and `error`.
#[macro_export]
macro_rules! log {
    (debug, $($message:tt)+) => { $crate::write_log($crate::Level::Debug, &::std::format!($($message)+)) };
    (info, $($message:tt)+) => { $crate::write_log($crate::Level::Info, &::std::format!($($message)+)) };
    (warn, $($message:tt)+) => { $crate::write_log($crate::Level::Warn, &::std::format!($($message)+)) };
    (error, $($message:tt)+) => { $crate::write_log($crate::Level::Error, &::std::format!($($message)+)) };
    ($($message:tt)+) => { $crate::log!(info, $($message)+) };
}

/// Writes the message of a panic to the log. Otherwise the tenant would see a trap without its reason.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| write_log(Level::Error, &panic.to_string())));
}
