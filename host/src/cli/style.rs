//! The styles of the output.

use anstyle::{AnsiColor, Reset, Style};

/// Success.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Dropped events and warnings in a plugin's log.
pub(super) const MUTED: Style = AnsiColor::Yellow.on_default();
/// Failures, and limits that were reached.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Headings.
pub(super) const HEAD: Style = Style::new().bold();
/// Secondary details.
pub(super) const FAINT: Style = Style::new().dimmed();
/// Resets the style.
pub(super) const PLAIN: Reset = Reset;
