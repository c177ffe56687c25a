//! How far a move is, on standard error.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::clock;
use crate::sandbox::Count;
use crate::storage::transfer::Progress;

/// How often a terminal's line changes, at most.
const EVERY: Duration = Duration::from_millis(100);

/// One line that changes on a terminal; elsewhere, a line for each kind of row.
pub(super) struct ProgressLine {
    is_terminal: bool,
    shown: Option<(Progress, Instant)>,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), shown: None }
    }

    pub(super) fn show(&mut self, progress: Progress) {
        let is_new = self.shown.is_none_or(|(shown, _)| shown.what != progress.what);
        let is_complete = progress.done == progress.all;
        let Progress { what, done, all } = progress;
        let text = format!("{what}: {} of {}", Count(done), Count(all));
        // An error of standard error cannot be reported anywhere.
        if self.is_terminal {
            let is_due = self.shown.is_none_or(|(_, at)| clock::elapsed(at) >= EVERY);
            if is_new || is_complete || is_due {
                let _ = write!(io::stderr(), "\r\x1b[K{text}");
                self.shown = Some((progress, clock::monotonic()));
            }
        } else if is_complete && self.shown.is_none_or(|(shown, _)| shown != progress) {
            let _ = writeln!(io::stderr(), "{text}");
            self.shown = Some((progress, clock::monotonic()));
        }
    }

    /// Removes a terminal's line.
    pub(super) fn end(&self) {
        if self.is_terminal && self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
