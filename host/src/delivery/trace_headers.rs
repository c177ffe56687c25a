//! The headers that make an attempt a part of the trace of its event (W3C Trace Context).

use crate::domain::{Event, Request, SpanId, TraceContext};
use crate::random::Random;

/// Adds the headers to `request`, each time with a span of its own. Those that a hook or a plugin wrote stay, but not those of an
/// earlier attempt. Does nothing for an event without a trace.
pub(super) fn add(request: &mut Request, event: &Event, random: &dyn Random) {
    let Some(trace) = &event.trace else { return };
    let given = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(TraceContext::PARENT));
    let is_own =
        |value: &str| TraceContext::parse(value, None).is_some_and(|it| it.trace_id == trace.trace_id);
    if given.is_some_and(|(_, value)| !is_own(value)) {
        return;
    }
    request.headers.retain(|(name, _)| !is_trace_header(name));
    let mut id = [0; 8];
    random.fill(&mut id);
    let parent = trace.child(SpanId::of_random(id)).parent();
    request.headers.push((TraceContext::PARENT.into(), parent.into()));
    if let Some(state) = &trace.state {
        request.headers.push((TraceContext::STATE.into(), (&**state).into()));
    }
}

/// Whether it is one of these headers.
pub(super) fn is_trace_header(name: &str) -> bool {
    [TraceContext::PARENT, TraceContext::STATE].iter().any(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::testing::event;
    use crate::domain::RequestBody;
    use crate::random::SystemRandom;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-11111111111111111111111111111111-b7ad6b7169203331-01";

    /// The headers of a request of an event in a trace, with `given` ones.
    fn headers(given: &[(&str, &str)], trace: Option<TraceContext>) -> Vec<(String, String)> {
        let headers = given.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut request =
            Request { method: "POST".into(), url: String::new(), headers, body: RequestBody::None };
        add(&mut request, &Event { trace: trace.map(Box::new), ..event() }, &SystemRandom);
        request.headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn each_attempt_is_a_span_of_its_own_below_the_publishers() {
        let trace = TraceContext::parse(PARENT, Some("a=1"));
        let first = headers(&[], trace.clone());
        let earlier = [("Traceparent", first[0].1.as_str()), ("tracestate", "a=1")];
        let second = headers(&earlier, trace.clone());
        for sent in [&first, &second] {
            assert_eq!(sent.len(), 2, "{sent:?}");
            assert_eq!(sent[1], ("tracestate".to_owned(), "a=1".to_owned()));
            let shown = TraceContext::parse(&sent[0].1, None).unwrap();
            assert_eq!(Some(shown.trace_id), trace.as_ref().map(|trace| trace.trace_id));
        }
        assert_ne!(first[0], second[0]);
        assert!(first[0].1 != PARENT && second[0].1 != PARENT);
    }

    #[test]
    fn headers_of_a_hook_or_a_plugin_stay() {
        let own = [("traceparent", OTHER)];
        let expected = [("traceparent".to_owned(), OTHER.to_owned())];
        assert_eq!(headers(&own, TraceContext::parse(PARENT, None)), expected);
        assert_eq!(headers(&own, None), expected);
        assert_eq!(headers(&[], None), []);
    }
}
