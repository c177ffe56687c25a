//! Requests with several events: what may be in one, and how it is written.
//!
//! What a pipeline writes is not changed: the bodies are joined as they are. So an event's id is in the request if the
//! pipeline writes it into the body. The id of the request follows from those of its events, in order: two requests with
//! the same id have the same events, and one with more, with fewer or with others has another id. A receiver that drops
//! what it has seen thus never drops an event that it has not.

use crate::domain::hash::sha256;
use crate::domain::{
    BatchFormat, Event, EventId, EventType, Fault, FaultKind, Hook, Request, RequestBody, Verdict,
};
use crate::sandbox::{PipelineEnd, PipelineRun};

const CONTENT_TYPE: &str = "content-type";
/// The media type of one CloudEvent in JSON.
const CLOUD_EVENT: &str = "application/cloudevents+json";
/// The media type of several (CloudEvents 1.0, JSON format, section 4).
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";
/// Headers that describe a body as a whole.
const OF_BODY: [&str; 4] = ["content-digest", "digest", "content-md5", "content-encoding"];
/// How many bytes of the hash are in the id of a request.
const ID_BYTES: usize = 16;

/// Checks that what the hook's pipeline wrote for `event` can be a part of a request.
///
/// # Errors
/// The last plugin's fault, if it cannot.
pub(super) fn check_part(part: &Request, event: &Event, format: BatchFormat) -> Result<(), Fault> {
    let unusable = |message: String| Err(Fault::new(FaultKind::InvalidOutput, message));
    if format == BatchFormat::CloudEvents && !is_cloud_event(part) {
        return unusable(format!(
            "the request is not a CloudEvent with the content type `{CLOUD_EVENT}`, which the hook's batches of CloudEvents \
             need; let the pipeline's last plugin write one, such as `cloudevents` in structured mode"
        ));
    }
    let of_body = |name: &str| OF_BODY.iter().any(|it| name.eq_ignore_ascii_case(it));
    if let Some((name, _)) = part.headers.iter().find(|(name, _)| of_body(name)) {
        return unusable(format!(
            "the request has the header `{name}`, which is about its body; in the hook's batches, the body is a part of a \
             larger one, so let the pipeline write no such header"
        ));
    }
    let bytes = part.body.as_bytes();
    let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if format == BatchFormat::CloudEvents && !bytes.is_empty() && first != Some(&b'{') {
        return unusable("the body is not a CloudEvent: it is no JSON object".to_owned());
    }
    match &part.body {
        // The event's data is JSON.
        RequestBody::Text(text) if std::ptr::eq(&**text, &*event.data) => return Ok(()),
        RequestBody::None => {
            return unusable("the request has no body, which the hook's batches need".to_owned());
        }
        RequestBody::Text(_) => {}
        RequestBody::Binary(bytes) if std::str::from_utf8(bytes).is_err() => {
            return unusable(
                "the body is not JSON, which the hook's batches need: it is not UTF-8".to_owned(),
            );
        }
        RequestBody::Binary(_) => {}
    }
    match serde_json::from_slice::<serde::de::IgnoredAny>(bytes) {
        Ok(_) => Ok(()),
        Err(error) => unusable(format!("the body is not JSON, which the hook's batches need: {error}")),
    }
}

/// Whether two parts may be in one request.
pub(super) fn go_together(one: &Request, other: &Request) -> bool {
    one.method == other.method && one.url == other.url && one.headers == other.headers
}

/// The request with these bodies of parts that [go together](go_together) with `first`. There is at least one.
pub(super) fn join(first: &Request, bodies: &[&RequestBody], format: BatchFormat) -> Request {
    let bytes: usize = bodies.iter().map(|body| body.as_bytes().len() + 1).sum();
    let mut body = Vec::with_capacity(bytes + 1);
    for part in bodies {
        body.push(if body.is_empty() { b'[' } else { b',' });
        body.extend_from_slice(part.as_bytes());
    }
    body.push(b']');
    let mut headers = first.headers.clone();
    let content_type = match format {
        BatchFormat::CloudEvents => Some(CLOUD_EVENTS),
        // An array is not a CloudEvent.
        BatchFormat::Json => is_cloud_event(first).then_some("application/json"),
    };
    if let Some(content_type) = content_type {
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(CONTENT_TYPE));
        headers.push((CONTENT_TYPE.into(), content_type.into()));
    }
    Request { method: first.method.clone(), url: first.url.clone(), headers, body: RequestBody::Binary(body) }
}

/// The event that plugins get for the request `joined` with these events. Its id is that of the request, its time that of the
/// newest event, and its data the array of the bodies. Of no events there is none.
pub(super) fn event_of<'a>(
    events: impl Iterator<Item = &'a Event> + Clone,
    joined: &Request,
) -> Option<Event> {
    let newest = events.clone().max_by_key(|event| (event.occurred_at, event.key))?;
    Some(Event {
        id: EventId::from_path(&id_of(events)),
        project: None,
        ordering_key: None,
        event_type: EventType::batch(),
        data: String::from_utf8_lossy(joined.body.as_bytes()).into(),
        ..newest.clone()
    })
}

/// The `run` of a hook's pipeline for `event` with the request that is sent if no other event goes with it.
pub(super) fn alone(hook: &Hook, event: &Event, run: PipelineRun, format: BatchFormat) -> PipelineRun {
    let PipelineRun { mut steps, end } = run;
    let PipelineEnd::Verdict(Verdict::Keep(request)) = end else { return PipelineRun { steps, end } };
    let end = match check_part(&request, event, format) {
        Ok(()) => PipelineEnd::Verdict(Verdict::Keep(join(&request, &[&request.body], format))),
        Err(fault) => {
            if let Some(step) = steps.last_mut() {
                step.fault = Some(fault.clone());
            }
            PipelineEnd::Fault { step: last_step(hook), fault }
        }
    };
    PipelineRun { steps, end }
}

