//! What was accepted and what arrived, and how often.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// A delivery: the number of its event, and the number of its hook.
pub type Delivery = (u64, usize);

/// Keeps the score of all deliveries.
pub struct Score {
    state: Mutex<State>,
    changes: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    deliveries: HashMap<Delivery, Entry>,
    accepted_by: HashMap<usize, u64>,
    in_progress: HashMap<usize, usize>,
    most_in_progress: HashMap<usize, usize>,
    /// How many events of each ordering key were answered with 200.
    positions: HashMap<u64, u64>,
    /// Requests that began before an earlier one of their key was answered with 200.
    out_of_order: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Entry {
    accepted_by: Option<usize>,
    event: String,
    accepted_at: Option<Instant>,
    /// When requests were answered with 200.
    delivered: Vec<Instant>,
}

/// A request to a hook that is in progress until this is dropped.
pub struct InProgress<'a> {
    score: &'a Score,
    hook: usize,
}

impl Drop for InProgress<'_> {
    fn drop(&mut self) {
        *self.score.lock().in_progress.entry(self.hook).or_default() -= 1;
    }
}

impl Default for Score {
    fn default() -> Self {
        Self { state: Mutex::default(), changes: watch::Sender::new(()) }
    }
}

impl Score {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `node` answered with 202 to the event `number` with deliveries to these hooks, and gave it the id `event`.
    pub fn accepted(&self, node: usize, number: u64, hooks: &[usize], event: &str) {
        let mut state = self.lock();
        *state.accepted_by.entry(node).or_default() += 1;
        for hook in hooks {
            let entry = state.deliveries.entry((number, *hook)).or_default();
            (entry.accepted_by, entry.event) = (Some(node), event.to_owned());
            entry.accepted_at = Some(Instant::now());
        }
        drop(state);
        self.changes.send_replace(());
    }

    /// Notes the beginning of a request.
    pub fn begins(&self, hook: usize) -> InProgress<'_> {
        let mut state = self.lock();
        let now = state.in_progress.entry(hook).or_default();
        *now += 1;
        let now = *now;
        let most = state.most_in_progress.entry(hook).or_default();
        *most = now.max(*most);
        InProgress { score: self, hook }
    }

    /// Notes that a request is answered with 200.
    pub fn delivered(&self, delivery: Delivery) {
        self.lock().deliveries.entry(delivery).or_default().delivered.push(Instant::now());
        self.changes.send_replace(());
    }

    /// Notes the beginning of a request for the event at `position` of an ordering key.
    pub fn begins_in_order(&self, key: u64, position: u64) {
        let mut state = self.lock();
        if position > state.positions.get(&key).copied().unwrap_or(0) {
            state.out_of_order.push((key, position));
        }
    }

    /// Notes that a request for the event at `position` of an ordering key is answered with 200.
    pub fn delivered_in_order(&self, key: u64, position: u64) {
        let mut state = self.lock();
        let next = state.positions.entry(key).or_default();
        *next = (position + 1).max(*next);
    }

    /// How many events with ordering keys arrived, and key and position of those that arrived out of order.
    pub fn order(&self) -> (u64, Vec<(u64, u64)>) {
        let state = self.lock();
        (state.positions.values().sum(), state.out_of_order.clone())
    }

    /// Waits until `condition` holds; returns whether it does within `limit`.
    pub async fn wait(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let mut changes = self.changes.subscribe();
        let waiting = async {
            while !condition(self) {
                let _ = changes.changed().await;
            }
        };
        tokio::time::timeout(limit, waiting).await.is_ok()
    }

    /// How many events a node accepted.
    pub fn accepted_by(&self, node: usize) -> u64 {
        self.lock().accepted_by.get(&node).copied().unwrap_or(0)
    }

    /// How many events all nodes accepted.
    pub fn all_accepted(&self) -> u64 {
        self.lock().accepted_by.values().sum()
    }

    /// How many deliveries of accepted events there are, and how many of them arrived.
    pub fn deliveries(&self) -> (usize, usize) {
        let state = self.lock();
        let accepted = state.deliveries.values().filter(|entry| entry.accepted_by.is_some());
        accepted.fold((0, 0), |(all, arrived), entry| {
            (all + 1, arrived + usize::from(!entry.delivered.is_empty()))
        })
    }

    /// Deliveries of accepted events that did not arrive; only those that `node` accepted, if there is one.
    pub fn missing(&self, node: Option<usize>) -> Vec<Delivery> {
        let state = self.lock();
        let missing = state.deliveries.iter().filter(|(_, entry)| {
            entry.accepted_by.is_some_and(|by| node.is_none_or(|node| node == by))
                && entry.delivered.is_empty()
        });
        missing.map(|(delivery, _)| *delivery).collect()
    }

    /// The node that accepted the event of a delivery, its id, and when that was.
    pub fn origin(&self, delivery: Delivery) -> Option<(usize, String, Instant)> {
        let state = self.lock();
        let entry = state.deliveries.get(&delivery)?;
        Some((entry.accepted_by?, entry.event.clone(), entry.accepted_at?))
    }

    /// Whether one of these deliveries has arrived.
    pub fn any_arrived(&self, deliveries: &[Delivery]) -> bool {
        let state = self.lock();
        deliveries.iter().any(|it| state.deliveries.get(it).is_some_and(|entry| !entry.delivered.is_empty()))
    }

    /// How many requests are in progress or were answered within the time `window` before now. If the engine or the database
    /// ends now, their record may be missing.
    pub fn in_flight(&self, window: Duration) -> usize {
        let (state, now) = (self.lock(), Instant::now());
        let recent = state.deliveries.values().flat_map(|entry| &entry.delivered);
        let recent = recent.filter(|at| now.duration_since(**at) < window).count();
        recent + state.in_progress.values().sum::<usize>()
    }

    /// The most requests that were in progress at a time for a hook.
    pub fn most_in_progress(&self) -> Vec<(usize, usize)> {
        let mut all: Vec<_> =
            self.lock().most_in_progress.iter().map(|(hook, most)| (*hook, *most)).collect();
        all.sort_unstable();
        all
    }

    /// For each request that was answered with 200 although an earlier one had been: when that was.
    pub fn duplicates(&self) -> Vec<Instant> {
        let state = self.lock();
        let repeated = state.deliveries.values().filter(|entry| entry.delivered.len() > 1);
        repeated.flat_map(|entry| vec![entry.delivered[0]; entry.delivered.len() - 1]).collect()
    }
}
