//! What was accepted, what arrived, and when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::receiver::Arrival;
use crate::clock;

/// Requests that the killed node had sent arrive within this time after the kill; what comes later is from other nodes.
const LATE: Duration = Duration::from_secs(1);

/// The score of each event.
#[derive(Default)]
pub(super) struct Scores {
    /// Which node accepted it.
    accepted: HashMap<String, usize>,
    arrived: HashMap<String, Arrived>,
    unverified: usize,
    killed_at: Option<Instant>,
}

struct Arrived {
    first: Instant,
    times: u32,
}

/// As the publisher, the receiver and the story share it.
pub(super) type ScoreBoard = Arc<SharedScores>;

#[derive(Default)]
pub(super) struct SharedScores(Mutex<Scores>);

impl SharedScores {
    pub(super) fn lock(&self) -> MutexGuard<'_, Scores> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of all events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClusterResult {
    pub(super) accepted: usize,
    pub(super) arrived: usize,
    pub(super) unverified: usize,
    /// Events that arrived more than once.
    pub(super) repeated: usize,
    /// Events that the killed node had accepted, and others delivered.
    pub(super) taken_over: usize,
    /// How long after the kill the first of these arrived.
    pub(super) after: Option<Duration>,
}

impl ClusterResult {
    pub(super) fn is_complete(&self) -> bool {
        self.accepted == self.arrived && self.unverified == 0
    }
}

impl Scores {
    pub(super) fn shared() -> ScoreBoard {
        ScoreBoard::default()
    }

    pub(super) fn accept(&mut self, id: String, node: usize) {
        self.accepted.insert(id, node);
    }

    pub(super) fn arrived(&mut self, arrival: &Arrival) {
        if !arrival.is_verified {
            self.unverified += 1;
            return;
        }
        let id = arrival.headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
        self.count(id, clock::monotonic());
    }

    fn count(&mut self, id: &str, now: Instant) {
        let arrived = self.arrived.entry(id.to_owned()).or_insert(Arrived { first: now, times: 0 });
        arrived.times += 1;
    }

    /// The node is dead from now on.
    pub(super) fn kill(&mut self) {
        self.killed_at = Some(clock::monotonic());
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.len()
    }

    /// How many of the accepted events arrived at least once.
    pub(super) fn arrived_once(&self) -> usize {
        self.accepted.keys().filter(|id| self.arrived.contains_key(*id)).count()
    }

    /// When those events of `node` arrived for the first time that others delivered.
    fn taken_over(&self, node: usize) -> Vec<Instant> {
        let Some(killed_at) = self.killed_at else { return Vec::new() };
        let of_node = self.accepted.iter().filter(|(_, by)| **by == node).map(|(id, _)| id);
        let first = of_node.filter_map(|id| self.arrived.get(id)).map(|arrived| arrived.first);
        first.filter(|first| *first > killed_at + LATE).collect()
    }

    /// How long all events of the killed `node` have been there, if others delivered some.
    pub(super) fn since_takeover(&self, node: usize) -> Option<Duration> {
        let all =
            self.accepted.iter().filter(|(_, by)| **by == node).all(|(id, _)| self.arrived.contains_key(id));
        let last = self.taken_over(node).into_iter().max()?;
        all.then(|| clock::elapsed(last))
    }

    pub(super) fn result(&self, victim: usize) -> ClusterResult {
        let taken_over = self.taken_over(victim);
        let first = taken_over.iter().min().copied();
        ClusterResult {
            accepted: self.accepted(),
            arrived: self.arrived_once(),
            unverified: self.unverified,
            repeated: self.arrived.values().filter(|arrived| arrived.times > 1).count(),
            taken_over: taken_over.len(),
            after: first.zip(self.killed_at).map(|(first, killed_at)| first.duration_since(killed_at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_node_delivers_is_counted_apart() {
        let mut scores = Scores::default();
        for (id, node) in [("a", 0), ("b", 1), ("c", 1), ("lost", 1)] {
            scores.accept(id.to_owned(), node);
        }
        let killed_at = clock::monotonic();
        scores.count("a", killed_at);
        scores.count("b", killed_at);
        scores.killed_at = Some(killed_at);
        scores.count("b", killed_at + Duration::from_secs(10));
        scores.count("c", killed_at + Duration::from_secs(11));
        let expected = ClusterResult {
            accepted: 4,
            arrived: 3,
            unverified: 0,
            repeated: 1,
            taken_over: 1,
            after: Some(Duration::from_secs(11)),
        };
        assert_eq!(scores.result(1), expected);
        assert!(!expected.is_complete());
        assert_eq!(scores.since_takeover(1), None, "one has not arrived");
    }
}
