//! Templates: their syntax, their bounds, and what is told when they fail.

use hookwright_plugin::Failure;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, Template, UndefinedBehavior};

use crate::json_body;
use crate::markup::{Markup, write_json};
use crate::settings::Settings;

/// Steps that a template may take. A loop takes a few for each round. Few enough to be used up before the
/// sandbox ends the call, which could not say that it was the template.
const STEPS: u64 = 200_000;
/// How deep what a template calls may be nested: the stack is small.
const DEPTH: usize = 24;

/// Renders templates with one kind of markup.
pub struct Renderer {
    environment: Environment<'static>,
}

impl Renderer {
    /// For these templates. What is missing is null, or nothing, unless the settings are strict.
    pub fn new<'a>(
        settings: &Settings,
        markup: Markup,
        mut templates: impl Iterator<Item = &'a String>,
    ) -> Self {
        // An instance lives for one call, and to set up all filters, tests and functions would take a quarter of it.
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
        // Of any kind but none: then what a block captures is known as written already.
        environment.set_auto_escape_callback(|_name| AutoEscape::Custom("hookwright".into()));
        environment.set_formatter(move |out, _state, value| markup.write(out, value));
        Renderer { environment }
    }

    /// Reads a template, which is at `path` in the settings.
    ///
    /// # Errors
    /// `bad-settings` with the line, if it can't be read.
    pub fn read<'a>(&'a self, path: String, template: &'a str) -> Result<Readied<'a>, Failure> {
        if template.contains([json_body::BEGIN, json_body::END]) {
            return Err(Failure::new("bad-settings", format!("settings at `{path}`: a control character")));
        }
        match self.environment.template_from_str(template) {
            Ok(template) => Ok(Readied { path, template }),
            Err(error) => Err(Failure::new("bad-settings", format!("settings at {}", told(&path, &error)))),
        }
    }
}

/// A template that has been read.
pub struct Readied<'a> {
    path: String,
    template: Template<'a, 'a>,
}

impl Readied<'_> {
    /// What the template makes.
    ///
    /// # Errors
    /// `bad-template` with the line, if it fails.
    pub fn render(&self, context: &Value) -> Result<String, Failure> {
        let rendered = self.template.render(context.clone());
        rendered.map_err(|error| Failure::new("bad-template", told(&self.path, &error)))
    }
}

/// Whether something that minijinja brings may be used: a filter, by `|` or `filter`; a test, by `is`, also right behind a
/// number; a function, by `(`, or by its name alone. What only looks like it, too.
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

fn told(path: &str, error: &Error) -> String {
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
