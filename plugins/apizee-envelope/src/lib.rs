//! The standard plugin `apizee-envelope`: writes the request of an Apizee company webhook. `README.md` describes its
//! settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod props;
mod settings;

use hookwright_json_tree::{Kind, Node, write_string};
use hookwright_plugin::{Body, Event, Failure, JsonText, Request};

pub use settings::Settings;

/// Headers of the original system, in its spelling.
const DEFAULT_HEADERS: [(&str, &str); 2] =
    [("content-type", "application/JSON"), ("user-agent", "Cloud Apizee")];

/// Headers that the HTTP client sets. Settings cannot change them.
const RESERVED: [&str; 2] = ["host", "content-length"];

/// Writes the envelope as the body of the request.
///
/// # Errors
/// `bad-event` if the event's type does not have the form `object.action`; `bad-data` if the data is not an object with
/// an `objectId`.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    draft.body = Body::Text(envelope(event)?);
    draft.method = "POST".into();
    let custom = settings.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    for (name, value) in DEFAULT_HEADERS.into_iter().chain(custom) {
        if !RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            draft.set_header(name, value);
        }
    }
    Ok(Some(draft))
}

fn envelope(event: &Event<JsonText>) -> Result<String, Failure> {
    let (object, action) = split_type(&event.event_type)?;
    let mut data = Node::new(&event.data.0);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    let Node::Object(members) = data else {
        return Err(bad_data("the event's data must be an object, such as {\"objectId\": 1, \"props\": {}}"));
    };
    let member = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let id = member("objectId").filter(|id| matches!(id.kind(), Kind::Number | Kind::String)).ok_or_else(
        || bad_data("the event's data must have a member `objectId` that is a number or a string"),
    )?;

    let mut body = String::with_capacity(event.data.0.len() + 96);
    body.push_str("{\"event\":");
    write_string(action, &mut body);
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

/// Splits a type such as `ticket.update` into object and action.
fn split_type(event_type: &str) -> Result<(&str, &str), Failure> {
    event_type
        .rsplit_once('.')
        .filter(|(object, action)| !object.is_empty() && !action.is_empty())
        .ok_or_else(|| {
            let message = format!(
                "the event type `{event_type}` must have the form `object.action`, such as `ticket.update`"
            );
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
