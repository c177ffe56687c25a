//! Forwards deliveries, a few at a time, in the order in which they came.
//!
//! While the stream is not open, none is begun: the engine writes the requests. What could not be asked is asked again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use super::forward::Forwarder;
use super::update::{Forwarded, Outcome};
use super::wire::Delivery;
use crate::cli::engine_api::ApiError;

/// How many are forwarded at a time.
const MAX_RUNNING: usize = 8;
/// With so many that wait, no others are asked for.
const MAX_WAITING: usize = 10_000;
/// How often an engine whose stream is open is asked for a request before a delivery is given up.
const MAX_TRIES: u32 = 20;
/// How long it takes between two tries.
const WAIT: Duration = Duration::from_secs(2);

/// See the module's head.
pub(super) struct Queue {
    forwarder: Arc<Forwarder>,
    /// Whether the stream is open.
    connected: watch::Receiver<bool>,
    /// By place.
    waiting: VecDeque<Job>,
    running: JoinSet<(Job, Result<Outcome, ApiError>)>,
    places: u64,
}

/// A delivery to forward.
struct Job {
    place: u64,
    tries: u32,
    delivery: Delivery,
}

impl Queue {
    pub(super) fn new(forwarder: Forwarder, connected: watch::Receiver<bool>) -> Self {
        let (waiting, running) = (VecDeque::new(), JoinSet::new());
        Self { forwarder: Arc::new(forwarder), connected, waiting, running, places: 0 }
    }

    /// Forwards `delivery` when it is its time.
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.places += 1;
        self.waiting.push_back(Job { place: self.places, tries: 0, delivery });
    }

    /// Whether no others should come.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= MAX_WAITING
    }

    fn start(&mut self) {
        while *self.connected.borrow()
            && self.running.len() < MAX_RUNNING
            && let Some(job) = self.waiting.pop_front()
        {
            let forwarder = Arc::clone(&self.forwarder);
            self.running.spawn(async move {
                let outcome = forwarder.forward(&job.delivery).await;
                if outcome.is_err() {
                    tokio::time::sleep(WAIT).await;
                }
                (job, outcome)
            });
        }
    }

    /// The next one that was forwarded. Waits if there is none. The future may be dropped.
    pub(super) async fn next(&mut self) -> Result<Forwarded, JoinError> {
        loop {
            self.start();
            tokio::select! {
                Some(ended) = self.running.join_next() => {
                    let (job, outcome) = ended?;
                    if let Some(forwarded) = self.end(job, outcome) {
                        return Ok(forwarded);
                    }
                }
                Ok(()) = self.connected.changed() => {}
                else => std::future::pending().await,
            }
        }
    }

    /// What became of a delivery, unless it is tried again.
    fn end(&mut self, mut job: Job, outcome: Result<Outcome, ApiError>) -> Option<Forwarded> {
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(error) => {
                // A broken connection is nobody's fault.
                job.tries = if *self.connected.borrow() { job.tries + 1 } else { 0 };
                if job.tries < MAX_TRIES {
                    let index = self.waiting.partition_point(|other| other.place < job.place);
                    self.waiting.insert(index, job);
                    return None;
                }
                Outcome::Failed(error.to_string())
            }
        };
        Some(Forwarded { delivery: job.delivery, outcome })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::engine_api::EngineApi;
    use crate::cli::http_client;
    use crate::cli::listen::options::{self, Target};
    use crate::cli::listen::samples::delivery;
    use crate::cli::listen::signature;

    fn queue(connected: bool) -> (Queue, watch::Sender<bool>) {
        let tls = options::tls(None).unwrap();
        let api = EngineApi::new(Some(Arc::clone(&tls)), "http://127.0.0.1:1", "k").unwrap();
        let url = url::Url::parse("http://127.0.0.1:1/").unwrap();
        let target = Target { url, signer: signature::Signer::of(None).unwrap() };
        let (sender, connected) = watch::channel(connected);
        (Queue::new(Forwarder::new(api, http_client::client(Some(tls), 0), target), connected), sender)
    }

    fn job(place: u64) -> Job {
        Job { place, tries: 0, delivery: Delivery { id: place.to_string(), ..delivery() } }
    }

    fn unreachable() -> Result<Outcome, ApiError> {
        Err(ApiError::Unreachable { url: String::new(), why: "refused".to_owned() })
    }

    #[tokio::test]
    async fn nothing_is_begun_while_the_stream_is_not_open() {
        let (mut queue, connected) = queue(false);
        queue.push(delivery());
        queue.start();
        assert_eq!((queue.waiting.len(), queue.running.len()), (1, 0));
        connected.send(true).unwrap();
        queue.start();
        assert_eq!((queue.waiting.len(), queue.running.len()), (0, 1));
    }

    #[test]
    fn a_break_loses_nothing_and_keeps_the_order() {
        let (mut queue, connected) = queue(false);
        queue.waiting = [3, 5].map(job).into();
        for _ in 0..=MAX_TRIES {
            for place in [4, 2] {
                queue.waiting.retain(|job| job.place != place);
                assert_eq!(queue.end(job(place), unreachable()), None);
            }
        }
        assert_eq!(queue.waiting.iter().map(|job| job.place).collect::<Vec<_>>(), [2, 3, 4, 5]);
        connected.send(true).unwrap();
        for tries in 1..MAX_TRIES {
            let job = queue.waiting.pop_front().unwrap();
            assert_eq!(queue.end(job, unreachable()), None);
            assert_eq!(queue.waiting[0].tries, tries);
        }
        let job = queue.waiting.pop_front().unwrap();
        let failed = queue.end(job, unreachable()).unwrap();
        assert!(matches!(failed.outcome, Outcome::Failed(why) if why.contains("refused")));
    }
}
