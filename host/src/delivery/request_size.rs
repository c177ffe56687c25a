//! What requests take: in memory while they are under way, and on disk until they are made again.

use std::sync::Arc;

use super::lanes::Work;
use super::worker::Worker;
use crate::clients::{NoRoom, Reserved};
use crate::domain::{Event, Request, SentRequest};

/// Requests up to this size, in bytes, are not counted: as many as may be under way are little.
const UNCOUNTED_REQUEST: usize = 16 << 10;
/// The size of a request, in bytes, up to which it is kept for retries however small its event is.
const KEPT_REQUEST: usize = 256 << 10;

/// Whether a request is kept for retries. One that is much larger than its event is not: the hook's pipeline runs again.
pub(super) fn may_be_kept(sent: &SentRequest, event: &Event) -> bool {
    let headers: usize = sent.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes =
        usize::try_from(sent.body_bytes).unwrap_or(usize::MAX).saturating_add(sent.url.len() + headers);
    bytes <= KEPT_REQUEST.max(2 * event.data.len())
}

impl Worker {
    /// Room for a request while it is under way. Deliveries of one event share its data, and plain requests are nothing else.
    ///
    /// # Errors
    /// If there is none for the tenant right now.
    pub(super) fn reserve(&self, work: &Work, request: &Request) -> Result<Option<Reserved>, NoRoom> {
        let (data, body) = (work.event.data.as_bytes(), request.body.as_bytes());
        let own_body = if std::ptr::eq(data, body) { 0 } else { body.len() };
        let bytes = data.len() / Arc::strong_count(&work.event) + own_body;
        if bytes <= UNCOUNTED_REQUEST {
            return Ok(None);
        }
        self.memory.reserve_one(Some(work.event.tenant), bytes).map(Some)
    }
}
