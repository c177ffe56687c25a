//! The plugin's log, and a panic's last words.

pub use crate::bindings::base::hookwright::plugin::log::Level;

/// Writes a line to the plugin's log, which its tenant reads. [`log!`](crate::log!) formats it.
///
/// The host bounds the length of a line and of the whole log. Outside a host, as in tests, the line goes
/// to standard error.
pub fn write_log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::base::hookwright::plugin::log::write(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Writes to the plugin's log: `log!("…")`, or with a level, `log!(warn, "{count} orders")`.
///
/// The levels are `debug`, `info` (which goes without saying), `warn` and `error`.
#[macro_export]
macro_rules! log {
    (debug, $($message:tt)+) => { $crate::write_log($crate::Level::Debug, &::std::format!($($message)+)) };
    (info, $($message:tt)+) => { $crate::write_log($crate::Level::Info, &::std::format!($($message)+)) };
    (warn, $($message:tt)+) => { $crate::write_log($crate::Level::Warn, &::std::format!($($message)+)) };
    (error, $($message:tt)+) => { $crate::write_log($crate::Level::Error, &::std::format!($($message)+)) };
    ($($message:tt)+) => { $crate::log!(info, $($message)+) };
}

/// Makes a panic's message the last line of the log. Without it the tenant would see a trap and no reason.
pub(crate) fn log_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| write_log(Level::Error, &panic.to_string())));
}
