//! Writes log lines on a thread of its own, so that no other thread blocks on standard error.
//!
//! If standard error is a pipe that is not read, writing to it blocks. Lines are then queued up to a limit.
//! Further lines are dropped and counted; the count is logged when there is room again.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::json;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::access::ACCESS;
use super::json_line::json_line;
use crate::config::LogFormat;
use crate::metrics::logs::DROPPED;

/// The maximum number of queued lines.
const MAX_LINES: usize = 4_096;
/// The maximum size of all queued lines, in bytes.
const MAX_BYTES: usize = 4 << 20;
/// Lines of the access log leave this part of both to others: there are many of them.
const LEFT_TO_OTHERS: usize = 4;
/// How long [`flush`] waits at most.
const MAX_FLUSH: Duration = Duration::from_secs(1);

/// The log of the process, after [`Lines::publish`].
static LOG: OnceLock<Lines> = OnceLock::new();

/// Sends lines to the thread that writes them.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    queue: SyncSender<Vec<u8>>,
    state: Arc<QueueState>,
}

#[derive(Debug, Default)]
struct QueueState {
    counts: Mutex<Counts>,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct Counts {
    lines: usize,
    bytes: usize,
    dropped: u64,
}

impl QueueState {
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that is being formatted. Dropping it sends it to the thread.
#[derive(Debug)]
pub(super) struct Line<'l> {
    text: Vec<u8>,
    is_of_access_log: bool,
    lines: &'l Lines,
}

impl Lines {
    /// Starts the thread that writes to `out`, in which the lines have this format.
    ///
    /// # Errors
    /// Fails if the thread cannot be created.
    pub(super) fn start(out: impl Write + Send + 'static, format: LogFormat) -> io::Result<Self> {
        let (queue, lines) = sync_channel(MAX_LINES);
        let state = Arc::new(QueueState::default());
        let shared = Arc::clone(&state);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_all(&lines, &shared, out, format))?;
        Ok(Self { queue, state })
    }

    /// Makes this the log of the process, which [`flush`] uses.
    pub(super) fn publish(&self) {
        let _ = LOG.set(self.clone());
    }

    fn add(&self, line: Vec<u8>, is_of_access_log: bool) {
        let mut counts = self.state.counts();
        let len = line.len();
        let left = |all: usize| if is_of_access_log { all - all / LEFT_TO_OTHERS } else { all };
        let has_room = counts.lines <= left(MAX_LINES) && counts.bytes + len <= left(MAX_BYTES);
        if has_room && self.queue.try_send(line).is_ok() {
            counts.lines += 1;
            counts.bytes += len;
        } else {
            counts.dropped += 1;
            DROPPED.increment();
        }
    }

    /// Waits until all lines are written, at most for `timeout`.
    fn flush(&self, timeout: Duration) {
        let counts = self.state.counts();
        drop(self.state.drained.wait_timeout_while(counts, timeout, |counts| counts.lines > 0));
    }
}

/// Waits up to one second until all log lines are written. Call it before the process exits.
pub fn flush() {
    if let Some(lines) = LOG.get() {
        lines.flush(MAX_FLUSH);
    }
}

fn write_all(lines: &Receiver<Vec<u8>>, state: &QueueState, mut out: impl Write, format: LogFormat) {
    for line in lines {
        // A line that cannot be written, such as on a full disk, is lost: there is no other place to report
        // it.
        let _ = out.write_all(&line);
        let dropped = std::mem::take(&mut state.counts().dropped);
        if dropped > 0 {
            let message = "log lines were dropped because standard error was read too slowly";
            let _ = match format {
                LogFormat::Text => writeln!(out, "{dropped} {message}"),
                LogFormat::Json => {
                    let line = json_line(tracing::Level::WARN, message, json!({"dropped": dropped}));
                    writeln!(out, "{line}")
                }
            };
        }
        let mut counts = state.counts();
        counts.lines -= 1;
        counts.bytes -= line.len();
        if counts.lines == 0 {
            state.drained.notify_all();
        }
    }
}

impl<'l> MakeWriter<'l> for Lines {
    type Writer = Line<'l>;

    fn make_writer(&'l self) -> Line<'l> {
        Line { text: Vec::new(), is_of_access_log: false, lines: self }
    }

    fn make_writer_for(&'l self, metadata: &Metadata<'_>) -> Line<'l> {
        Line { text: Vec::new(), is_of_access_log: metadata.target() == ACCESS, lines: self }
    }
}

impl Write for Line<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        if !self.text.is_empty() {
            self.lines.add(std::mem::take(&mut self.text), self.is_of_access_log);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    /// Blocks each write until the test releases it, and records the output.
    struct Blocking {
        begun: Sender<()>,
        go: Receiver<()>,
        written: Arc<Mutex<String>>,
    }

    impl Write for Blocking {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            let _ = self.go.recv();
            self.written.lock().unwrap().push_str(std::str::from_utf8(part).unwrap());
            Ok(part.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_are_not_read_do_not_block_and_are_counted() {
        let before = DROPPED.get();
        let written = written_while_blocked(LogFormat::Text);
        let told = "first\n10 log lines were dropped because standard error was read too slowly\nmore\n";
        assert!(written.starts_with(told), "{}", written.chars().take(200).collect::<String>());
        assert!(written.ends_with("more\nlast\n"));
        assert_eq!(written.lines().count(), MAX_LINES + 3);
        assert!(DROPPED.get() >= before + 10);
        let told: serde_json::Value =
            serde_json::from_str(written_while_blocked(LogFormat::Json).lines().nth(1).unwrap()).unwrap();
        assert_eq!((&told["dropped"], &told["level"]), (&json!(10), &json!("WARN")), "{told}");
    }

    /// What is written of ten lines more than the queue has room for.
    fn written_while_blocked(format: LogFormat) -> String {
        let ((begun, has_begun), (let_go, go)) = (channel(), channel());
        let written = Arc::new(Mutex::new(String::new()));
        let lines = Lines::start(Blocking { begun, go, written: Arc::clone(&written) }, format).unwrap();
        let log = |text: &str| writeln!(lines.make_writer(), "{text}").unwrap();
        log("first");
        has_begun.recv().unwrap();
        for _ in 0..MAX_LINES + 10 {
            log("more");
        }
        drop(let_go);
        lines.flush(TIMEOUT);
        log("last");
        lines.flush(TIMEOUT);
        assert_eq!(lines.state.counts().bytes, 0);
        written.lock().unwrap().clone()
    }
}
