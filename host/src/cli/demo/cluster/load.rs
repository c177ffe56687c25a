//! Publishes events to all nodes in turn, as a load balancer would.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::ScoreBoard;

/// How many events are published in a second.
pub(super) const RATE: u32 = 100;
/// How long the receiver takes for a request: so a node has some events in memory when it is killed.
pub(super) const RECEIVER_DELAY: Duration = Duration::from_millis(50);
/// The time limit for one request. A killed node refuses connections at once.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How often an event is sent to one node after the other.
const MAX_TRIES: usize = 300;
/// Between the tries.
const PAUSE: Duration = Duration::from_millis(100);

/// Publishes, and keeps the score of what was accepted.
pub(super) struct Publisher {
    client: Client<HttpConnector, Full<Bytes>>,
    nodes: Vec<SocketAddr>,
    key: String,
    next: AtomicUsize,
    scores: ScoreBoard,
}

impl Publisher {
    pub(super) fn new(nodes: Vec<SocketAddr>, key: &str, scores: &ScoreBoard) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, nodes, key: key.to_owned(), next: AtomicUsize::new(0), scores: Arc::clone(scores) }
    }

    async fn send(
        &self,
        node: usize,
        method: Method,
        path: &str,
        kind: &str,
        body: String,
    ) -> Result<StatusCode> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v3{path}", self.nodes[node]))
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", kind)
            .body(Full::new(body.into()))?;
        let exchange = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            response.into_body().collect().await?;
            anyhow::Ok(status)
        };
        tokio::time::timeout(TIMEOUT, exchange).await.context("no response in time").flatten()
    }

    /// Waits until each node knows the hook.
    pub(super) async fn wait_for_hook(&self, hook: &str) -> Result<()> {
        for node in 0..self.nodes.len() {
            let path = format!("/hooks/{hook}");
            let mut tries = 0;
            while self.send(node, Method::GET, &path, "application/json", String::new()).await?
                != StatusCode::OK
            {
                tries += 1;
                if tries == MAX_TRIES {
                    bail!("node {} does not learn of the hook", node + 1);
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Publishes `rate` events a second until `stop`, and returns when all are accepted.
    pub(super) async fn load(self: Arc<Self>, rate: u32, stop: CancellationToken) -> Result<()> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut under_way = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {
                    let this = Arc::clone(&self);
                    under_way.spawn(async move { this.publish().await });
                }
                Some(done) = under_way.join_next() => done??,
            }
        }
        while let Some(done) = under_way.join_next().await {
            done??;
        }
        Ok(())
    }

    /// Publishes one event. Without an answer it goes to the next node, with the same id: it counts once.
    async fn publish(&self) -> Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("demo-{number}");
        let body = json!({"id": id, "type": "demo.event", "data": {"number": number}}).to_string();
        for attempt in 0..MAX_TRIES {
            let node = (number + attempt) % self.nodes.len();
            let sent = self.send(node, Method::POST, "/events", "application/json", body.clone()).await;
            if sent.is_ok_and(|status| status.is_success()) {
                self.scores.lock().accept(id, node);
                return Ok(());
            }
            if attempt >= self.nodes.len() {
                tokio::time::sleep(PAUSE).await;
            }
        }
        bail!("no node accepts events")
    }

    /// Publishes many events to one node, in one request.
    pub(super) async fn burst(&self, node: usize, count: usize) -> Result<()> {
        let ids: Vec<String> = (0..count).map(|number| format!("demo-burst-{number}")).collect();
        let lines =
            ids.iter().map(|id| json!({"id": id, "type": "demo.event", "data": {}}).to_string() + "\n");
        let sent = self.send(node, Method::POST, "/events/batch", "application/x-ndjson", lines.collect());
        let status = sent.await.context("cannot publish a batch")?;
        if !status.is_success() {
            bail!("a batch of events: {status}");
        }
        let mut scores = self.scores.lock();
        for id in ids {
            scores.accept(id, node);
        }
        Ok(())
    }
}
