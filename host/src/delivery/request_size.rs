//! The size of requests: in memory while they are in flight, and on disk until a retry.

use std::sync::Arc;

use super::work::Work;
use crate::clients::{Budget, NoRoom, Reserved};
use crate::domain::{Event, HeaderList, Request, RequestBody, SentRequest, TenantId};

/// Requests up to this size, in bytes, are not counted, because as many as may be in flight use little memory.
const UNCOUNTED_REQUEST: usize = 16 << 10;
/// A request up to this size, in bytes, is stored for retries however small its event is.
const STORED_REQUEST: usize = 256 << 10;

/// Whether a request is stored for retries. If it is much larger than its event, the hook's pipeline runs again instead.
pub(super) fn may_be_stored(sent: &SentRequest, event: &Event) -> bool {
    let body = usize::try_from(sent.body_bytes).unwrap_or(usize::MAX);
    fits((&sent.url, &sent.headers, body), event)
}

/// The same for a body that was sent with others, and that a retry sends to what `head` says.
pub(super) fn part_may_be_stored(head: &Request, body: &RequestBody, event: &Event) -> bool {
    fits((&head.url, &head.headers, body.as_bytes().len()), event)
}

/// With how many bytes what a pipeline wrote is counted in a request with others: with its head, and with what separates its
/// body from the next one.
pub(super) fn part_bytes(part: &Request) -> usize {
    part.url.len() + header_bytes(&part.headers) + part.body.as_bytes().len() + 1
}

fn header_bytes(headers: &HeaderList) -> usize {
    headers.iter().map(|(name, value)| name.len() + value.len()).sum()
}

fn fits((url, headers, body): (&str, &HeaderList, usize), event: &Event) -> bool {
    body.saturating_add(url.len() + header_bytes(headers)) <= STORED_REQUEST.max(2 * event.data.len())
}

/// Reserves memory for a request while it is in flight. Deliveries of one event share its data, which is the whole body of a
/// plain request.
///
/// # Errors
/// Fails if there is no memory for the tenant now.
pub(super) fn reserve(
    budget: &Arc<Budget>,
    work: &Work,
    request: &Request,
) -> Result<Option<Reserved>, NoRoom> {
    let (data, body) = (work.event.data.as_bytes(), request.body.as_bytes());
    let own_body = if std::ptr::eq(data, body) { 0 } else { body.len() };
    reserve_bytes(budget, work.tenant(), data.len() / Arc::strong_count(&work.event) + own_body)
}

/// Reserves memory for requests with so many `bytes` in all.
///
/// # Errors
/// As [`reserve`].
pub(super) fn reserve_bytes(
    budget: &Arc<Budget>,
    tenant: TenantId,
    bytes: usize,
) -> Result<Option<Reserved>, NoRoom> {
    if bytes <= UNCOUNTED_REQUEST {
        return Ok(None);
    }
    budget.reserve_one(Some(tenant), bytes).map(Some)
}
