//! The log of an engine, line by line.

use std::io::{BufRead as _, BufReader, PipeReader};

use hookwright_tests::{Program, Server, TIMEOUT};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

pub(super) struct LogLines(UnboundedReceiver<String>);

impl LogLines {
    /// Starts an engine that logs what `info` does, with these settings.
    pub(super) async fn of(program: Program, settings: &[(&str, &str)]) -> (Server, Self) {
        let (reader, log) = std::io::pipe().unwrap();
        // An empty variable counts as absent.
        let settings = [&[("HOOKWRIGHT_LOG", "")], settings].concat();
        let server = Server::start_logging_to(program, &settings, log).await;
        (server, Self::read(reader))
    }

    fn read(reader: PipeReader) -> Self {
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self(lines)
    }

    /// Waits for a line with this text, and returns it and all before it that were not waited for.
    pub(super) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let reading = async {
            while let Some(line) = self.0.recv().await {
                let is_wanted = line.contains(text);
                lines.push(line);
                if is_wanted {
                    return true;
                }
            }
            false
        };
        let found = tokio::time::timeout(TIMEOUT, reading).await;
        assert_eq!(found, Ok(true), "`{text}` is not in {lines:#?}");
        lines
    }
}
