//! The standard plugin `apizee-envelope`: what an Apizee company webhook sends. Its settings are described in `README.md`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod props;
mod settings;

use hookwright_json_tree::{Kind, Node, write_string};
use hookwright_plugin::{Body, Event, Failure, JsonText, Request};

pub use settings::Settings;

/// What the original says of itself, in its own spelling.
const DEFAULT_HEADERS: [(&str, &str); 2] =
    [("content-type", "application/JSON"), ("user-agent", "Cloud Apizee")];

/// What an HTTP client writes by itself, and no setting may.
const NEVER: [&str; 2] = ["host", "content-length"];

/// The request with the envelope as its body.
///
/// # Errors
/// `bad-event` if the event's type is not an object and what happened to it, `bad-data` if the data isn't
/// an object with an `objectId`.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    draft.body = Body::Text(envelope(event)?);
    draft.method = "POST".into();
    let custom = settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in DEFAULT_HEADERS.into_iter().chain(custom) {
        if !NEVER.iter().any(|never| name.eq_ignore_ascii_case(never)) {
            draft.set_header(name, value);
        }
    }
    Ok(Some(draft))
}

fn envelope(event: &Event<JsonText>) -> Result<String, Failure> {
    let (object, happened) = kind_of_event(&event.event_type)?;
    let mut data = Node::new(&event.data.0);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data isn't JSON: {error}")))?;
    let Node::Object(members) = data else {
        return Err(bad_data("the event's data is not an object, such as {\"objectId\": 1, \"props\": {}}"));
    };
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let id = member("objectId")
        .filter(|id| matches!(id.kind(), Kind::Number | Kind::String))
        .ok_or_else(|| bad_data("the event's data has no `objectId` that is a number or a string"))?;

    let mut body = String::with_capacity(event.data.0.len() + 96);
    body.push_str("{\"event\":");
    write_string(happened, &mut body);
    body.push_str(",\"time\":");
    body.push_str(&(event.occurred_at / 1000).to_string());
    body.push_str(",\"object\":");
    write_string(object, &mut body);
    body.push_str(",\"objectId\":");
    id.write(&mut body);
    body.push_str(",\"props\":");
    props::write(member("props"), &mut body)?;
    body.push('}');
    Ok(body)
}

/// `ticket` and `update` of `ticket.update`.
fn kind_of_event(event_type: &str) -> Result<(&str, &str), Failure> {
    event_type
        .rsplit_once('.')
        .filter(|(object, happened)| !object.is_empty() && !happened.is_empty())
        .ok_or_else(|| {
            let message = format!("the event type `{event_type}` is not as `ticket.update`");
            Failure::new("bad-event", message)
        })
}

fn bad_data(message: &str) -> Failure {
    Failure::new("bad-data", message)
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, draft, &settings)
}
