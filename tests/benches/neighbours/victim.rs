//! The well-behaved tenant: a steady, small load of events for two hooks, one without a plugin and one with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hookwright_tests::{Client, TIMEOUT};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::peer::Peer;
use crate::sink::{OnArrival, Sink};

/// Events per second.
const RATE: f64 = 100.0;
/// Number of events before the abuse starts.
const WARM_UP: u64 = 50;
/// Number of measured events.
const MEASURED: u64 = 600;
/// Maximum number of concurrent posts, so that a slow one does not delay the next.
const CONCURRENCY: usize = 32;
/// Timeout of a post.
const POST_TIMEOUT: Duration = Duration::from_secs(5);
/// Time to wait for arrivals after the last event.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);

const SCRIPT: &str =
    "event.data.note = undefined; return {...request, body: {number: event.data.number, kind: event.type}};";

type Http = legacy::Client<HttpConnector, Full<Bytes>>;

/// Times by event number.
type Times = Arc<Vec<OnceLock<Instant>>>;

/// The tenant and its receivers.
pub struct Victim {
    address: SocketAddr,
    /// A client with a connection pool.
    http: Http,
    key: String,
    accepted: Times,
    plain: Arrivals,
    plugin: Arrivals,
}

/// Arrivals at one hook.
struct Arrivals {
    sink: Sink,
    times: Times,
}

/// Figures of the tenant.
#[derive(Clone)]
pub struct Figures {
    /// From an event's acceptance to its arrival at the hook without a plugin.
    pub plain: Latency,
    /// The same at the hook with a plugin.
    pub plugin: Latency,
    /// From the scheduled time of a post to the acceptance of its event.
    pub acceptance: Latency,
    /// Number of events that were not accepted, by status or error.
    pub refused: BTreeMap<String, u64>,
}

/// Percentiles in milliseconds. A missing arrival counts as the slowest.
#[derive(Clone, Copy)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    /// Number of missing arrivals.
    pub missing: u64,
}

fn times() -> Times {
    Arc::new((0..WARM_UP + MEASURED).map(|_| OnceLock::new()).collect())
}

