//! Clients that post to the nodes through a proxy: it switches to another node if one fails.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::HOOKS;
use super::score::Score;
use crate::client::Client;

/// Concurrent clients.
const CLIENTS: usize = 16;
/// How long the proxy waits for a node.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the proxy passes over a node that failed.
const PASSED_OVER: Duration = Duration::from_millis(200);
/// One of this many events goes to all hooks.
const TO_ALL_EVERY: u64 = 10;

/// The proxy's view of the nodes, and what they answered.
pub struct Proxy {
    client: Client,
    nodes: Vec<Mutex<Upstream>>,
    next: AtomicUsize,
    numbers: AtomicU64,
    stopped: AtomicBool,
    score: Arc<Score>,
    answers: Mutex<BTreeMap<u16, (u64, String)>>,
    unanswered: AtomicU64,
}

struct Upstream {
    base: String,
    failed_at: Option<Instant>,
}

impl Proxy {
    pub fn new(client: Client, bases: &[&str], score: Arc<Score>) -> Arc<Self> {
        let node = |base: &&str| Mutex::new(Upstream { base: (*base).to_owned(), failed_at: None });
        Arc::new(Self {
            client,
            nodes: bases.iter().map(node).collect(),
            next: AtomicUsize::new(0),
            numbers: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            score,
            answers: Mutex::default(),
            unanswered: AtomicU64::new(0),
        })
    }

    /// Sets the address of a node that was started again.
    pub fn moved(&self, node: usize, base: &str) {
        let mut upstream = self.nodes[node].lock().unwrap_or_else(PoisonError::into_inner);
        *upstream = Upstream { base: base.to_owned(), failed_at: None };
    }

    /// The deliveries of an event, as a node shows them.
    pub async fn deliveries(&self, event: &str) -> String {
        let (_, base) = self.next();
        let path = format!("/api/v3/events/{event}/deliveries");
        match self.client.clone().at(&base).try_send("GET", &path, "", &[]).await {
            Ok(response) => String::from_utf8_lossy(&response.bytes).into_owned(),
            Err(error) => format!("{error:#}"),
        }
    }

    /// The answers so far: the status, how many there were, and the body of the first.
    pub fn answers(&self) -> BTreeMap<u16, (u64, String)> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many posts had no answer, because the node ended or hung.
    pub fn unanswered(&self) -> u64 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// Starts to post `rate` events a second.
    pub fn start(self: &Arc<Self>, rate: u32) -> JoinSet<()> {
        let mut clients = JoinSet::new();
        let period = Duration::from_secs(1) * CLIENTS as u32 / rate.max(1);
        for _ in 0..CLIENTS {
            let proxy = Arc::clone(self);
            clients.spawn(async move {
                let mut ticks = tokio::time::interval(period);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !proxy.stopped.load(Ordering::Relaxed) {
                    ticks.tick().await;
                    proxy.post().await;
                }
            });
        }
        clients
    }

    /// Ends the clients after their current post.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    /// A number for an event.
    pub fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether clients end after their current post.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    async fn post(&self) {
        let number = self.number();
        let to_all = number.is_multiple_of(TO_ALL_EVERY);
        let one = [(number / 3) as usize % HOOKS];
        let all: Vec<usize> = (0..HOOKS).collect();
        let (event_type, hooks) =
            if to_all { ("all".to_owned(), &all[..]) } else { (format!("to.{}", one[0]), &one[..]) };
        let body =
            json!({"type": event_type, "data": {"number": number, "note": "x".repeat(300)}}).to_string();
        self.send(number, hooks, body).await;
    }

    /// Posts an event with deliveries to these hooks, once. Whether it is known to be accepted.
    pub async fn send(&self, number: u64, hooks: &[usize], body: String) -> bool {
        let (node, base) = self.next();
        let mut is_accepted = false;
        let sending = self.client.clone().at(&base);
        let sent = sending.try_send("POST", "/api/v3/events", body, &[]);
        match tokio::time::timeout(TIMEOUT, sent).await {
            Ok(Ok(response)) => {
                // 200: an earlier post of it was accepted, and its answer got lost.
                is_accepted = [200, 202].contains(&response.status);
                if is_accepted {
                    let id = response.json()["id"].as_str().unwrap_or_default().to_owned();
                    self.score.accepted(node, number, hooks, &id);
                } else {
                    self.failed(node, &base);
                }
                let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
                let first = || (0, String::from_utf8_lossy(&response.bytes).into_owned());
                answers.entry(response.status).or_insert_with(first).0 += 1;
            }
            Ok(Err(_)) | Err(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                self.failed(node, &base);
            }
        }
        is_accepted
    }

    /// The next node that did not just fail, in turn; any, if all did.
    fn next(&self) -> (usize, String) {
        let first = self.next.fetch_add(1, Ordering::Relaxed);
        let upstream = |at: usize| {
            let node = (first + at) % self.nodes.len();
            let upstream = self.nodes[node].lock().unwrap_or_else(PoisonError::into_inner);
            let is_up = upstream.failed_at.is_none_or(|at| at.elapsed() > PASSED_OVER);
            (is_up, (node, upstream.base.clone()))
        };
        let up = (0..self.nodes.len()).map(upstream).find_map(|(is_up, node)| is_up.then_some(node));
        up.unwrap_or_else(|| upstream(0).1)
    }

    fn failed(&self, node: usize, base: &str) {
        let mut upstream = self.nodes[node].lock().unwrap_or_else(PoisonError::into_inner);
        if upstream.base == base {
            upstream.failed_at = Some(Instant::now());
        }
    }
}
