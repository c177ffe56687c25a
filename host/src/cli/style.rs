//! The few colours of the output.

use anstyle::{AnsiColor, Reset, Style};

/// What went well.
pub(super) const GOOD: Style = AnsiColor::Green.on_default().bold();
/// What was left out.
pub(super) const MUTED: Style = AnsiColor::Yellow.on_default();
/// What failed or went over a limit.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// Headings.
pub(super) const HEAD: Style = Style::new().bold();
/// What is there for completeness.
pub(super) const FAINT: Style = Style::new().dimmed();
/// Back to normal.
pub(super) const PLAIN: Reset = Reset;
