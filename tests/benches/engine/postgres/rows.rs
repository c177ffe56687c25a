//! Rows (h) to (l): one node, fan-out, two and three nodes, and the latency at half load. Each node has as many publishers as
//! one alone.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use hookwright_tests::{Client, Server, TIMEOUT};
use serde_json::json;

use super::server::{Counters, Database, Postgres};
use crate::WARM_UP;
use crate::engine::{BATCH, EVENT_TYPE, FAN_OUT, binary, cpu_micros, event, latency};
use crate::load::{self, Target};
use crate::sink::Sink;
use crate::table::{Table, median};

/// The key that all nodes of a database have.
const KEY: &str = "dGhlIGtleSBvZiB0ZXN0cywgMzIgYnl0ZXMgbG9uZyE=";
const ROUNDS: usize = 3;
/// How many deliveries wait for their retry.
const RETRIED_AT_ONCE: u64 = 4_096;

/// Number of nodes, and hooks for each event.
const ROWS: [(usize, usize, &str); 4] = [
    (1, 1, "(h) PostgreSQL, one by one"),
    (1, FAN_OUT, "(i) PostgreSQL, batches, 1 event to 10 hooks"),
    (2, 1, "(j) PostgreSQL, one by one, 2 nodes"),
    (3, 1, "(k) PostgreSQL, one by one, 3 nodes"),
];

pub async fn throughput(table: &mut Table) -> Result<()> {
    let postgres = Postgres::start()?;
    let mut rounds: Vec<Vec<Cost>> = Vec::new();
    for round in 1..=ROUNDS {
        let mut costs = Vec::new();
        for (nodes, hooks, name) in ROWS {
            let database = postgres.database("bench")?;
            let sink = Sink::start(None).await?;
            let cluster = Cluster::start(&database, nodes, &sink, hooks).await?;
            let cost = cluster.measure(&sink).await?;
            eprintln!("round {round} of {ROUNDS}: {name}: {}", cost.text());
            costs.push(cost);
        }
        rounds.push(costs);
    }
    for (index, (.., name)) in ROWS.into_iter().enumerate() {
        table.row(name, Cost::median(rounds.iter().map(|costs| costs[index]).collect()).text());
    }
    let rate = median(rounds.iter().map(|costs| costs[0].rate).collect());
    let database = postgres.database("bench")?;
    let name = "(l) PostgreSQL, acceptance to arrival at half load";
    latency(table, name, &settings(&database.url()), rate / 2.0).await
}

/// The settings of a node on a database. A receiver that fails first for each delivery must not open a circuit.
pub fn settings(url: &str) -> [(&str, &str); 3] {
    [
        ("HOOKWRIGHT_DATABASE", url),
        ("HOOKWRIGHT_ENCRYPTION_KEY", KEY),
        ("HOOKWRIGHT_CIRCUIT_FAILURE_PERCENT", "off"),
    ]
}

/// Nodes on one database, with one tenant.
pub struct Cluster<'a> {
    pub database: &'a Database<'a>,
    pub nodes: Vec<Arc<Server>>,
    pub targets: Vec<Target>,
    /// Of each request.
    pub deliveries: u64,
}

impl<'a> Cluster<'a> {
    /// Starts nodes, and makes `hooks` hooks at `sink`. With several hooks, events are posted in batches.
    pub async fn start(database: &'a Database<'a>, nodes: usize, sink: &Sink, hooks: usize) -> Result<Self> {
        let url = database.url();
        let mut servers = Vec::new();
        for _ in 0..nodes {
            servers.push(Arc::new(Server::start_with(binary(), &settings(&url)).await));
        }
        let key = servers[0].tenant_key("bench").await;
        let client = Client::new(servers[0].base(), &key);
        for _ in 0..hooks {
            let hook = json!({"url": format!("http://{}/", sink.address), "types": [EVENT_TYPE]});
            client.post("/hooks", hook).await.expect(201);
        }
        let mut targets = Vec::new();
        for server in &servers {
            let address = server.base().trim_start_matches("http://").parse()?;
            let mut target = Target::new(address, "/api/v3/events", (0..1_024).map(event).collect());
            target.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
            if hooks > 1 {
                target.set_batches();
            }
            targets.push(target);
        }
        let deliveries = if hooks > 1 { BATCH * hooks } else { 1 } as u64;
        let cluster = Self { database, nodes: servers, targets, deliveries };
        cluster.warm_up(sink).await?;
        Ok(cluster)
    }

