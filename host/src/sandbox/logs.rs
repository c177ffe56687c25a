//! What a step logs, within its bounds.

use crate::domain::attempt::{LogLevel, LogLine};

use super::limits::{Count, Limits, shortened};

/// The log of one step. When it is full, lines are counted and no longer kept.
#[derive(Debug, Clone, Default)]
pub(super) struct LogSink {
    lines: Vec<LogLine>,
    room: usize,
    line_bytes: usize,
    lost: u64,
    partial: [Vec<u8>; 2],
}

/// The smallest price of a line, in bytes, so that empty lines fill a log too.
const LINE_COST: usize = 16;

/// Where a WASI program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stdio {
    Out,
    Err,
}

impl Stdio {
    fn level(self) -> LogLevel {
        match self {
            Self::Out => LogLevel::Info,
            Self::Err => LogLevel::Warn,
        }
    }
}

impl LogSink {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { room: limits.log_bytes, line_bytes: limits.log_line_bytes, ..Self::default() }
    }

    /// The longest message that is kept whole, in bytes.
    pub(super) fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    pub(super) fn write(&mut self, level: LogLevel, message: &str) {
        let message = shortened(message, self.line_bytes);
        let cost = message.len().max(LINE_COST);
        if cost > self.room {
            self.room = 0;
            self.lost += 1;
            return;
        }
        self.room -= cost;
        self.lines.push(LogLine { level, message });
    }

    /// What a WASI program writes, a line of log for each line of text.
    pub(super) fn write_stdio(&mut self, stdio: Stdio, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(stdio);
                continue;
            }
            // One byte more than is kept shows that something is missing.
            let partial = &mut self.partial[stdio as usize];
            if partial.len() <= self.line_bytes {
                partial.push(byte);
            }
        }
    }

    fn end_line(&mut self, stdio: Stdio) {
        let line = std::mem::take(&mut self.partial[stdio as usize]);
        self.write(stdio.level(), &String::from_utf8_lossy(&line));
    }

    /// What one role's call wrote last without an end of line.
    pub(super) fn end_call(&mut self) {
        for stdio in [Stdio::Out, Stdio::Err] {
            if !self.partial[stdio as usize].is_empty() {
                self.end_line(stdio);
            }
        }
    }

    pub(super) fn into_lines(mut self) -> Vec<LogLine> {
        if self.lost > 0 {
            let message = format!("the log is full: {} more lines were not kept", Count(self.lost));
            self.lines.push(LogLine { level: LogLevel::Warn, message });
        }
        self.lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sink() -> LogSink {
        LogSink::new(&Limits { log_bytes: 64, log_line_bytes: 20, ..Limits::default() })
    }

    #[test]
    fn a_full_log_says_how_many_lines_it_lost() {
        let mut logs = sink();
        for _ in 0..10 {
            logs.write(LogLevel::Info, "");
        }
        let lines = logs.into_lines();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4].message, "the log is full: 6 more lines were not kept");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let mut logs = sink();
        logs.write(LogLevel::Info, "ääääääääääääääää");
        assert_eq!(logs.into_lines()[0].message, "ääääääää…");
    }

    #[test]
    fn text_on_standard_output_becomes_lines() {
        let mut logs = sink();
        logs.write_stdio(Stdio::Out, b"one\ntw");
        logs.write_stdio(Stdio::Err, b"bad\n");
        logs.write_stdio(Stdio::Out, b"o\n\xff");
        logs.end_call();
        let lines: Vec<_> = logs.into_lines().into_iter().map(|line| (line.level, line.message)).collect();
        assert_eq!(
            lines,
            [
                (LogLevel::Info, "one".to_owned()),
                (LogLevel::Warn, "bad".to_owned()),
                (LogLevel::Info, "two".to_owned()),
                (LogLevel::Info, "\u{fffd}".to_owned()),
            ]
        );
    }
}
