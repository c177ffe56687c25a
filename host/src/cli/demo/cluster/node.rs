//! A node: a process of this program.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::config::process_variables;
use crate::directory::new_key_text;
use crate::random;

/// How long a node may take to start, and to end.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What all nodes have in common.
pub(super) struct Settings {
    database: String,
    pub(super) admin_key: String,
    encryption_key: String,
}

impl Settings {
    pub(super) fn new(database: String) -> Self {
        let encryption_key = STANDARD.encode(random::secret_bytes::<32>());
        Self { database, admin_key: new_key_text(), encryption_key }
    }
}

/// A node. It is killed when this is dropped.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) process: u32,
    child: Option<Child>,
}

impl Node {
    /// Starts one, and waits until it listens.
    pub(super) async fn start(number: usize, settings: &Settings, directory: &Path) -> Result<Self> {
        let program = std::env::current_exe().context("cannot tell which program this is")?;
        let mut command = Command::new(program);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir"]);
        command.arg(directory.join(format!("node-{number}")));
        for variable in process_variables().filter(|name| name.starts_with("HOOKWRIGHT_")) {
            command.env_remove(variable);
        }
        command.env("HOOKWRIGHT_DATABASE", &settings.database);
        command.env("HOOKWRIGHT_DATABASE_CONNECTIONS", "8");
        command.env("HOOKWRIGHT_ADMIN_KEY", &settings.admin_key);
        command.env("HOOKWRIGHT_ENCRYPTION_KEY", &settings.encryption_key);
        command.env("HOOKWRIGHT_EGRESS_ALLOW", "127.0.0.0/8");
        command.env("HOOKWRIGHT_LOG", "error");
        // In a group of its own: Ctrl-C is for the demo, which then ends the nodes in order.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a node")?;
        let stdout = child.stdout.take().context("a node has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, address)) = line.split_once("listening on  http://") {
                    return address.trim().parse().context("a node listens on an unknown address");
                }
            }
            anyhow::bail!("it ended; its error is above")
        };
        let address =
            tokio::time::timeout(TIMEOUT, address).await.context("it is not ready in time").flatten();
        let address = address.with_context(|| format!("node {number} does not start"))?;
        // The pipe stays open, and never fills.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let process = child.id().unwrap_or_default();
        Ok(Self { address, process, child: Some(child) })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.child.is_some()
    }

    /// Kills it with SIGKILL. Returns the number of the process.
    pub(super) async fn kill(&mut self) -> Result<u32> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("cannot kill a node")?;
        }
        Ok(self.process)
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        let id = self.child.as_ref().and_then(Child::id).and_then(|id| i32::try_from(id).ok());
        if let Some(process) = id.and_then(rustix::process::Pid::from_raw) {
            // One that has just ended is what is asked for.
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
    }

    /// Waits for its end, and kills it if that takes too long.
    pub(super) async fn ended(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if tokio::time::timeout(TIMEOUT, child.wait()).await.is_err() {
            let _ = child.kill().await;
        }
    }
}
