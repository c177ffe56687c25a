//! How long each event took, from its request.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// By the number of the event.
#[derive(Clone)]
pub struct Times(Arc<[Event]>);

struct Event {
    sent: OnceLock<Instant>,
    /// In microseconds; none if it is 0.
    accepted: AtomicU32,
    arrived: AtomicU32,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Events that have no time.
    pub missing: usize,
}

impl Times {
    /// For so many events.
    pub fn new(events: u64) -> Self {
        let event =
            |_| Event { sent: OnceLock::new(), accepted: AtomicU32::new(0), arrived: AtomicU32::new(0) };
        Self((0..events).map(event).collect())
    }

    pub fn sent(&self, number: u64, at: Instant) {
        let _ = self.0[number as usize].sent.set(at);
    }

    pub fn accepted(&self, number: u64) {
        let event = &self.0[number as usize];
        event.accepted.store(event.micros(), Ordering::Relaxed);
    }

    /// Of several arrivals, the first one counts.
    pub fn arrived(&self, number: u64) {
        let Some(event) = self.0.get(number as usize) else { return };
        let _ = event.arrived.compare_exchange(0, event.micros(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether all have arrived.
    pub fn all_arrived(&self) -> bool {
        self.0.iter().all(|event| event.arrived.load(Ordering::Relaxed) > 0)
    }

    /// From the request to its response, and to the arrival, for events from `first` on.
    pub fn latencies(&self, first: u64) -> (Latency, Latency) {
        let events = &self.0[(first as usize).min(self.0.len())..];
        (
            latency(events.iter().map(|event| &event.accepted)),
            latency(events.iter().map(|event| &event.arrived)),
        )
    }
}

impl Event {
    fn micros(&self) -> u32 {
        let elapsed = self.sent.get().map_or(0, |sent| sent.elapsed().as_micros());
        u32::try_from(elapsed).unwrap_or(u32::MAX).max(1)
    }
}

fn latency<'t>(times: impl Iterator<Item = &'t AtomicU32>) -> Latency {
    let all: Vec<u32> = times.map(|time| time.load(Ordering::Relaxed)).collect();
    let mut micros: Vec<u32> = all.iter().copied().filter(|micros| *micros > 0).collect();
    micros.sort_unstable();
    let at = |share: f64| {
        let index = ((micros.len() as f64 * share) as usize).min(micros.len().saturating_sub(1));
        micros.get(index).map_or(f64::NAN, |micros| f64::from(*micros) / 1_000.0)
    };
    Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999), missing: all.len() - micros.len() }
}
