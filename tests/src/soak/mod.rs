//! A proof that nothing is lost: several nodes on one PostgreSQL server that syncs to disk, under load, while nodes and the
//! server are killed and nodes are stopped.
//!
//! The receiver keeps the score. The order of disruptions follows from a seed.

mod load;
mod nodes;
mod ordered;
mod receiver;
mod report;
mod score;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use load::Proxy;
use nodes::Nodes;
use receiver::Receiver;
pub use report::Report;
use score::Score;

use crate::program::Program;

/// Number of hooks. Some have a receiver of their own kind.
const HOOKS: usize = 6;
/// Its receiver takes its time.
const SLOW: usize = 3;
/// Its receiver fails at times.
const FAILING: usize = 4;
/// Its receiver does not respond before a node dies, so that the node holds deliveries.
const HELD: usize = 5;
/// The hook whose deliveries are in order. Its receiver fails at times. Its events are posted by clients of their own.
const ORDERED: usize = HOOKS;
/// Concurrent requests to a hook.
const PER_HOOK: usize = 12;
/// How many deliveries a node holds, at least, when it dies for good.
const HELD_AT_DEATH: usize = 20;
/// A record is stored within this time, if the database is there.
const RECORDED_WITHIN: Duration = Duration::from_secs(2);
/// How many events are accepted between two disruptions, at least.
const EVENTS_BETWEEN: u64 = 40;

/// What is done to the nodes.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Number of nodes.
    pub nodes: usize,
    /// Events a second.
    pub rate: u32,
    /// Number of ordering keys.
    pub keys: usize,
    /// Events with ordering keys a second.
    pub ordered_rate: u32,
    /// How often a node is killed with SIGKILL and started again.
    pub kills: u64,
    /// How often a node is killed, and started again when others have taken over what it held.
    pub deaths: u64,
    /// How often PostgreSQL is killed and started, alternately with SIGKILL and at once without a checkpoint.
    pub postgres_kills: u64,
    /// How often a node is stopped with SIGSTOP and continued.
    pub pauses: u64,
    /// For how long.
    pub pause: Duration,
    /// From which the order of disruptions follows.
    pub seed: u64,
    /// Is told each disruption.
    pub progress: fn(&str),
}

#[derive(Debug, Clone, Copy)]
enum Disruption {
    Kill,
    Death,
    PostgresKill,
    Pause,
}

struct Soak {
    scenario: Scenario,
    nodes: Nodes,
    proxy: Arc<Proxy>,
    score: Arc<Score>,
    receiver: Receiver,
    random: u64,
    /// From when to when records may be lost.
    disrupted: Vec<(Instant, Instant)>,
    report: Report,
}

/// Runs `scenario` with nodes of `program`.
///
/// # Errors
/// If the nodes or the server cannot be started, or a node does not accept events again in time.
pub async fn run(program: Program, scenario: Scenario) -> Result<Report> {
    let began = Instant::now();
    let score = Arc::new(Score::default());
    let receiver = Receiver::start(Arc::clone(&score)).await?;
    let nodes = Nodes::start(&program, scenario.nodes, PER_HOOK).await?;
    let schedule = [1; 20];
    let hook = |hook: usize| {
        json!({
            "url": format!("http://{}/{hook}", receiver.address),
            "types": ["all", format!("to.{hook}")],
            "retry": {"schedule_s": schedule},
        })
    };
    let mut hooks: Vec<_> = (0..=ORDERED).map(hook).collect();
    hooks[ORDERED]["types"] = json!([format!("to.{ORDERED}")]);
    hooks[ORDERED]["ordering"] = json!("key");
    let client = nodes.tenant(&hooks).await?;
    let proxy = Proxy::new(client, &nodes.bases(), Arc::clone(&score));
    let (random, report) =
        (scenario.seed.max(1), Report { seed: scenario.seed, limit: PER_HOOK, ..Report::default() });
    let mut soak = Soak { scenario, nodes, proxy, score, receiver, random, disrupted: Vec::new(), report };
    let mut clients = soak.proxy.start(soak.scenario.rate);
    ordered::start(&soak.proxy, soak.scenario.keys, soak.scenario.ordered_rate, &mut clients);
    soak.disrupt().await?;
    soak.proxy.stop();
    clients.join_all().await;
    soak.finish(began).await
}

impl Soak {
    async fn disrupt(&mut self) -> Result<()> {
        let mut done = 0;
        for disruption in self.order() {
            self.accept_more(None).await?;
            let node = self.below(self.nodes.count());
            done += 1;
            (self.scenario.progress)(&format!("{done}: {disruption:?}, node {node}"));
            match disruption {
                Disruption::Kill => self.kill(node).await?,
                Disruption::Death => self.die(node).await?,
                Disruption::PostgresKill => self.kill_postgres().await?,
                Disruption::Pause => self.pause(node).await?,
            }
        }
        self.accept_more(None).await
    }

    /// All disruptions of the scenario, shuffled.
    fn order(&mut self) -> Vec<Disruption> {
        let mut all = Vec::new();
        for (count, disruption) in [
            (self.scenario.kills, Disruption::Kill),
            (self.scenario.deaths, Disruption::Death),
            (self.scenario.postgres_kills, Disruption::PostgresKill),
            (self.scenario.pauses, Disruption::Pause),
        ] {
            all.extend((0..count).map(|_| disruption));
        }
        for at in (1..all.len()).rev() {
            let other = self.below(at + 1);
            all.swap(at, other);
        }
        all
    }

