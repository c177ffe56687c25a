//! The listeners of the API and of the operator.

mod access_log;
mod admin;
mod certificates;
mod log_lines;
mod readiness;
mod reload;
mod supervisor;
mod tls;

use std::process::Output;

use hookwright_tests::{TIMEOUT, scratch};

use crate::BINARY;

/// Starts an engine that must not start, with these settings as environment variables, and returns what it wrote.
async fn refused(settings: &[(&str, &str)]) -> String {
    let dir = scratch::directory();
    let mut command = BINARY.command();
    command.args(["serve", "--data-dir"]).arg(dir.path().join("data"));
    command.envs([("HOOKWRIGHT_LISTEN", "127.0.0.1:0"), ("HOOKWRIGHT_ADMIN_LISTEN", "off")]);
    command.envs(settings.iter().copied()).kill_on_drop(true);
    let ended = tokio::time::timeout(TIMEOUT, command.output()).await.expect("it ends in time");
    let Output { status, stdout, stderr } = ended.expect("it starts");
    assert!(!status.success(), "it started: {}", String::from_utf8_lossy(&stdout));
    String::from_utf8_lossy(&stderr).into_owned()
}
