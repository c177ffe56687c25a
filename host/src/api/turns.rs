//! What one tenant's clients may ask for at the same time, where all tenants share what it is done with.

use std::time::Duration;

use super::problem::{Kind, Problem};
use crate::domain::TenantId;
use crate::turns::{TenantTurns, Turn};

/// Plugins that a tenant uploads at the same time: one body in memory, and one place with the compiler, where
/// all tenants stand in one line.
const UPLOADS: usize = 1;
/// Uploads of a tenant with those that wait, each a connection whose body has not been read yet.
const MAX_UPLOADS_HERE: usize = 8;
/// Deliveries that a tenant retries or cancels at the same time. Each is a transaction with a sync of its
/// own.
const CHANGES: usize = 4;
/// Lists of a tenant for which all its unfinished deliveries are looked at. A few readers serve all tenants.
const WALKS: usize = 1;
/// Dry runs of a tenant. Each may hold a body of a megabyte, and its plugins take turns with the tenant's
/// deliveries.
const DRY_RUNS: usize = 4;
/// Dry runs of a tenant with those that wait, which have not been read yet.
const MAX_DRY_RUNS_HERE: usize = 20;
/// Requests of one kind that a tenant may have here, with those that wait. Their clients may have gone long
/// since.
const MAX_HERE: usize = 256;
/// How long a request waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Turns for one kind of request.
#[derive(Debug)]
pub struct RequestTurns {
    turns: TenantTurns,
    /// So many of a tenant's may be here, with those that wait.
    max_here: usize,
    /// For so long each waits at most.
    max_wait: Duration,
}

/// See the module's head.
#[derive(Debug)]
pub struct Turns {
    /// For plugins being uploaded.
    pub uploads: RequestTurns,
    /// For deliveries being retried or cancelled.
    pub changes: RequestTurns,
    /// For lists that look at all unfinished deliveries.
    pub walks: RequestTurns,
    /// For plugins and pipelines being run without anything being sent.
    pub dry_runs: RequestTurns,
    /// For plugins being asked about their settings, as many at once as dry runs.
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
    /// A request's turn, when those of its tenant that came before have had theirs.
    ///
    /// # Errors
    /// Where too many of the tenant's requests wait already, or this one has waited too long.
    pub async fn turn(&self, tenant: TenantId) -> Result<Turn, Problem> {
        let turn = self.turns.turn_unless_crowded(tenant, self.max_here);
        let detail = match tokio::time::timeout(self.max_wait, turn).await {
            Ok(Some(turn)) => return Ok(turn),
            Ok(None) => {
                let max = self.max_here;
                format!("{max} requests of this kind are under way already; try again in a moment")
            }
            Err(_) => {
                let seconds = self.max_wait.as_secs();
                format!(
                    "requests of this kind that came before took {seconds} seconds; try again in a moment"
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
    async fn few_uploads_of_a_tenant_wait_for_their_turns() {
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
    async fn a_request_waits_for_its_turn_only_so_long() {
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
