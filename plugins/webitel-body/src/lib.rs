//! The standard plugin `webitel-body`: writes the request of a Webitel hook. `README.md` describes its settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod custom;
mod id;

use std::borrow::Cow;

use hookwright_json_tree::write_string;
use hookwright_plugin::{Body, Event, Failure, JsonText, Request};
use hookwright_webitel_common::settings::{Method, exactly_true, method, text};
use hookwright_webitel_common::{Query, Scope};
use serde::Deserialize;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    #[serde(deserialize_with = "method")]
    method: Option<Method>,
    #[serde(deserialize_with = "exactly_true")]
    custom_body: bool,
    #[serde(deserialize_with = "text")]
    raw_body: Option<String>,
    escape_body: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { method: None, custom_body: false, raw_body: None, escape_body: true }
    }
}

/// The content of the request.
enum Content<'a> {
    /// The result of a template, without an envelope.
    Value(String),
    /// The data of an envelope.
    Data(Cow<'a, str>),
}

/// Writes the hook's method and body, or its parameters if the method is GET.
///
/// # Errors
/// `bad-data` if the data is not JSON or cannot be written into a URL; `bad-preflight` if the preflight response is
/// invalid.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let content = content(event, settings)?;
    let method = settings.method.unwrap_or(Method::Post);
    draft.method = method.as_str().into();
    if method == Method::Get {
        let data = match content {
            Content::Value(value) => Cow::Owned(value),
            Content::Data(data) => data,
        };
        draft.url = Query::of_json(&data)?.merged_into(&draft.url);
        draft.body = Body::None;
        // Without a body, remove the default content type. A content type from the hook's own headers stays.
        if draft.header("content-type") == Some("application/json") {
            draft.remove_header("content-type");
        }
        return Ok(Some(draft));
    }
    draft.body = Body::Text(match content {
        Content::Value(value) => value,
        Content::Data(data) => envelope(event, &data),
    });
    // The hook's own headers take precedence.
    for name in ["content-type", "accept"] {
        if draft.header(name).is_none() {
            draft.set_header(name, "application/json");
        }
    }
    Ok(Some(draft))
}

fn content<'a>(event: &'a Event<JsonText>, settings: &Settings) -> Result<Content<'a>, Failure> {
    let template = settings.raw_body.as_deref().filter(|_| settings.custom_body);
    let Some(template) = template else { return Ok(Content::Data(event.data.0.trim().into())) };
    let rendered = custom::render(template, &Scope::of(event)?, settings.escape_body);
    // If the result is not JSON, send an envelope without data.
    Ok(custom::compact(&rendered).map_or(Content::Data("{}".into()), Content::Value))
}

fn envelope(event: &Event<JsonText>, data: &str) -> String {
    let mut body = String::with_capacity(data.len() + 96);
    body.push_str("{\"id\":");
    write_string(&id::of(event), &mut body);
    body.push_str(",\"action\":");
    write_string(&event.event_type, &mut body);
    body.push_str(",\"data\":");
    body.push_str(data);
    body.push('}');
    body
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, draft, &settings)
}
