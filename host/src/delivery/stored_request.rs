//! What becomes of the request that an attempt rendered, which retries send again.

use super::attempt::MadeAttempt;
use super::decision::Decision;
use super::work::Work;
use super::{request, request_size};
use crate::domain::Hook;
use crate::storage::{Rendered, RenderedRequest};

/// What becomes of the stored request, given the decision on the attempt.
pub(super) fn stored_request(
    hook: &Hook,
    work: &Work,
    made: &mut MadeAttempt,
    decision: Decision,
) -> Rendered {
    let is_retried = matches!(decision, Decision::RetryAt(_));
    match (&made.sent, made.body.take()) {
        (Some(sent), Some(body)) if is_retried && request_size::may_be_stored(sent, &work.event) => {
            let request = request::unsigned(hook, sent, body);
            Rendered::Store(RenderedRequest { request, hook_updated_at: hook.updated_at })
        }
        _ => not_stored(work, decision),
    }
}

/// What becomes of the stored request if no other is stored.
pub(super) fn not_stored(work: &Work, decision: Decision) -> Rendered {
    let is_retried = matches!(decision, Decision::RetryAt(_));
    if !is_retried && work.rendered.is_some() { Rendered::Remove } else { Rendered::Keep }
}
