//! The nodes, and the PostgreSQL server that they share.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use hookwright::storage::postgres::temporary::{self, TemporaryServer};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::load::Proxy;
use crate::client::Client;
use crate::database::Database;
use crate::program::Program;
use crate::server::Server;

/// The log of nodes: they complain about a database that is killed.
const LOG: (&str, &str) = ("HOOKWRIGHT_LOG", "off");

/// Nodes on a temporary PostgreSQL server that syncs to disk.
pub struct Nodes {
    servers: Vec<Option<Server>>,
    postgres: Arc<TemporaryServer>,
}

impl Nodes {
    pub async fn start(program: &Program, count: usize, per_hook: usize) -> Result<Self> {
        let binaries = temporary::installed()
            .context("this needs the programs of PostgreSQL (Debian: apt-get install postgresql)")?;
        let postgres = TemporaryServer::start(&binaries, true)?;
        let database = Database::on(&postgres.url(), "hookwright_soak").await;
        let per_hook = per_hook.to_string();
        let settings = [LOG, ("HOOKWRIGHT_MAX_IN_FLIGHT_PER_HOOK", per_hook.as_str())];
        let first = Server::start_on(program.clone(), database, &settings).await;
        let mut servers = Vec::new();
        for _ in 1..count {
            servers.push(Some(first.another_node().await));
        }
        servers.insert(0, Some(first));
        Ok(Self { servers, postgres: Arc::new(postgres) })
    }

    pub fn count(&self) -> usize {
        self.servers.len()
    }

    pub fn bases(&self) -> Vec<&str> {
        self.servers.iter().flatten().map(Server::base).collect()
    }

    /// Creates a tenant with these hooks, and waits until all nodes know them.
    pub async fn tenant(&self, hooks: &[Value]) -> Result<Client> {
        let first = self.servers[0].as_ref().context("the first node runs")?;
        let client = first.tenant("soak").await;
        for hook in hooks {
            client.post("/hooks", hook.clone()).await.expect(201);
        }
        for base in self.bases() {
            let client = client.clone().at(base);
            let known = async {
                while client.get("/hooks").await.json()["data"].as_array().map(Vec::len) != Some(hooks.len())
                {
                }
            };
            tokio::time::timeout(crate::TIMEOUT, known).await.context("a node does not know new hooks")?;
        }
        Ok(client)
    }

    /// Kills a node with SIGKILL.
    pub async fn kill(&mut self, node: usize) {
        if let Some(server) = &mut self.servers[node] {
            server.kill().await;
        }
    }

    /// Starts a node that has ended.
    pub async fn restart(&mut self, node: usize, proxy: &Proxy) {
        if let Some(server) = self.servers[node].take() {
            let server = server.restart().await;
            proxy.moved(node, server.base());
            self.servers[node] = Some(server);
        }
    }

    /// Starts all nodes that have ended by themselves, as a supervisor would. Returns how many.
    pub async fn restart_ended(&mut self, proxy: &Proxy) -> u64 {
        let mut ended = 0;
        for node in 0..self.servers.len() {
            if self.servers[node].as_mut().is_some_and(Server::has_ended) {
                self.restart(node, proxy).await;
                ended += 1;
            }
        }
        ended
    }

    /// Stops a node with SIGSTOP, or continues it with SIGCONT.
    pub fn signal(&self, node: usize, signal: Signal) -> Result<()> {
        let id = self.servers[node].as_ref().and_then(Server::process_id).context("the node runs")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        Ok(kill_process(id, signal)?)
    }

    /// Ends PostgreSQL, with SIGKILL or at once without a checkpoint, and starts it.
    pub async fn restart_postgres(&self, with_sigkill: bool) -> Result<()> {
        let postgres = Arc::clone(&self.postgres);
        tokio::task::spawn_blocking(move || {
            if with_sigkill { postgres.kill() } else { postgres.stop() }?;
            postgres.start_again()
        })
        .await??;
        Ok(())
    }

    /// Ends all nodes, then the server.
    pub fn end(self) -> Result<()> {
        drop(self.servers);
        ensure!(Arc::strong_count(&self.postgres) == 1, "the server is in use");
        Ok(())
    }
}
