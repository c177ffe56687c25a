//! Golden cases of the standard plugins: inputs and expected results.
//!
//! Each plugin has a file `golden.json` with an array of [`Case`]s, described in `plugins/README.md`. The plugin's
//! tests run them natively with [`check`]; the host's tests run the same file against the built component.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::path::Path;

use hookwright_plugin::{Body, Event, Failure, JsonText, Request};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A call of a plugin and its expected result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A name that is unique in its file.
    pub name: String,
    /// The name of the standard plugin.
    pub plugin: String,
    /// The settings, an object. `config.get` returns its text byte for byte.
    pub settings: Box<RawValue>,
    /// The event.
    pub event: EventCase,
    /// The draft for a transformer. Default: `POST https://receiver.example/hook` with the header `content-type:
    /// application/json` and the data as its body.
    pub draft: Option<RequestCase>,
    /// The expected result.
    pub expect: Expect,
}

/// An event. Members that are omitted have the documented defaults.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCase {
    /// Default: `evt_1`.
    #[serde(default = "default_id")]
    pub id: String,
    /// Default: `test.event`.
    #[serde(default = "default_type", rename = "type")]
    pub event_type: String,
    /// Milliseconds since the Unix epoch. Default: 1767225600000, 2026-01-01T00:00:00Z.
    #[serde(default = "default_time")]
    pub occurred_at: u64,
    /// Default: none.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
    /// JSON. The plugin receives its text byte for byte.
    pub data: Box<RawValue>,
}

fn default_id() -> String {
    "evt_1".into()
}

fn default_type() -> String {
    "test.event".into()
}

fn default_time() -> u64 {
    1_767_225_600_000
}

/// A request: a draft or a result.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestCase {
    /// The method, such as `POST`.
    pub method: String,
    /// An absolute URL.
    pub url: String,
    /// Names and values, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// A text body, compared byte for byte. At most one of the three bodies is present.
    pub text: Option<String>,
    /// A text body that is JSON, compared as text without surrounding white space.
    pub json: Option<Box<RawValue>>,
    /// A binary body, as an array of bytes.
    pub binary: Option<Vec<u8>>,
}

/// The expected result: an object with exactly one member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Expect {
    /// The result of a filter.
    Accept(bool),
    /// The result of a mapper: JSON, compared as text without surrounding white space.
    Data(Box<RawValue>),
    /// The result of a transformer.
    Request(RequestCase),
    /// `true`: the transformer returned `none`.
    Cancelled(bool),
    /// The call failed.
    Failure(FailureCase),
}

/// The expected failure of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureCase {
    /// The code.
    pub code: String,
    /// A part of the message.
    #[serde(default)]
    pub message_contains: String,
}

/// Result of a plugin.
#[derive(Debug)]
#[expect(missing_docs, reason = "the terms of the contract")]
pub enum Output {
    Accept(bool),
    Data(String),
    Request(Option<Request>),
}

/// Reads a file of cases.
///
/// # Panics
/// If the file cannot be read, is not an array of cases, or has a duplicate name.
pub fn read(path: impl AsRef<Path>) -> Vec<Case> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (index, case) in cases.iter().enumerate() {
        assert!(cases[..index].iter().all(|other| other.name != case.name), "duplicate case: {}", case.name);
    }
    cases
}

/// Runs the cases of a file and compares the results.
///
/// # Panics
/// If any result differs. The message lists all differences.
pub fn check(path: impl AsRef<Path>, run: impl Fn(&Case) -> Result<Output, Failure>) {
    let cases = read(path);
    assert!(!cases.is_empty(), "no cases");
    let wrong: Vec<String> = cases.iter().filter_map(|case| case.difference(&run(case)).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

impl Case {
    /// The event, with its data as text.
    pub fn event(&self) -> Event<JsonText> {
        let EventCase { id, event_type, occurred_at, attributes, data } = &self.event;
        Event {
            id: id.clone(),
            event_type: event_type.clone(),
            occurred_at: *occurred_at,
            attributes: attributes.clone(),
            data: JsonText(data.get().to_owned()),
        }
    }

    /// The draft, or the default draft.
    pub fn draft(&self) -> Request {
        self.draft.as_ref().map_or_else(
            || Request {
                method: "POST".into(),
                url: "https://receiver.example/hook".into(),
                headers: vec![("content-type".into(), "application/json".into())],
                body: Body::Text(self.event.data.get().to_owned()),
            },
            RequestCase::request,
        )
    }

    /// Compares a result with the expected result.
    ///
    /// # Errors
    /// A message with both results, if they differ.
    pub fn difference(&self, actual: &Result<Output, Failure>) -> Result<(), String> {
        let same = match (&self.expect, actual) {
            (Expect::Accept(expected), Ok(Output::Accept(actual))) => expected == actual,
            (Expect::Data(expected), Ok(Output::Data(actual))) => expected.get() == actual.trim(),
            (Expect::Request(expected), Ok(Output::Request(Some(actual)))) => expected.request() == *actual,
            (Expect::Cancelled(true), Ok(Output::Request(None))) => true,
            (Expect::Failure(expected), Err(failure)) => {
                failure.code == expected.code && failure.message.contains(&expected.message_contains)
            }
            _ => false,
        };
        if same {
            return Ok(());
        }
        let expected = match &self.expect {
            Expect::Request(request) => format!("{:?}", request.request()),
            other => format!("{other:?}"),
        };
        Err(format!("- {}\n  expected {expected}\n  got      {actual:?}", self.name))
    }
}

impl RequestCase {
    /// The request of the contract.
    pub fn request(&self) -> Request {
        let body = match (&self.text, &self.json, &self.binary) {
            (Some(text), _, _) => Body::Text(text.clone()),
            (_, Some(json), _) => Body::Text(json.get().to_owned()),
            (_, _, Some(bytes)) => Body::Binary(bytes.clone()),
            (None, None, None) => Body::None,
        };
        Request { method: self.method.clone(), url: self.url.clone(), headers: self.headers.clone(), body }
    }
}
