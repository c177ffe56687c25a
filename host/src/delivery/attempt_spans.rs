//! The spans of an attempt, made of its record: one of the attempt, and below it one for each plugin that ran and one of the
//! request, whose id the receiver has got as `traceparent`.

use std::time::Duration;

use url::Url;

use super::reason::reason;
use super::work::Work;
use crate::domain::{Attempt, Hook, Outcome, SentRequest, StepReport, TraceContext, UnixMillis};
use crate::traces::{SpanKind, TraceSpan, Traces, nanos};

/// Has `traces` take the spans of `attempt`, if the event's trace is recorded. Its request ended at `ended_at` and took so long.
/// If `shares_request`, another delivery's attempt shows the request, which went out for both.
pub(super) fn add(
    traces: &Traces,
    (hook, work, attempt): (&Hook, &Work, &Attempt),
    (sending, ended_at): (Duration, UnixMillis),
    shares_request: bool,
) {
    let Some(trace) = work.event.trace.as_deref().filter(|trace| traces.takes(trace)) else { return };
    let end_ns = nanos(ended_at);
    let mut whole = TraceSpan::below(trace, traces.span_id(), true, "deliver").of_kind(SpanKind::Consumer);
    (whole.start_ns, whole.end_ns) = (nanos(attempt.started_at).min(end_ns), end_ns);
    describe(&mut whole, hook, work, attempt);
    whole.links.push(trace.clone());
    let context = trace.child(whole.span_id);

    let mut spans = Vec::with_capacity(2 + attempt.steps.len());
    // What plugins took is known, and their order, but not what lay between them.
    let sending_ns = u64::try_from(sending.as_nanos()).unwrap_or(u64::MAX);
    let mut step_end_ns = end_ns.saturating_sub(sending_ns);
    for step in attempt.steps.iter().rev() {
        let span = TraceSpan::below(&context, traces.span_id(), false, "run plugin");
        let mut span = span.lasting(step.duration, step_end_ns);
        step_end_ns = span.start_ns;
        describe_step(&mut span, step);
        spans.push(span);
    }
    if let Some(sent) = &attempt.request {
        match own_context(sent) {
            Some(own) if own.trace_id == trace.trace_id && !shares_request => {
                let span =
                    TraceSpan::below(&context, own.span_id, false, method(sent)).of_kind(SpanKind::Client);
                let mut span = span.lasting(sending, end_ns);
                describe_request(&mut span, sent, attempt);
                spans.push(span);
            }
            Some(own) => whole.links.push(own),
            None => {}
        }
    }
    spans.push(whole);
    traces.add(spans);
}

/// The name of the span of a request. Methods that are not known have one name in common.
fn method(sent: &SentRequest) -> &'static str {
    let known = ["POST", "PUT", "PATCH", "GET", "DELETE", "HEAD", "OPTIONS"];
    known.into_iter().find(|known| *known == sent.method.as_str()).unwrap_or("HTTP")
}

/// The context that the receiver has got.
fn own_context(sent: &SentRequest) -> Option<TraceContext> {
    let parent = sent.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TraceContext::PARENT));
    parent.and_then(|(_, parent)| TraceContext::parse(parent, None))
}

fn describe(span: &mut TraceSpan, hook: &Hook, work: &Work, attempt: &Attempt) {
    let event = &work.event;
    span.set("messaging.system", "hookwright");
    span.set("messaging.operation.name", "deliver");
    span.set("messaging.operation.type", "process");
    span.set("messaging.message.id", event.id.as_str());
    span.set("hookwright.event.type", event.event_type.as_str());
    span.set("hookwright.tenant", hook.tenant.to_string());
    span.set("hookwright.hook", hook.id.to_string());
    span.set("hookwright.event", event.key.to_string());
    span.set("hookwright.delivery", work.delivery.to_string());
    span.set("hookwright.attempt", attempt.number);
    span.set("hookwright.outcome", attempt.outcome.as_str());
    if let Some(kind) = error_type(&attempt.outcome) {
        span.fail(kind, &reason(&attempt.outcome));
    }
}

fn describe_step(span: &mut TraceSpan, step: &StepReport) {
    span.set("hookwright.plugin", step.plugin.to_string());
    span.set("hookwright.plugin.fuel", step.fuel);
    span.set("hookwright.plugin.memory_bytes", step.memory_bytes);
    if let Some(resolved) = &step.resolved {
        span.set("hookwright.plugin.digest", resolved.digest.to_string());
    }
    if let Some(fault) = &step.fault {
        span.fail(fault.kind.as_str(), &fault.message);
    }
}

/// The URL is not shown: paths and queries of receivers are often secret.
fn describe_request(span: &mut TraceSpan, sent: &SentRequest, attempt: &Attempt) {
    span.set("http.request.method", sent.method.as_str());
    span.set("http.request.body.size", sent.body_bytes);
    if let Ok(url) = Url::parse(&sent.url) {
        span.set("url.scheme", url.scheme());
        span.set("server.address", url.host_str().unwrap_or_default());
        span.set("server.port", url.port_or_known_default().unwrap_or_default());
    }
    if attempt.number > 1 {
        span.set("http.request.resend_count", attempt.number - 1);
    }
    if let Outcome::Response(response) = &attempt.outcome {
        span.set("http.response.status_code", response.status);
    }
    if let Some(kind) = error_type(&attempt.outcome) {
        span.fail(kind, &reason(&attempt.outcome));
    }
}

/// The value of `error.type`, if the attempt has failed.
fn error_type(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Response(response) if response.is_success() => None,
        Outcome::Response(response) => Some(response.status.to_string()),
        Outcome::TimedOut { .. } => Some("timeout".to_owned()),
        Outcome::Unreachable { kind, .. } => Some(kind.as_str().to_owned()),
        Outcome::Faulted { fault, .. } => Some(fault.kind.as_str().to_owned()),
        Outcome::Dropped { .. } => None,
    }
}