    /// A pseudo-random number (xorshift).
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) as usize % end
    }

    async fn kill(&mut self, node: usize) -> Result<()> {
        let began = self.begin();
        self.nodes.kill(node).await;
        self.end(began);
        self.nodes.restart(node, &self.proxy).await;
        self.report.kills += 1;
        self.accept_more(Some(node)).await
    }

    async fn die(&mut self, node: usize) -> Result<()> {
        self.receiver.hold(true);
        let holds = |score: &Score| held_by(score, node).len() >= HELD_AT_DEATH;
        let holds = self.score.wait(crate::TIMEOUT, holds).await;
        ensure!(holds, "node {node} does not accept enough events for the held hook");
        let began = self.begin();
        self.nodes.kill(node).await;
        let died = Instant::now();
        let held = held_by(&self.score, node);
        self.receiver.hold(false);
        self.end(began);
        let arrives = self.score.wait(crate::TIMEOUT, |score| score.any_arrived(&held)).await;
        ensure!(arrives, "nothing of what node {node} held arrives elsewhere");
        self.report.takeovers.push(died.elapsed());
        self.nodes.restart(node, &self.proxy).await;
        self.report.deaths += 1;
        self.accept_more(Some(node)).await
    }

    async fn kill_postgres(&mut self) -> Result<()> {
        let began = self.begin();
        self.nodes.restart_postgres(self.report.postgres_kills.is_multiple_of(2)).await?;
        let started = Instant::now();
        self.report.postgres_kills += 1;
        let before = self.score.all_accepted();
        self.until(|score| score.all_accepted() > before).await?;
        self.report.recoveries.push(started.elapsed());
        for node in 0..self.nodes.count() {
            self.accept_more(Some(node)).await?;
        }
        self.end(began);
        Ok(())
    }

    async fn pause(&mut self, node: usize) -> Result<()> {
        let began = self.begin();
        self.nodes.signal(node, Signal::STOP)?;
        // The nodes' clocks cannot be moved from here.
        tokio::time::sleep(self.scenario.pause).await;
        self.nodes.signal(node, Signal::CONT)?;
        self.report.pauses += 1;
        let accepted = self.accept_more(Some(node)).await;
        self.end(began);
        accepted
    }

    /// Waits until some more events are accepted, by `node` if there is one.
    async fn accept_more(&mut self, node: Option<usize>) -> Result<()> {
        let count = move |score: &Score| node.map_or(score.all_accepted(), |node| score.accepted_by(node));
        let enough = count(&self.score) + if node.is_some() { EVENTS_BETWEEN / 10 } else { EVENTS_BETWEEN };
        self.until(|score| count(score) >= enough).await
    }

    /// Waits for `condition`, and starts nodes that end meanwhile.
    async fn until(&mut self, condition: impl Fn(&Score) -> bool) -> Result<()> {
        let began = Instant::now();
        while !self.score.wait(Duration::from_millis(100), &condition).await {
            self.report.exits += self.nodes.restart_ended(&self.proxy).await;
            ensure!(
                began.elapsed() < crate::TIMEOUT,
                "no events are accepted; answers: {:?}",
                self.proxy.answers()
            );
        }
        Ok(())
    }

    fn begin(&mut self) -> Instant {
        self.report.in_flight += self.score.in_flight(RECORDED_WITHIN);
        Instant::now()
    }

    fn end(&mut self, began: Instant) {
        self.disrupted.push((began, Instant::now()));
    }

    /// Describes deliveries that did not arrive: who accepted them, when, and what the API says.
    async fn lost(&self) -> Vec<String> {
        let mut all = Vec::new();
        for delivery in self.score.missing(None).into_iter().take(DESCRIBED) {
            let Some((node, event, accepted)) = self.score.origin(delivery) else { continue };
            let before = self.disrupted.iter().rposition(|(from, _)| *from <= accepted);
            let after = before.map(|at| accepted.duration_since(self.disrupted[at].0));
            let shown = self.proxy.deliveries(&event).await;
            all.push(format!(
                "{event} to hook {}, accepted by node {node} {after:?} after disruption {before:?}: {shown}",
                delivery.1
            ));
        }
        all
    }

    async fn finish(mut self, began: Instant) -> Result<Report> {
        let arrived = |score: &Score| score.missing(None).is_empty();
        // Each arrival extends the time: only a standstill ends the wait.
        loop {
            let (_, before) = self.score.deliveries();
            if self.score.wait(crate::TIMEOUT / 2, arrived).await || self.score.deliveries().1 == before {
                break;
            }
        }
        let mut report = std::mem::take(&mut self.report);
        report.lost = self.lost().await;
        report.events = self.score.all_accepted();
        (report.deliveries, report.delivered) = self.score.deliveries();
        for first in self.score.duplicates() {
            report.duplicates += 1;
            let reason = self
                .disrupted
                .iter()
                .find(|(from, to)| first + RECORDED_WITHIN >= *from && first <= *to + RECORDED_WITHIN);
            match reason {
                None => report.unexplained += 1,
                Some((from, _)) => {
                    report.oldest_duplicate =
                        report.oldest_duplicate.max(from.saturating_duration_since(first));
                }
            }
        }
        report.most_in_progress = self.score.most_in_progress();
        (report.ordered, report.out_of_order) = self.score.order();
        report.answers = self.proxy.answers();
        report.unanswered = self.proxy.unanswered();
        report.took = began.elapsed();
        self.nodes.end().context("the nodes cannot be ended")?;
        Ok(report)
    }
}

/// How many lost deliveries are described.
const DESCRIBED: usize = 5;

/// Deliveries to the held hook that a node accepted and that did not arrive.
fn held_by(score: &Score, node: usize) -> Vec<score::Delivery> {
    score.missing(Some(node)).into_iter().filter(|(_, hook)| *hook == HELD).collect()
}
