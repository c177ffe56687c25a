//! The standard plugin `body-template`: writes the request's body from a template. `README.md` describes its settings.
//!
//! Templates use minijinja's syntax, with `${…}` for expressions. [`markup`] has the three formats in which values are
//! written; [`json_body`] makes the JSON format valid at every position.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod data;
mod json_body;
mod markup;
mod render;
mod settings;

use hookwright_plugin::{Body, Event, Failure, JsonText, Request};

pub use settings::Settings;

use markup::Markup;
use render::Renderer;

/// Writes the body and the headers of the request from templates.
///
/// # Errors
/// `bad-settings` if a template cannot be parsed; `bad-template` if one fails; `bad-data` if the event's data is not
/// JSON; `bad-body` if the content type is JSON and the body is not; `bad-header` if a header's value has a control
/// character.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let markup = Markup::of(&settings.content_type);
    let body = Renderer::new(settings, markup, std::iter::once(&settings.template));
    let headers = Renderer::new(settings, Markup::Plain, settings.headers.values());
    // Parse all templates before rendering the first, so that syntax errors do not depend on the data.
    let template = body.parse("template".into(), &settings.template)?;
    let named = settings.headers.iter();
    let read = named.map(|(name, template)| Ok((name, headers.parse(format!("headers.{name}"), template)?)));
    let read = read.collect::<Result<Vec<_>, Failure>>()?;

    let context = data::context(event, &draft)?;
    let body = template.render(&context)?;
    for (name, template) in read {
        let value = template.render(&context)?;
        if value.chars().any(char::is_control) {
            return Err(Failure::new(
                "bad-header",
                format!("the value of the header `{name}` has a control character"),
            ));
        }
        draft.set_header(name, value);
    }
    if let Some(method) = &settings.method {
        draft.method.clone_from(method);
    }
    draft.set_header("content-type", settings.content_type.as_str());
    draft.body = Body::Text(if markup == Markup::Json { json_body::finish(&body)? } else { body });
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