impl Victim {
    /// Creates the tenant's hooks and delivers some events, so that its plugin is compiled.
    pub async fn start(address: SocketAddr, peer: Peer, key: String) -> Result<Self> {
        let (plain, plugin) = (Arrivals::start().await?, Arrivals::start().await?);
        let client = Client::new(&format!("http://{address}"), &key);
        for (sink, pipeline) in [
            (&plain.sink, json!([])),
            (&plugin.sink, json!([{"plugin": "javascript", "settings": {"script": SCRIPT}}])),
        ] {
            let url = format!("http://{}/", sink.address);
            let hook = json!({"url": url, "types": ["order.paid"], "pipeline": pipeline});
            client.post("/hooks", hook).await.expect(201);
        }
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(peer.from.into()));
        connector.set_nodelay(true);
        let http = legacy::Client::builder(TokioExecutor::new()).build(connector);
        let victim = Self { address, http, key, accepted: times(), plain, plugin };
        let outcome = victim.post(0..WARM_UP).await?;
        ensure!(outcome.refused.is_empty(), "events are refused before there is any abuse");
        let began = Instant::now();
        while victim.missing(0..WARM_UP) > 0 {
            ensure!(began.elapsed() < TIMEOUT, "deliveries do not arrive before the abuse starts");
            tokio::time::sleep(ARRIVAL_TIMEOUT / 500).await;
        }
        Ok(victim)
    }

    /// Posts the measured events and waits for their arrival.
    pub async fn measure(&self) -> Result<Figures> {
        let measured = WARM_UP..WARM_UP + MEASURED;
        let Posted { refused, waits } = self.post(measured.clone()).await?;
        let ended = Instant::now();
        while self.missing(measured.clone()) > 0 && ended.elapsed() < ARRIVAL_TIMEOUT {
            tokio::time::sleep(ARRIVAL_TIMEOUT / 500).await;
        }
        let accepted = MEASURED - refused.values().sum::<u64>();
        Ok(Figures {
            plain: self.latency(&self.plain, accepted),
            plugin: self.latency(&self.plugin, accepted),
            acceptance: Latency::of(waits, MEASURED),
            refused,
        })
    }

    /// Deliveries of accepted events that have not arrived.
    fn missing(&self, numbers: std::ops::Range<u64>) -> usize {
        let is_accepted = |number: &u64| self.accepted[*number as usize].get().is_some();
        let accepted: Vec<u64> = numbers.filter(is_accepted).collect();
        let missing = |arrivals: &Arrivals| {
            accepted.iter().filter(|number| arrivals.times[**number as usize].get().is_none()).count()
        };
        missing(&self.plain) + missing(&self.plugin)
    }

    fn latency(&self, arrivals: &Arrivals, accepted: u64) -> Latency {
        let both = self.accepted.iter().zip(arrivals.times.iter()).skip(WARM_UP as usize);
        let took = |(accepted, arrived): (&OnceLock<Instant>, &OnceLock<Instant>)| {
            Some(arrived.get()?.saturating_duration_since(*accepted.get()?))
        };
        Latency::of(both.filter_map(took).collect(), accepted)
    }

    /// Posts events at [`RATE`], independent of response times.
    async fn post(&self, numbers: std::ops::Range<u64>) -> Result<Posted> {
        let (next, first) = (Arc::new(AtomicU64::new(numbers.start)), numbers.start);
        let began = Instant::now();
        let posted = Arc::new(Mutex::new(Posted::default()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CONCURRENCY {
            let (next, posted) = (Arc::clone(&next), Arc::clone(&posted));
            let (http, address, key) = (self.http.clone(), self.address, self.key.clone());
            let accepted = Arc::clone(&self.accepted);
            let end = numbers.end;
            tasks.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let due = began + Duration::from_secs_f64((number - first) as f64 / RATE);
                    tokio::time::sleep_until(due.into()).await;
                    let sent = tokio::time::timeout(POST_TIMEOUT, send(&http, address, &key, number)).await;
                    let now = Instant::now();
                    let refused = match sent {
                        Ok(Ok(http::StatusCode::ACCEPTED)) => None,
                        Ok(Ok(status)) => Some(status.as_u16().to_string()),
                        Ok(Err(_)) => Some("broken off".to_owned()),
                        Err(_) => Some("no response".to_owned()),
                    };
                    if refused.is_none() {
                        let _ = accepted[number as usize].set(now);
                    }
                    posted.lock().expect("no task panics with the lock").add(refused, now - due);
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a connection of the well-behaved tenant ended badly")?;
        }
        Ok(std::mem::take(&mut *posted.lock().expect("no task panics with the lock")))
    }
}

/// Results of posts.
#[derive(Default)]
struct Posted {
    /// By status or error.
    refused: BTreeMap<String, u64>,
    waits: Vec<Duration>,
}

impl Posted {
    fn add(&mut self, refused: Option<String>, waited: Duration) {
        match refused {
            None => self.waits.push(waited),
            Some(instead) => *self.refused.entry(instead).or_default() += 1,
        }
    }
}

impl Arrivals {
    async fn start() -> Result<Self> {
        let times = times();
        let kept = Arc::clone(&times);
        let on_arrival: OnArrival = Arc::new(move |body| {
            let now = Instant::now();
            let number = serde_json::from_slice::<Value>(body).ok().and_then(|body| body["number"].as_u64());
            if let Some(time) = number.and_then(|number| kept.get(number as usize)) {
                let _ = time.set(now);
            }
        });
        Ok(Self { sink: Sink::start(Some(on_arrival)).await?, times })
    }
}

impl Latency {
    fn of(mut took: Vec<Duration>, wanted: u64) -> Self {
        took.sort_unstable();
        let at = |share: f64| {
            let index = (wanted as f64 * share) as usize;
            took.get(index).map_or(f64::INFINITY, |duration| duration.as_secs_f64() * 1_000.0)
        };
        Self { p50: at(0.5), p99: at(0.99), missing: wanted.saturating_sub(took.len() as u64) }
    }
}

/// Posts an event and returns the status.
async fn send(http: &Http, address: SocketAddr, key: &str, number: u64) -> Result<http::StatusCode> {
    let body = json!({"type": "order.paid", "data": {"number": number, "note": "x".repeat(600)}}).to_string();
    let request = http::Request::post(format!("http://{address}/api/v3/events"))
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    let response = http.request(request).await?;
    let status = response.status();
    response.into_body().collect().await?;
    Ok(status)
}
