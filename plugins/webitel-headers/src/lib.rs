//! The standard plugin `webitel-headers`: implements `headers` of a Webitel hook. `README.md` describes its settings.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use hookwright_plugin::{Event, Failure, JsonText, Request};
use hookwright_webitel_common::settings::{Texts, truthy};
use hookwright_webitel_common::{Scope, headers};
use serde::Deserialize;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    headers: Texts,
    #[serde(deserialize_with = "truthy")]
    cookie: bool,
}

/// Sets the hook's headers.
///
/// # Errors
/// `bad-data` if the data is not JSON; `bad-preflight` if the preflight response is invalid.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let scope = Scope::of(event)?;
    headers::set(&mut draft, &settings.headers, &scope);
    if settings.cookie
        && let Some(cookies) = scope.preflight.cookie_header()
    {
        draft.set_header("cookie", headers::without_controls(&cookies));
    }
    Ok(Some(draft))
}

#[hookwright_plugin::transformer]
fn transformer(
    event: Event<JsonText>,
    draft: Request,
    settings: Settings,
) -> Result<Option<Request>, Failure> {
    transform(&event, draft, &settings)
}
