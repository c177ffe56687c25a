//! The standard plugin `project-envelope`: the notice that a project web hook sends. Its settings are described in `README.md`.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod settings;

use hookwright_json_tree::{Node, write_string};
use hookwright_plugin::{Event, Failure, JsonText, Request};

pub use settings::Settings;

/// The body is written before there is a connection, whose version of TLS would have to be known. This is the
/// least that receivers are promised.
const SSL_VERSION: &str = "1.2";

/// The members that the envelope itself has. No custom parameter can stand in for one.
const BUILT_IN: &[&str] =
    &["client_id", "project_id", "session_id", "event_type", "event_timestamp", "ssl_version"];

/// The request with the envelope as its body.
///
/// # Errors
/// `bad-data` if the event's data is no object.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let mut body = String::with_capacity(256);
    body.push_str("{\"client_id\":");
    body.push_str(&settings.client_id.to_string());
    body.push_str(",\"project_id\":");
    body.push_str(&settings.project_id.to_string());
    body.push_str(",\"session_id\":");
    body.push_str(&session_id(event)?);
    body.push_str(",\"event_type\":");
    write_string(&event.event_type, &mut body);
    body.push_str(",\"event_timestamp\":");
    body.push_str(&seconds(event.occurred_at));
    for (name, value) in settings.custom_parameters.iter() {
        if !BUILT_IN.contains(&name) {
            body.push(',');
            write_string(name, &mut body);
            body.push(':');
            body.push_str(value);
        }
    }
    body.push_str(",\"ssl_version\":");
    body.push_str(SSL_VERSION);
    body.push('}');

    draft.method = "POST".into();
    draft.set_json(body);
    Ok(Some(draft))
}

/// The data's `session_id` as it stands; nothing else of a session is sent.
fn session_id(event: &Event<JsonText>) -> Result<String, Failure> {
    let mut data = Node::new(&event.data.0);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data isn't JSON: {error}")))?;
    let Node::Object(members) = data else {
        let message = "the event's data is not an object, such as {\"session_id\": \"…\"}";
        return Err(Failure::new("bad-data", message));
    };
    let found = members.iter().find(|(name, _)| name == "session_id");
    Ok(found.map_or_else(|| "null".into(), |(_, value)| value.text().into_owned()))
}

/// Milliseconds as seconds, with as many decimals as it takes and at least one.
fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1000, ms % 1000);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, draft, &settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_have_the_decimals_they_need() {
        for (ms, expected) in [
            (0, "0.0"),
            (1_512_624_088_977, "1512624088.977"),
            (1_512_624_088_000, "1512624088.0"),
            (1_512_624_088_500, "1512624088.5"),
            (1_512_624_088_050, "1512624088.05"),
            (1_512_624_088_005, "1512624088.005"),
            (1_512_624_080_000, "1512624080.0"),
        ] {
            assert_eq!(seconds(ms), expected, "{ms}");
        }
    }
}