    /// The first node with another tenant, whose deliveries are retried after a second. There are so many at a time that they
    /// do not wait for one another.
    pub async fn retrying(&self, sink: &Sink) -> Result<Self> {
        let server = Arc::clone(&self.nodes[0]);
        let key = server.tenant_key("retrying").await;
        let hook = json!({
            "url": format!("http://{}/", sink.address), "types": [EVENT_TYPE], "retry": {"schedule_s": [1, 1, 1]}
        });
        Client::new(server.base(), &key).post("/hooks", hook).await.expect(201);
        let address = server.base().trim_start_matches("http://").parse()?;
        let mut target = Target::new(address, "/api/v3/events", (0..1_024).map(event).collect());
        target.headers.push(("authorization".to_owned(), format!("Bearer {key}")));
        target.window = RETRIED_AT_ONCE;
        let cluster =
            Self { database: self.database, nodes: vec![server], targets: vec![target], deliveries: 1 };
        cluster.warm_up(sink).await?;
        Ok(cluster)
    }

    /// Posts to each node until it delivers: it may have to see the hook first.
    async fn warm_up(&self, sink: &Sink) -> Result<()> {
        for target in &self.targets {
            let (before, began) = (sink.arrived(), Instant::now());
            while sink.arrived() == before {
                ensure!(began.elapsed() < TIMEOUT, "nothing arrives");
                // A node that does not know the key yet refuses it.
                let _ = load::paced(target, f64::INFINITY, 1, Arc::new(|_| {})).await;
                tokio::time::sleep(WARM_UP / 10).await;
            }
        }
        Ok(())
    }

    /// Measures the rate, and what each delivery and event costs.
    pub async fn measure(&self, sink: &Sink) -> Result<Cost> {
        let before = (self.database.counters()?, self.cpu_micros(), sink.arrived());
        let rate = load::saturate_all(&self.targets, sink, self.deliveries).await?;
        let after = (self.database.counters()?, self.cpu_micros(), sink.arrived());
        let deliveries = (after.2 - before.2) as f64;
        let events = deliveries / (self.deliveries as f64 / self.events_of_request());
        let each = |of: fn(&Counters) -> f64, number: f64| (of(&after.0) - of(&before.0)) / number;
        Ok(Cost {
            rate,
            node_micros: (after.1 - before.1) / deliveries,
            database_micros: each(|it| it.cpu_micros, deliveries),
            calls: each(|it| it.calls, events),
            log_bytes: each(|it| it.log_bytes, events),
        })
    }

    fn events_of_request(&self) -> f64 {
        if self.deliveries > 1 { BATCH as f64 } else { 1.0 }
    }

    fn cpu_micros(&self) -> f64 {
        self.nodes.iter().map(|node| cpu_micros(node).unwrap_or(f64::NAN)).sum()
    }
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Deliveries per second.
    pub rate: f64,
    /// Processor time of a delivery.
    pub node_micros: f64,
    pub database_micros: f64,
    /// Statements and bytes of log of an event.
    pub calls: f64,
    pub log_bytes: f64,
}

impl Cost {
    /// The median of each figure.
    pub fn median(all: Vec<Self>) -> Self {
        let of = |figure: fn(&Self) -> f64| median(all.iter().map(figure).collect());
        Self {
            rate: of(|it| it.rate),
            node_micros: of(|it| it.node_micros),
            database_micros: of(|it| it.database_micros),
            calls: of(|it| it.calls),
            log_bytes: of(|it| it.log_bytes),
        }
    }

    pub fn text(&self) -> String {
        let Self { rate, node_micros, database_micros, calls, log_bytes } = self;
        format!(
            "{rate:9.0} deliveries/s  {node_micros:5.1} µs of processor each, {database_micros:5.1} µs of the database's; \
             {calls:.3} round trips and {log_bytes:.0} bytes of log for an event"
        )
    }
}
