//! The part of a distributed trace (W3C Trace Context) that a request is which publishes events.

use http::{HeaderMap, StatusCode};

use crate::domain::{TenantId, TraceContext};
use crate::traces::{Began, SpanKind, Traces};

/// A request that publishes events.
pub struct Publishing {
    traces: Traces,
    route: &'static str,
    given: Option<Box<TraceContext>>,
    span: Option<Box<Began>>,
}

impl Publishing {
    /// A request with these headers to `route`, such as `POST /api/v3/events`.
    #[must_use]
    pub fn begin(traces: &Traces, headers: &HeaderMap, route: &'static str) -> Self {
        let given = given(headers);
        let span = traces.begin(given.as_deref()).map(Box::new);
        Self { traces: traces.clone(), route, given, span }
    }

    /// The trace that its events belong to.
    #[must_use]
    pub fn trace(&self) -> Option<Box<TraceContext>> {
        match &self.span {
            Some(span) => Some(Box::new(span.context.clone())),
            None => self.given.clone(),
        }
    }

    /// The request of `tenant` is answered with this status.
    pub fn end(self, tenant: TenantId, status: StatusCode) {
        let Some(began) = self.span else { return };
        let mut span = began.end(self.route).of_kind(SpanKind::Server);
        let (method, path) = self.route.split_once(' ').unwrap_or_default();
        span.set("http.request.method", method);
        span.set("http.route", path);
        span.set("http.response.status_code", status.as_u16());
        span.set("hookwright.tenant", tenant.to_string());
        if status.is_server_error() {
            span.fail(status.as_u16().to_string(), status.canonical_reason().unwrap_or_default());
        }
        self.traces.add([span]);
    }
}

/// The trace in the headers, if they are well-formed. Others are ignored, as the standard says.
fn given(headers: &HeaderMap) -> Option<Box<TraceContext>> {
    let mut parents = headers.get_all(TraceContext::PARENT).iter();
    let (parent, None) = (parents.next()?.to_str().ok()?, parents.next()) else { return None };
    let states: Option<Vec<&str>> =
        headers.get_all(TraceContext::STATE).iter().map(|value| value.to_str().ok()).collect();
    // Several lines are one list (section 3.3.1).
    let state = states.map(|states| states.join(","));
    TraceContext::parse(parent.trim(), state.as_deref()).map(Box::new)
}
