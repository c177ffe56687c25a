//! The log of a step, and its limits.

use crate::domain::attempt::{LogLevel, LogLine};

use super::limits::{Count, Limits, shortened};

/// Log of one step. When it is full, further lines are only counted.
#[derive(Debug, Clone, Default)]
pub(super) struct LogSink {
    lines: Vec<LogLine>,
    room: usize,
    line_bytes: usize,
    lost: u64,
    partial: [Vec<u8>; 2],
}

/// Minimum cost of a line, in bytes, so that empty lines fill a log too.
const LINE_COST: usize = 16;

/// An output stream of a WASI program.
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

    /// Maximum length of a message, in bytes. Longer messages are cut.
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

    /// Adds output of a WASI program: one log line per line of text.
    pub(super) fn write_stdio(&mut self, stdio: Stdio, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line(stdio);
                continue;
            }
            // Keep one byte more than the limit, so that `write` sees that the line was cut.
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

    /// Ends lines that a call left without a line feed.
    pub(super) fn end_call(&mut self) {
        for stdio in [Stdio::Out, Stdio::Err] {
            if !self.partial[stdio as usize].is_empty() {
                self.end_line(stdio);
            }
        }
    }

    pub(super) fn into_lines(mut self) -> Vec<LogLine> {
        if self.lost > 0 {
            let message = format!("the log is full: {} more lines were discarded", Count(self.lost));
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
    fn a_full_log_reports_the_number_of_discarded_lines() {
        let mut logs = sink();
        for _ in 0..10 {
            logs.write(LogLevel::Info, "");
        }
        let lines = logs.into_lines();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4].message, "the log is full: 6 more lines were discarded");
    }

    #[test]
    fn a_long_line_is_cut_at_a_character_boundary() {
        let mut logs = sink();
        logs.write(LogLevel::Info, "ääääääääääääääää");
        assert_eq!(logs.into_lines()[0].message, "ääääääää…");
    }

    #[test]
    fn output_becomes_log_lines() {
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
