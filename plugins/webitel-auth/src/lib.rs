//! The standard plugin `webitel-auth`: writes the preflight request of a Webitel hook. `README.md` describes its
//! settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use hookwright_json_tree::write_string;
use hookwright_plugin::{Body, Event, Failure, JsonText, Request};
use hookwright_webitel_common::settings::{Method, Texts, method};
use hookwright_webitel_common::{Query, Scope, headers};
use serde::Deserialize;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    url: String,
    #[serde(default, deserialize_with = "method")]
    method: Option<Method>,
    #[serde(default)]
    headers: Texts,
    #[serde(default)]
    map: Texts,
}

/// Writes the preflight request. It keeps only the `user-agent` of the draft, because the other headers are for the
/// hook's receiver.
///
/// # Errors
/// `bad-data` if the data is not JSON.
pub fn transform(
    event: &Event<JsonText>,
    draft: &Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let scope = Scope::of(event)?;
    let values = settings.map.iter().map(|(name, template)| (name, scope.render_flat(template)));
    let method = settings.method.unwrap_or(Method::Get);
    let mut request = Request {
        method: method.as_str().into(),
        url: settings.url.clone(),
        headers: Vec::new(),
        body: Body::None,
    };
    if let Some(agent) = draft.header("user-agent") {
        request.set_header("user-agent", agent);
    }
    if method == Method::Get {
        request.url = Query::of_texts(values).merged_into(&settings.url);
    } else {
        request.set_json(object(values));
        request.set_header("accept", "application/json");
    }
    headers::set(&mut request, &settings.headers, &scope);
    Ok(Some(request))
}

fn object<'t>(members: impl Iterator<Item = (&'t str, String)>) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(name, &mut text);
        text.push(':');
        write_string(&value, &mut text);
    }
    text.push('}');
    text
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, &draft, &settings)
}
