//! Limits on the concurrent requests of one tenant that use resources shared by all tenants.

use std::time::Duration;

use crate::domain::TenantId;
use crate::tenant_limiter::{TenantLimiter, TenantPermit};

/// Concurrent uploads of a tenant. Each holds a body in memory and a place in the compiler's queue, which
/// all tenants share.
const UPLOADS: usize = 1;
/// Uploads of a tenant that run or wait. Each waiting one is a connection with an unread body.
const MAX_UPLOADS_PRESENT: usize = 8;
/// Concurrent retries and cancellations of a tenant. Each is a transaction with a sync of its own.
const CHANGES: usize = 4;
/// Concurrent lists of a tenant that read all its unfinished deliveries. All tenants share a few readers.
const SCANS: usize = 1;
/// Concurrent dry runs of a tenant. Each may hold a body of a megabyte, and its plugins compete with the
/// tenant's deliveries.
const DRY_RUNS: usize = 4;
/// Dry runs of a tenant that run or wait. The bodies of waiting ones are unread.
const MAX_DRY_RUNS_PRESENT: usize = 20;
/// Requests of one kind of a tenant that run or wait. The clients of waiting ones may have disconnected.
const MAX_PRESENT: usize = 256;
/// How long a request waits at most.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// Why a request got no permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitExceeded {
    /// This number of requests of the tenant run or wait, the maximum.
    #[error("{0} requests of this kind are in progress or waiting; try again later")]
    Full(usize),
    /// The request has waited this number of seconds, the maximum.
    #[error("the request waited {0} seconds for earlier requests of this kind; try again later")]
    TimedOut(u64),
}

/// The limit on one kind of request.
#[derive(Debug)]
pub struct RequestLimiter {
    limiter: TenantLimiter,
    /// The maximum number of requests of a tenant that run or wait.
    max_present: usize,
    /// How long a request waits at most.
    max_wait: Duration,
}

/// See the [module documentation](self).
#[derive(Debug)]
pub struct RequestLimits {
    /// Uploads of plugins.
    pub uploads: RequestLimiter,
    /// Retries and cancellations of deliveries.
    pub changes: RequestLimiter,
    /// Lists that read all unfinished deliveries.
    pub scans: RequestLimiter,
    /// Runs of plugins and pipelines that send nothing.
    pub dry_runs: RequestLimiter,
    /// Trial calls of plugins, as many at once as dry runs.
    pub trials: RequestLimiter,
}

impl Default for RequestLimits {
    fn default() -> Self {
        let of = |at_once, max_present| {
            let limiter = TenantLimiter::new(at_once);
            RequestLimiter { limiter, max_present, max_wait: MAX_WAIT }
        };
        Self {
            uploads: of(UPLOADS, MAX_UPLOADS_PRESENT),
            changes: of(CHANGES, MAX_PRESENT),
            scans: of(SCANS, MAX_PRESENT),
            dry_runs: of(DRY_RUNS, MAX_DRY_RUNS_PRESENT),
            trials: of(DRY_RUNS, MAX_PRESENT),
        }
    }
}

impl RequestLimiter {
    /// Waits for a permit, first in, first out among the requests of the tenant.
    ///
    /// # Errors
    /// Fails if too many requests of the tenant run or wait, or if this one has waited too long.
    pub async fn acquire(&self, tenant: TenantId) -> Result<TenantPermit, LimitExceeded> {
        let permit = self.limiter.acquire_unless_full(tenant, self.max_present);
        match tokio::time::timeout(self.max_wait, permit).await {
            Ok(permit) => permit.ok_or(LimitExceeded::Full(self.max_present)),
            Err(_) => Err(LimitExceeded::TimedOut(self.max_wait.as_secs())),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const TENANT: TenantId = TenantId(1);

    #[tokio::test]
    async fn few_uploads_of_a_tenant_can_wait() {
        let RequestLimits { uploads, .. } = RequestLimits::default();
        let first = uploads.acquire(TENANT).await.unwrap();
        let mut waiting: Vec<_> = (1..MAX_UPLOADS_PRESENT).map(|_| uploads.acquire(TENANT).boxed()).collect();
        assert!(waiting.iter_mut().all(|permit| permit.now_or_never().is_none()));
        let refused = uploads.acquire(TENANT).now_or_never().unwrap();
        assert_eq!(refused.unwrap_err(), LimitExceeded::Full(MAX_UPLOADS_PRESENT));
        drop((first, waiting));
        assert!(uploads.acquire(TENANT).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_waits_for_a_limited_time() {
        let max_wait = Duration::from_millis(10);
        let limiter = RequestLimiter { limiter: TenantLimiter::new(1), max_present: 2, max_wait };
        let first = limiter.acquire(TENANT).await.unwrap();
        for _ in 0..3 {
            assert_eq!(limiter.acquire(TENANT).await.unwrap_err(), LimitExceeded::TimedOut(0));
        }
        drop(first);
        assert!(limiter.acquire(TENANT).await.is_ok());
    }
}
