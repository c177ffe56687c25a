//! Templates: syntax, limits and error messages.

use hookwright_plugin::Failure;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, Template, UndefinedBehavior};

use crate::json_body;
use crate::markup::{Markup, write_json};
use crate::settings::Settings;

/// Maximum number of steps of a template. An iteration of a loop takes a few. The limit is low enough to be reached
/// before the sandbox ends the call, whose message would not mention the template.
const STEPS: u64 = 200_000;
/// Maximum recursion depth. The stack is small.
const DEPTH: usize = 24;

/// Parses and renders templates with one markup.
pub struct Renderer {
    environment: Environment<'static>,
}

impl Renderer {
    /// Creates a renderer for these templates. Missing values are null or empty, unless the settings are strict.
    pub fn new<'a>(
        settings: &Settings,
        markup: Markup,
        mut templates: impl Iterator<Item = &'a String>,
    ) -> Self {
        // An instance lives for one call, and setting up filters, tests and functions takes a quarter of it.
        let mut environment = if templates.any(|template| may_call(template)) {
            let mut environment = Environment::new();
            environment.add_filter("tojson", move |value| to_json(value, markup));
            environment
        } else {
            Environment::empty()
        };
        if let Ok(syntax) = SyntaxConfig::builder().variable_delimiters("${", "}").build() {
            environment.set_syntax(syntax);
        }
        environment.set_fuel(Some(STEPS));
        environment.set_recursion_limit(DEPTH);
        environment.set_undefined_behavior(if settings.strict {
            UndefinedBehavior::Strict
        } else {
            UndefinedBehavior::Chainable
        });
        // With any kind except `None`, minijinja marks captured blocks as safe.
        environment.set_auto_escape_callback(|_name| AutoEscape::Custom("hookwright".into()));
        environment.set_formatter(move |out, _state, value| markup.write(out, value));
        Renderer { environment }
    }

    /// Parses the template at `path` in the settings.
    ///
    /// # Errors
    /// `bad-settings` with the line, if it cannot be parsed.
    pub fn parse<'a>(&'a self, path: String, template: &'a str) -> Result<ParsedTemplate<'a>, Failure> {
        if template.contains([json_body::BEGIN, json_body::END]) {
            return Err(Failure::new(
                "bad-settings",
                format!(
                    "settings at `{path}`: the template must not contain the control characters U+0001 and U+0002"
                ),
            ));
        }
        match self.environment.template_from_str(template) {
            Ok(template) => Ok(ParsedTemplate { path, template }),
            Err(error) => {
                Err(Failure::new("bad-settings", format!("settings at {}", describe(&path, &error))))
            }
        }
    }
}

/// A parsed template.
pub struct ParsedTemplate<'a> {
    path: String,
    template: Template<'a, 'a>,
}

impl ParsedTemplate<'_> {
    /// Renders the template.
    ///
    /// # Errors
    /// `bad-template` with the line, if it fails.
    pub fn render(&self, context: &Value) -> Result<String, Failure> {
        let rendered = self.template.render(context.clone());
        rendered.map_err(|error| Failure::new("bad-template", describe(&self.path, &error)))
    }
}

/// Whether a template may use a filter, a test or a function of minijinja. It may return true for templates that use
/// none.
fn may_call(template: &str) -> bool {
    let words = || template.split(|c: char| !c.is_ascii_alphabetic() && c != '_');
    let calls = |word| matches!(word, "is" | "filter" | "range" | "dict" | "debug" | "namespace");
    template.contains(['|', '(']) || words().any(calls)
}

fn to_json(value: Value, markup: Markup) -> Result<Value, Error> {
    if markup == Markup::Json {
        return Ok(value);
    }
    let mut text = String::new();
    write_json(&value, &mut text)?;
    Ok(Value::from(text))
}

fn describe(path: &str, error: &Error) -> String {
    let mut message = format!("`{path}`");
    if let Some(line) = error.line() {
        message.push_str(&format!(", line {line}"));
    }
    message.push_str(&format!(": {}", error.kind()));
    if let Some(detail) = error.detail() {
        message.push_str(&format!(": {detail}"));
    }
    message
}