/// The step that wrote the request.
pub(super) fn last_step(hook: &Hook) -> usize {
    hook.pipeline.0.len().saturating_sub(1)
}

/// The step that wrote a request with several events.
pub(super) fn last_step_of_batch(hook: &Hook) -> usize {
    (hook.pipeline.0.len() + hook.options.batch_pipeline.0.len()).saturating_sub(1)
}

/// The id of a request with these events.
pub(super) fn id_of<'a>(events: impl Iterator<Item = &'a Event>) -> String {
    let ids: Vec<&[u8]> = events.flat_map(|event| [event.id.as_str().as_bytes(), b"\n"]).collect();
    format!("batch_{}", hex::encode(&sha256(&ids)[..ID_BYTES]))
}

fn is_cloud_event(part: &Request) -> bool {
    let values = part.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE));
    let mut types = values.map(|(_, value)| value.split(';').next().unwrap_or_default().trim());
    types.next().is_some_and(|media| media.eq_ignore_ascii_case(CLOUD_EVENT)) && types.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::testing::event;

    fn part(content_type: &str, body: RequestBody) -> Request {
        Request {
            method: "POST".into(),
            url: "https://example.com/".to_owned(),
            headers: vec![("Content-Type".into(), content_type.into()), ("x-a".into(), "1".into())],
            body,
        }
    }

    fn text(text: &str) -> RequestBody {
        RequestBody::Text(text.into())
    }

    #[test]
    fn a_part_is_json_and_in_a_batch_of_cloudevents_a_cloudevent() {
        use BatchFormat::{CloudEvents, Json};
        const PLAIN: &str = "application/json";
        const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";
        for (content_type, body, format, expected) in [
            (PLAIN, text(r#" {"a":[1]} "#), Json, None),
            (PLAIN, RequestBody::Binary(b"7".to_vec()), Json, None),
            ("text/plain", text("null"), Json, None),
            (PLAIN, text(r#"{"a":1}{"#), Json, Some("not JSON")),
            (PLAIN, text("1,2"), Json, Some("not JSON")),
            (PLAIN, text(""), Json, Some("not JSON")),
            (PLAIN, RequestBody::Binary(b"\"\xff\"".to_vec()), Json, Some("not UTF-8")),
            (PLAIN, RequestBody::None, Json, Some("no body")),
            (STRUCTURED, text("{}"), CloudEvents, None),
            ("Application/CloudEvents+JSON", text("{}"), CloudEvents, None),
            (STRUCTURED, text("{"), CloudEvents, Some("not JSON")),
            (STRUCTURED, text(" [{}]"), CloudEvents, Some("no JSON object")),
            (STRUCTURED, text("\n{}"), CloudEvents, None),
            (PLAIN, text("{}"), CloudEvents, Some("structured mode")),
        ] {
            let checked = check_part(&part(content_type, body.clone()), &event(), format);
            let message = checked.err().map(|fault| fault.message);
            match expected {
                None => assert_eq!(message, None, "{body:?}"),
                Some(words) => {
                    assert!(message.as_ref().is_some_and(|it| it.contains(words)), "{body:?}: {message:?}");
                }
            }
        }
    }

    #[test]
    fn a_part_has_no_header_about_a_whole_body() {
        for name in ["Content-Digest", "digest", "content-md5", "content-encoding"] {
            let mut part = part("application/json", text("{}"));
            part.headers.push((name.into(), "x".into()));
            let fault = check_part(&part, &event(), BatchFormat::Json).unwrap_err();
            assert!(fault.message.contains(name), "{fault:?}");
        }
    }

    #[test]
    fn the_bodies_of_all_parts_are_joined_as_they_are() {
        for (content_type, format, expected) in [
            ("application/json; charset=utf-8", BatchFormat::Json, "application/json; charset=utf-8"),
            ("application/cloudevents+json", BatchFormat::Json, "application/json"),
            ("application/cloudevents+json", BatchFormat::CloudEvents, "application/cloudevents-batch+json"),
        ] {
            let parts = ["{\"n\": 1.50}", "2", "\n[3]"].map(|body| part(content_type, text(body)));
            let bodies: Vec<_> = parts.iter().map(|part| &part.body).collect();
            let joined = join(&parts[0], &bodies, format);
            assert_eq!(joined.body.as_bytes(), b"[{\"n\": 1.50},2,\n[3]]");
            let types: Vec<_> =
                joined.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(CONTENT_TYPE)).collect();
            assert_eq!(types.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), [expected]);
            assert_eq!(joined.headers.len(), 2);
        }
    }

    #[test]
    fn the_id_of_a_request_is_that_of_its_events_in_their_order() {
        let named = |ids: &[&str]| {
            let events: Vec<Event> =
                ids.iter().map(|id| Event { id: crate::domain::EventId::from_path(id), ..event() }).collect();
            id_of(events.iter())
        };
        let id = named(&["a", "b"]);
        assert_eq!(id, named(&["a", "b"]));
        assert_eq!(id.len(), "batch_".len() + 2 * ID_BYTES);
        for others in [&["a"][..], &["b", "a"], &["a", "b", "c"], &["ab"], &["a", "b\n"]] {
            assert_ne!(id, named(others), "{others:?}");
        }
    }
}
