//! The well-behaved tenant: a steady, small load of events for two hooks, one without a plugin and one with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hookwright_tests::{Client, PATIENCE};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::sink::{OnArrival, Sink};

/// Events a second.
const RATE: f64 = 100.0;
/// Events before the abuse begins.
const WARM_UP: u64 = 50;
/// Events that are measured.
const MEASURED: u64 = 600;
/// Connections, so that one slow answer does not hold up the next event.
const CONNECTIONS: usize = 32;
/// How long an answer may take before the connection is given up.
const ANSWER: Duration = Duration::from_secs(5);
/// How long after the last event arrivals are waited for.
const STRAGGLERS: Duration = Duration::from_secs(5);

const SCRIPT: &str =
    "event.data.note = undefined; return {...request, body: {number: event.data.number, kind: event.type}};";

/// Times by the number of the event.
type Times = Arc<Vec<OnceLock<Instant>>>;

/// The tenant with its receivers.
pub struct Victim {
    address: SocketAddr,
    key: String,
    accepted: Times,
    plain: Arrivals,
    plugin: Arrivals,
}

/// What arrives at one hook.
struct Arrivals {
    sink: Sink,
    times: Times,
}

/// What the tenant noticed.
#[derive(Clone)]
pub struct Figures {
    /// From an event's acceptance to its arrival at the hook without a plugin.
    pub plain: Latency,
    /// The same at the hook with a plugin.
    pub plugin: Latency,
    /// From when an event was due to be sent to its acceptance.
    pub acceptance: Latency,
    /// Events that were not accepted.
    pub refused: u64,
}

/// Percentiles in milliseconds. What is missing counts as slower than all that is there.
#[derive(Clone, Copy)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    /// How many of those that should be there are not.
    pub missing: u64,
}

fn times() -> Times {
    Arc::new((0..WARM_UP + MEASURED).map(|_| OnceLock::new()).collect())
}

impl Victim {
    /// Makes the tenant's hooks and delivers some events, so that its plugin is compiled.
    pub async fn start(address: SocketAddr, key: String) -> Result<Self> {
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
        let victim = Self { address, key, accepted: times(), plain, plugin };
        let outcome = victim.post(0..WARM_UP).await?;
        ensure!(outcome.refused == 0, "events are refused before there is any abuse");
        let began = Instant::now();
        while victim.missing(0..WARM_UP) > 0 {
            ensure!(began.elapsed() < PATIENCE, "deliveries do not arrive before there is any abuse");
            tokio::time::sleep(STRAGGLERS / 500).await;
        }
        Ok(victim)
    }

    /// Posts the events that are measured, and waits for their arrival.
    pub async fn measure(&self) -> Result<Figures> {
        let measured = WARM_UP..WARM_UP + MEASURED;
        let Posted { refused, waits } = self.post(measured.clone()).await?;
        let ended = Instant::now();
        while self.missing(measured.clone()) > 0 && ended.elapsed() < STRAGGLERS {
            tokio::time::sleep(STRAGGLERS / 500).await;
        }
        let accepted = MEASURED - refused;
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

    /// Posts events at [`RATE`], whatever the answers take.
    async fn post(&self, numbers: std::ops::Range<u64>) -> Result<Posted> {
        let (next, first) = (Arc::new(AtomicU64::new(numbers.start)), numbers.start);
        let began = Instant::now();
        let posted = Arc::new(Mutex::new(Posted::default()));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (next, posted) = (Arc::clone(&next), Arc::clone(&posted));
            let (address, key, accepted) = (self.address, self.key.clone(), Arc::clone(&self.accepted));
            let end = numbers.end;
            tasks.spawn(async move {
                let mut connection = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= end {
                        return;
                    }
                    let due = began + Duration::from_secs_f64((number - first) as f64 / RATE);
                    tokio::time::sleep_until(due.into()).await;
                    let sent =
                        tokio::time::timeout(ANSWER, send(&mut connection, address, &key, number)).await;
                    let now = Instant::now();
                    let is_accepted = matches!(sent, Ok(Ok(true)));
                    if is_accepted {
                        let _ = accepted[number as usize].set(now);
                    } else if !matches!(sent, Ok(Ok(_))) {
                        connection = None;
                    }
                    posted.lock().expect("no task panics with the lock").add(is_accepted.then(|| now - due));
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a connection of the well-behaved tenant ended badly")?;
        }
        Ok(std::mem::take(&mut *posted.lock().expect("no task panics with the lock")))
    }
}

/// What became of events that were posted.
#[derive(Default)]
struct Posted {
    refused: u64,
    waits: Vec<Duration>,
}

impl Posted {
    fn add(&mut self, waited: Option<Duration>) {
        match waited {
            Some(waited) => self.waits.push(waited),
            None => self.refused += 1,
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

/// Posts one event; whether it was accepted.
async fn send(
    connection: &mut Option<SendRequest<Full<Bytes>>>,
    address: SocketAddr,
    key: &str,
    number: u64,
) -> Result<bool> {
    if connection.as_ref().is_none_or(SendRequest::is_closed) {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, made) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(made);
        *connection = Some(sender);
    }
    let sender = connection.as_mut().context("a connection was made")?;
    let body = json!({"type": "order.paid", "data": {"number": number, "note": "x".repeat(600)}}).to_string();
    let request = http::Request::post("/api/v3/events")
        .header("host", "127.0.0.1")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))?;
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    answer.into_body().collect().await?;
    Ok(status == http::StatusCode::ACCEPTED)
}
