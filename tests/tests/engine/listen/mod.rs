//! `hookwright listen`.

mod breaks;
mod forward;
mod lines;
mod screen;

use std::process::Stdio;

use hookwright_tests::TIMEOUT;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use crate::BINARY;

/// A command whose output is piped.
struct Listener {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Listener {
    /// Starts it with these options, and waits until it is connected.
    async fn start(base: &str, key: &str, options: &[&str]) -> Self {
        let mut listener = Self::spawn(base, key, options);
        listener.line_with("connected").await;
        listener
    }

    fn spawn(base: &str, key: &str, options: &[&str]) -> Self {
        let mut child = BINARY
            .command()
            .arg("listen")
            .args(options)
            .env("HOOKWRIGHT_URL", base)
            .env("HOOKWRIGHT_KEY", key)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line; `None` at the end.
    async fn line(&mut self) -> Option<String> {
        tokio::time::timeout(TIMEOUT, self.lines.next_line()).await.expect("a line in time").unwrap()
    }

    /// The next line that contains `text`.
    async fn line_with(&mut self, text: &str) -> String {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("it ended before a line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The next object of this kind.
    async fn object(&mut self, kind: &str) -> Value {
        loop {
            let line = self.line().await.unwrap_or_else(|| panic!("it ended before {kind}"));
            let object: Value = serde_json::from_str(&line).unwrap();
            if object["kind"] == kind {
                return object;
            }
        }
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(tokio::process::Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Waits for its end. Returns the exit code, and what it wrote to standard error.
    async fn end(mut self) -> (Option<i32>, String) {
        let mut error = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        drop(self.lines);
        let ended = async {
            stderr.read_to_string(&mut error).await.unwrap();
            self.child.wait().await.unwrap().code()
        };
        let code = tokio::time::timeout(TIMEOUT, ended).await.expect("it ends in time");
        (code, error)
    }
}
