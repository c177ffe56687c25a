//! Reports from time to time what this node does, for `hookwright nodes`, and counts attempts.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::delivery::{Dispatcher, HookStats};
use crate::directory::Directory;
use crate::domain::{NodeNumber, UnixMillis};
use crate::ingest::Ingest;
use crate::sources::Sources;
use crate::storage::{NodeActivity, NodeReport, NodeStore, Storage};

/// How often the node reports. A report is an update of one short row.
const EVERY: Duration = Duration::from_secs(5);

/// Reports at once, and then until `stop`. Stores how much tenants publish.
pub(super) fn spawn(
    (sources, node): (&Sources, NodeNumber),
    stores: &Storage,
    (ingest, dispatcher, directory): (&Arc<Ingest>, &Arc<Dispatcher>, &Arc<Directory>),
    address: SocketAddr,
    stop: &CancellationToken,
) {
    let reporter = Reporter {
        sources: sources.clone(),
        nodes: Arc::clone(&stores.nodes),
        ingest: Arc::clone(ingest),
        dispatcher: Arc::clone(dispatcher),
        directory: Arc::clone(directory),
        address,
    };
    let counting = Arc::clone(ingest.admission()).run(node);
    tokio::spawn(stop.clone().run_until_cancelled_owned(counting));
    tokio::spawn(stop.clone().run_until_cancelled_owned(reporter.run()));
}

/// Counts attempts by hook, and stores the counts until the token is cancelled, as everything that feeds deliveries.
pub(super) fn count(
    node: NodeNumber,
    stores: &Storage,
    sources: &Sources,
) -> (CancellationToken, Arc<HookStats>) {
    let stop = CancellationToken::new();
    let stats = HookStats::new(node, Arc::clone(&stores.hook_stats));
    let run = Arc::clone(&stats).run(sources.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(run));
    (stop, stats)
}

/// What a report needs.
struct Reporter {
    sources: Sources,
    nodes: Arc<dyn NodeStore>,
    ingest: Arc<Ingest>,
    dispatcher: Arc<Dispatcher>,
    directory: Arc<Directory>,
    address: SocketAddr,
}

impl Reporter {
    async fn run(self) {
        let started_at = self.sources.now();
        let (mut before, mut began) = (self.ingest.accepted(), clock::monotonic());
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (accepted, elapsed) = (self.ingest.accepted(), clock::elapsed(began));
            let report = self.report(started_at, per_second(accepted - before, elapsed));
            (before, began) = (accepted, clock::monotonic());
            // A database that cannot be reached is the heartbeat's to tell.
            if let Err(error) = self.nodes.report(report).await {
                tracing::debug!(error = &error as &dyn std::error::Error, "cannot report what the node does");
            }
        }
    }

    fn report(&self, started_at: UnixMillis, accepted_per_second: f64) -> NodeReport {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let activity = NodeActivity {
            deliveries_in_memory: count(self.dispatcher.in_memory()),
            deliveries_in_flight: count(self.dispatcher.unfinished()),
            owned_hooks: Some(count(
                self.directory.count_hooks(|hook| self.dispatcher.owns(hook.id, hook.tenant)),
            )),
            accepted_per_second,
        };
        NodeReport { address: self.address.to_string(), started_at, now: self.sources.now(), activity }
    }
}

/// Rounded to tenths.
fn per_second(count: u64, elapsed: Duration) -> f64 {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    let tenths = count.saturating_mul(10_000) / milliseconds;
    f64::from(u32::try_from(tenths).unwrap_or(u32::MAX)) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_rounded_to_tenths() {
        for (count, elapsed_ms, rate) in
            [(0, 5_000, 0.0), (5_007, 5_000, 1001.4), (3, 0, 3000.0), (1, 100_000, 0.0)]
        {
            let elapsed = Duration::from_millis(elapsed_ms);
            assert!((per_second(count, elapsed) - rate).abs() < 0.01, "{count} in {elapsed:?}");
        }
    }
}
