//! `hookwright demo --nodes 3`: nodes on one PostgreSQL under load. One is killed.
//!
//! The server is a temporary one, started from the installed programs. Each node is a process of this program. Events go to the
//! nodes in turn, as from a load balancer; one that gets no answer is sent to another node with the same id.

mod load;
mod node;
mod scores;
mod show;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tempfile::TempDir;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::{Api, text};
use super::as_tenant;
use super::receiver::{Arrival, Receiver};
use crate::cli::exit::BadInput;
use crate::clock;
use crate::storage::postgres::temporary::{self, TemporaryServer};

use load::{Publisher, RATE, RECEIVER_DELAY};
use node::{Node, Settings};
use scores::{ScoreBoard, Scores};
use show::Row;

/// How many events the node accepts right before it is killed.
const BURST: usize = 300;
/// The node that is killed, counted from 0.
const VICTIM: usize = 1;
/// After so many seconds of load.
const KILL_AFTER: u64 = 3;
/// How long load goes on after the last event of the killed node.
const LOAD_AFTER: Duration = Duration::from_secs(2);
/// How long all of it may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What to install.
const MISSING: &str = "the demo of several nodes needs PostgreSQL, and there are no programs of it (initdb, pg_ctl) in the path.
  Debian, Ubuntu   apt-get install postgresql
  Fedora           dnf install postgresql-server
  macOS            brew install postgresql@17; export PATH=\"$(brew --prefix postgresql@17)/bin:$PATH\"";

/// Runs the demo with so many nodes. Whatever happens, nothing is left.
pub(in super::super) async fn run(nodes: usize, out: &mut impl Write) -> Result<()> {
    let Some(binaries) = temporary::installed() else { return Err(BadInput(MISSING.to_owned()).into()) };
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let directory = TempDir::with_prefix("hookwright-demo-").context("cannot create a directory")?;
    show::starting(out, nodes)?;
    let server = tokio::task::spawn_blocking(move || TemporaryServer::start(&binaries, true)).await?;
    let server = server.context("cannot start PostgreSQL")?;
    let mut running = Vec::new();
    let shown = tokio::select! {
        shown = show_all(&server, nodes, &directory, &mut running, out) => shown,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow::anyhow!("interrupted")),
    };
    for node in &running {
        node.terminate();
    }
    for node in &mut running {
        node.ended().await;
    }
    tokio::task::spawn_blocking(move || drop(server)).await?;
    directory.close().context("cannot remove the demo's directory")?;
    show::removed(out)?;
    shown
}

async fn show_all(
    server: &TemporaryServer,
    count: usize,
    directory: &TempDir,
    nodes: &mut Vec<Node>,
    out: &mut impl Write,
) -> Result<()> {
    temporary::create_database(&server.url(), "hookwright").await.context("cannot create a database")?;
    let settings = Settings::new(format!("{}/hookwright", server.url()));
    for number in 1..=count {
        nodes.push(Node::start(number, &settings, directory.path()).await?);
    }
    let mut receiver = Receiver::bind().await?.with_delay(RECEIVER_DELAY);
    let address = receiver.address()?;
    let api = as_tenant(Api::new(nodes[0].address, &settings.admin_key)?, "demo.example").await?;
    let hook = json!({"url": format!("http://{address}/"), "types": ["*"]});
    let id = text(&api.post("/hooks", &hook).await?, "id")?.to_owned();
    receiver.expect("/".to_owned(), text(&api.get(&format!("/hooks/{id}/secret")).await?, "secret")?)?;
    let (sender, mut arrivals) = mpsc::channel::<Arrival>(256);
    let serving = tokio::spawn(receiver.serve(sender));
    let scores = Scores::shared();
    let scoring = Arc::clone(&scores);
    let counting = tokio::spawn(async move {
        while let Some(arrival) = arrivals.recv().await {
            scoring.lock().arrived(&arrival);
        }
    });
    let publisher =
        Arc::new(Publisher::new(nodes.iter().map(|node| node.address).collect(), api.key(), &scores));
    publisher.wait_for_hook(&id).await?;
    show::introduction(out, nodes, address)?;
    let story = Story { publisher, scores: Arc::clone(&scores), began: clock::monotonic() };
    let told = story.tell(nodes, out).await;
    counting.abort();
    serving.abort();
    told?;
    let result = scores.lock().result(VICTIM);
    show::result(out, &result)?;
    if !result.is_complete() {
        bail!("some events were lost or arrived without a valid signature");
    }
    Ok(())
}

/// Load, a kill, and a line for each second.
struct Story {
    publisher: Arc<Publisher>,
    scores: ScoreBoard,
    began: Instant,
}

impl Story {
    async fn tell(&self, nodes: &mut [Node], out: &mut impl Write) -> Result<()> {
        let stop = CancellationToken::new();
        let load = tokio::spawn(Arc::clone(&self.publisher).load(RATE, stop.clone()));
        let _ends_with_this = stop.clone().drop_guard();
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        seconds.tick().await;
        let mut said = false;
        for second in 1_u64.. {
            seconds.tick().await;
            let row = self.row(second, nodes);
            let on_the_way = row.on_the_way();
            show::row(out, &row)?;
            if second == KILL_AFTER {
                self.publisher.burst(VICTIM, BURST).await?;
                let process = nodes[VICTIM].kill().await?;
                self.scores.lock().kill();
                show::killed(out, VICTIM + 1, BURST, process)?;
            }
            let since = self.scores.lock().since_takeover(VICTIM);
            if let Some(since) = since {
                if !said {
                    show::taken_over(out, VICTIM + 1)?;
                    said = true;
                }
                if since >= LOAD_AFTER {
                    stop.cancel();
                }
            }
            if load.is_finished() && on_the_way == 0 {
                return Ok(());
            }
            if clock::elapsed(self.began) > TIMEOUT {
                bail!("{on_the_way} events did not arrive within {} s", TIMEOUT.as_secs());
            }
        }
        Ok(())
    }

    fn row(&self, second: u64, nodes: &[Node]) -> Row {
        let scores = self.scores.lock();
        let alive = nodes.iter().map(Node::is_alive).collect();
        Row { second, accepted: scores.accepted(), arrived: scores.arrived_once(), alive }
    }
}
