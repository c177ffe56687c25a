//! Bodies of requests that hooks have kept. They are stored with the records of their attempts.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::{AttemptId, TenantId, UnixMillis};

/// See the module's head.
#[async_trait]
pub trait KeptBodyStore: Send + Sync {
    /// The beginning of the body that this attempt sent, if it is still kept at `now`.
    async fn kept_body(
        &self,
        tenant: TenantId,
        attempt: AttemptId,
        now: UnixMillis,
    ) -> Result<Option<Vec<u8>>, StorageError>;
    /// Removes bodies that are not kept any more at `now`, at most `most`. Returns how many there were.
    async fn remove_expired_bodies(&self, now: UnixMillis, most: u32) -> Result<u64, StorageError>;
}
