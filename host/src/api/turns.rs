//! Limits on the concurrent requests of one tenant that use resources shared by all tenants.

use std::time::Duration;

use super::problem::{Kind, Problem};
use crate::domain::TenantId;
use crate::turns::{TenantTurns, Turn};

/// Concurrent uploads of a tenant. Each holds a body in memory and a place in the compiler's queue, which
/// all tenants share.
const UPLOADS: usize = 1;
/// Uploads of a tenant that run or wait. Each waiting one is a connection with an unread body.
const MAX_UPLOADS_HERE: usize = 8;
/// Concurrent retries and cancellations of a tenant. Each is a transaction with a sync of its own.
const CHANGES: usize = 4;
/// Concurrent lists of a tenant that read all its unfinished deliveries. All tenants share a few readers.
const WALKS: usize = 1;
/// Concurrent dry runs of a tenant. Each may hold a body of a megabyte, and its plugins compete with the
/// tenant's deliveries.
const DRY_RUNS: usize = 4;
/// Dry runs of a tenant that run or wait. The bodies of waiting ones are unread.
const MAX_DRY_RUNS_HERE: usize = 20;
/// Requests of one kind of a tenant that run or wait. The clients of waiting ones may have disconnected.
const MAX_HERE: usize = 256;
/// How long a request waits at most.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// The limit on one kind of request.
#[derive(Debug)]
pub struct RequestTurns {
    turns: TenantTurns,
    /// The maximum number of requests of a tenant that run or wait.
    max_here: usize,
    /// How long a request waits at most.
    max_wait: Duration,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct Turns {
    /// Uploads of plugins.
    pub uploads: RequestTurns,
    /// Retries and cancellations of deliveries.
    pub changes: RequestTurns,
    /// Lists that read all unfinished deliveries.
    pub walks: RequestTurns,
    /// Runs of plugins and pipelines that send nothing.
    pub dry_runs: RequestTurns,
    /// Trial calls of plugins, as many at once as dry runs.
    pub trials: RequestTurns,
}

impl Default for Turns {
    fn default() -> Self {
        let of = |at_once, max_here| {
            let turns = TenantTurns::new(at_once);
            RequestTurns { turns, max_here, max_wait: MAX_WAIT }
        };
        Self {
            uploads: of(UPLOADS, MAX_UPLOADS_HERE),
            changes: of(CHANGES, MAX_HERE),
            walks: of(WALKS, MAX_HERE),
            dry_runs: of(DRY_RUNS, MAX_DRY_RUNS_HERE),
            trials: of(DRY_RUNS, MAX_HERE),
        }
    }
}

impl RequestTurns {
    /// Waits for a permit, first in, first out among the requests of the tenant.
    ///
    /// # Errors
    /// Fails if too many requests of the tenant run or wait, or if this one has waited too long.
    pub async fn turn(&self, tenant: TenantId) -> Result<Turn, Problem> {
        let turn = self.turns.turn_unless_crowded(tenant, self.max_here);
        let detail = match tokio::time::timeout(self.max_wait, turn).await {
            Ok(Some(turn)) => return Ok(turn),
            Ok(None) => {
                let max = self.max_here;
                format!("{max} requests of this kind are in progress or waiting; try again later")
            }
            Err(_) => {
                let seconds = self.max_wait.as_secs();
                format!(
                    "the request waited {seconds} seconds for earlier requests of this kind; try again later"
                )
            }
        };
        Err(Problem::new(Kind::TooManyRequests, detail))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const TENANT: TenantId = TenantId(1);

    #[tokio::test]
    async fn few_uploads_of_a_tenant_can_wait() {
        let Turns { uploads, .. } = Turns::default();
        let first = uploads.turn(TENANT).await.unwrap();
        let mut waiting: Vec<_> = (1..MAX_UPLOADS_HERE).map(|_| uploads.turn(TENANT).boxed()).collect();
        assert!(waiting.iter_mut().all(|turn| turn.now_or_never().is_none()));
        let refused = uploads.turn(TENANT).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err().kind(), Kind::TooManyRequests);
        drop((first, waiting));
        assert!(uploads.turn(TENANT).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_waits_for_a_limited_time() {
        let max_wait = Duration::from_millis(10);
        let turns = RequestTurns { turns: TenantTurns::new(1), max_here: 2, max_wait };
        let first = turns.turn(TENANT).await.unwrap();
        for _ in 0..3 {
            assert_eq!(turns.turn(TENANT).await.unwrap_err().kind(), Kind::TooManyRequests);
        }
        drop(first);
        assert!(turns.turn(TENANT).await.is_ok());
    }
}
