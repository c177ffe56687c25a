//! The standard plugin `project-envelope`: writes the notice of a project web hook. `README.md` describes its settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod settings;

use hookwright_json_tree::{Node, write_string};
use hookwright_plugin::{Event, Failure, JsonText, Request};

pub use settings::Settings;

/// The TLS version of the connection is unknown when the body is written, so this is the minimum version.
const SSL_VERSION: &str = "1.2";

/// Members of the envelope. Custom parameters cannot replace them.
const BUILT_IN: &[&str] =
    &["client_id", "project_id", "session_id", "event_type", "event_timestamp", "ssl_version"];

/// Writes the envelope as the body of the request.
///
/// # Errors
/// `bad-data` if the event's data is not an object.
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

/// Returns the text of the data's `session_id`. No other member of the data is sent.
fn session_id(event: &Event<JsonText>) -> Result<String, Failure> {
    let mut data = Node::new(&event.data.0);
    data.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    let Node::Object(members) = data else {
        let message = "the event's data must be an object, such as {\"session_id\": \"…\"}";
        return Err(Failure::new("bad-data", message));
    };
    let found = members.iter().find(|(name, _)| name == "session_id");
    Ok(found.map_or_else(|| "null".into(), |(_, value)| value.text().into_owned()))
}

/// Formats milliseconds as seconds with the necessary decimals, at least one.
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
    fn seconds_have_the_necessary_decimals() {
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
