//! The trace that a publisher's request is a part of (W3C Trace Context).

use http::HeaderMap;

use crate::domain::TraceContext;

/// The trace in the headers, if they are well-formed. Others are ignored, as the standard says.
pub(super) fn trace(headers: &HeaderMap) -> Option<Box<TraceContext>> {
    let mut parents = headers.get_all(TraceContext::PARENT).iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    let states: Option<Vec<&str>> =
        headers.get_all(TraceContext::STATE).iter().map(|value| value.to_str().ok()).collect();
    // Several lines are one list (section 3.3.1).
    let state = states.map(|states| states.join(","));
    TraceContext::parse(parent.trim(), state.as_deref()).map(Box::new)
}
