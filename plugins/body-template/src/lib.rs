//! The standard plugin `body-template`: the request's body from a template. Its settings are described in `README.md`.
//!
//! Templates are minijinja's, with `${…}` around expressions. What is special here is how values are
//! written: [`markup`] for the three ways, [`json_body`] for the one that makes correct JSON of any template that
//! could become it.

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

/// The request with the body, and the headers, that the templates make.
///
/// # Errors
/// `bad-settings` if a template can't be read, `bad-template` if one fails, `bad-data` if the event's data isn't JSON, `bad-body` if the
/// body is meant to be JSON and isn't, `bad-header` if a header's value has a control character.
pub fn transform(
    event: &Event<JsonText>,
    mut draft: Request,
    settings: &Settings,
) -> Result<Option<Request>, Failure> {
    let markup = Markup::of(&settings.content_type);
    let body = Renderer::new(settings, markup, std::iter::once(&settings.template));
    let headers = Renderer::new(settings, Markup::Plain, settings.headers.values());
    // All are read before the first is rendered: what is wrong with one is so whatever the data.
    let template = body.read("template".into(), &settings.template)?;
    let named = settings.headers.iter();
    let read = named.map(|(name, template)| Ok((name, headers.read(format!("headers.{name}"), template)?)));
    let read = read.collect::<Result<Vec<_>, Failure>>()?;

    let context = data::context(event, &draft)?;
    let body = template.render(&context)?;
    for (name, template) in read {
        let value = template.render(&context)?;
        if value.chars().any(char::is_control) {
            return Err(Failure::new("bad-header", format!("the value of `{name}` has a control character")));
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
