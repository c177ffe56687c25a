//! Whether this node should get requests: what probes of load balancers and of Kubernetes ask.
//!
//! However many probes ask, the database is tried once at a time, and its answer holds for [`KEPT`]. On SQLite the try writes; on
//! PostgreSQL the heartbeat does, and without it the node is fenced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::clock;
use crate::storage::{DeliveryStore, Membership, StorageError};

/// How long an answer of the database holds.
const KEPT: Duration = Duration::from_secs(1);
/// How long a probe waits for the database.
const TIMEOUT: Duration = Duration::from_secs(2);
/// After this a try is given up, and another one may be made: its connection may be dead, and the database well.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10);

/// See the module's head.
pub struct Readiness {
    kept: Duration,
    timeout: Duration,
    deliveries: Arc<dyn DeliveryStore>,
    membership: Arc<Membership>,
    is_draining: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A try that has not ended, and when it began. A database that hangs is not tried again meanwhile.
    trying: Option<(Instant, JoinHandle<Result<(), StorageError>>)>,
    last: Option<(Instant, Result<(), NotReady>)>,
}

/// Why this node should get no requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotReady {
    /// It was told to stop.
    #[error("the engine is shutting down")]
    Draining,
    /// The database does not answer.
    #[error("the database has not answered within {} seconds", TIMEOUT.as_secs())]
    TimedOut,
    /// The database refuses, the disk is full, or the node is fenced.
    #[error(transparent)]
    Storage(Arc<StorageError>),
}

impl Readiness {
    /// Of a node with this store and these neighbours.
    #[must_use]
    pub fn new(deliveries: Arc<dyn DeliveryStore>, membership: Arc<Membership>) -> Self {
        let (is_draining, state) = (AtomicBool::new(false), Mutex::default());
        Self { kept: KEPT, timeout: TIMEOUT, deliveries, membership, is_draining, state }
    }

    /// From now on the node is not ready.
    pub fn drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Whether the node should get requests. Takes little longer than [`TIMEOUT`].
    ///
    /// # Errors
    /// The reason, if it should not.
    pub async fn check(&self) -> Result<(), NotReady> {
        if self.is_draining.load(Relaxed) {
            return Err(NotReady::Draining);
        }
        if self.membership.is_fenced() {
            return Err(NotReady::Storage(Arc::new(StorageError::Fenced)));
        }
        let mut state = self.state.lock().await;
        if let Some((at, known)) = &state.last
            && clock::elapsed(*at) < self.kept
        {
            return known.clone();
        }
        if let Some((_, given_up)) = state.trying.take_if(|(at, _)| clock::elapsed(*at) >= GIVEN_UP_AFTER) {
            given_up.abort();
        }
        let try_once = || {
            let deliveries = Arc::clone(&self.deliveries);
            (clock::monotonic(), tokio::spawn(async move { deliveries.check().await }))
        };
        let (_, trying) = state.trying.get_or_insert_with(try_once);
        let known = match tokio::time::timeout(self.timeout, trying).await {
            Ok(ended) => {
                state.trying = None;
                // It panics only if the store does.
                let answer = ended.unwrap_or(Err(StorageError::Closed));
                answer.map_err(|error| NotReady::Storage(Arc::new(error)))
            }
            Err(_) => Err(NotReady::TimedOut),
        };
        state.last = Some((clock::monotonic(), known.clone()));
        known
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use futures_util::future::join_all;

    use super::*;
    use crate::delivery::testing::SpyStore;
    use crate::domain::NodeNumber;
    use crate::storage::sqlite::{self, SqliteOptions};

    #[tokio::test]
    async fn many_probes_try_the_database_once_and_do_not_wait_for_one_that_hangs() {
        let dir = tempfile::tempdir().unwrap();
        let database = sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap();
        let store = SpyStore::new(database.stores().deliveries);
        let readiness =
            Readiness::new(Arc::clone(&store) as Arc<dyn DeliveryStore>, Membership::alone(NodeNumber(0)));
        let all = join_all((0..100).map(|_| readiness.check())).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(store.checks.load(Relaxed), 1);

        let timeout = Duration::from_millis(1);
        let readiness = Readiness { kept: Duration::ZERO, timeout, ..readiness };
        let gate = store.records.write_gate.acquire().await.unwrap();
        for _ in 0..3 {
            assert!(matches!(readiness.check().await, Err(NotReady::TimedOut)));
        }
        assert_eq!(store.checks.load(Relaxed), 2, "it is not tried again while it hangs");
        drop(gate);
        Readiness { timeout: TIMEOUT, ..readiness }.check().await.unwrap();
        assert_eq!(store.checks.load(Relaxed), 2);
    }
}
