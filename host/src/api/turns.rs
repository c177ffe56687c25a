//! What one tenant's clients may ask for at the same time, where all tenants share what it is done with.

use super::problem::{Kind, Problem};
use crate::domain::TenantId;
use crate::turns::{TenantTurns, Turn};

/// Plugins that a tenant uploads at the same time: one body in memory, and one place with the compiler, where all tenants
/// stand in one line.
const UPLOADS: usize = 1;
/// Deliveries that a tenant retries or cancels at the same time. Each is a transaction with a sync of its own.
const CHANGES: usize = 4;
/// Lists of a tenant for which all its unfinished deliveries are looked at. A few readers serve all tenants.
const WALKS: usize = 1;
/// Dry runs of a tenant. Each may hold a body of a megabyte, and its plugins take turns with the tenant's deliveries.
const DRY_RUNS: usize = 4;
/// Dry runs of a tenant with those that wait, which have not been read yet.
const MAX_DRY_RUNS_HERE: usize = 20;
/// Requests of one kind that a tenant may have here, with those that wait. Their clients may have gone long since.
const MAX_HERE: usize = 256;

/// Turns for one kind of request.
#[derive(Debug)]
pub struct RequestTurns {
    turns: TenantTurns,
    /// So many of a tenant's may be here, with those that wait.
    max_here: usize,
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
        let of = |at_once, max_here| RequestTurns { turns: TenantTurns::new(at_once), max_here };
        Self {
            uploads: of(UPLOADS, MAX_HERE),
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
    /// Where too many of the tenant's requests wait already.
    pub async fn turn(&self, tenant: TenantId) -> Result<Turn, Problem> {
        self.turns.turn_unless_crowded(tenant, self.max_here).await.ok_or_else(|| {
            let max = self.max_here;
            let detail = format!("{max} requests of this kind are under way already; try again in a moment");
            Problem::new(Kind::TooManyRequests, detail)
        })
    }
}
