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
/// Requests of one kind that a tenant may have here, with those that wait. Their clients may have gone long since.
const MAX_HERE: usize = 256;

/// Turns for one kind of request.
#[derive(Debug)]
pub struct RequestTurns(TenantTurns);

/// See the module's head.
#[derive(Debug)]
pub struct Turns {
    /// For plugins being uploaded.
    pub uploads: RequestTurns,
    /// For deliveries being retried or cancelled.
    pub changes: RequestTurns,
    /// For lists that look at all unfinished deliveries.
    pub walks: RequestTurns,
}

impl Default for Turns {
    fn default() -> Self {
        let of = |at_once| RequestTurns(TenantTurns::new(at_once));
        Self { uploads: of(UPLOADS), changes: of(CHANGES), walks: of(WALKS) }
    }
}

impl RequestTurns {
    /// A request's turn, when those of its tenant that came before have had theirs.
    ///
    /// # Errors
    /// Where too many of the tenant's requests wait already.
    pub async fn turn(&self, tenant: TenantId) -> Result<Turn, Problem> {
        self.0.turn_unless_crowded(tenant, MAX_HERE).await.ok_or_else(|| {
            let detail = format!(
                "{MAX_HERE} requests of this kind wait for their turn already; try again in a moment"
            );
            Problem::new(Kind::TooManyRequests, detail)
        })
    }
}
