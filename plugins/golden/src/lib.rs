//! The golden cases of the standard plugins: what goes in, what comes out.
//!
//! Each plugin has a file `golden.json`, an array of [`Case`]s, described in `plugins/README.md`. The
//! plugin's own tests run them natively with [`check`]; the host's run the same file against the built component.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

use std::path::Path;

use hookwright_plugin::{Body, Event, Failure, JsonText, Request};
use serde::Deserialize;
use serde_json::value::RawValue;

/// A call of a plugin, and its outcome.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence that is unique in its file.
    pub name: String,
    /// The name of the standard plugin.
    pub plugin: String,
    /// The settings, an object. What `config.get` answers with is its text, byte for byte.
    pub settings: Box<RawValue>,
    /// The event.
    pub event: EventCase,
    /// A transformer's draft. Without it: `POST https://receiver.example/hook`, the header `content-type:
    /// application/json`, and the data as its body.
    pub draft: Option<RequestCase>,
    /// What the call answers with.
    pub expect: Expect,
}

/// An event; what is not given has the value said.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventCase {
    /// `evt_1`.
    #[serde(default = "default_id")]
    pub id: String,
    /// `test.event`.
    #[serde(default = "default_type", rename = "type")]
    pub event_type: String,
    /// Milliseconds since the Unix epoch; 1767225600000, the first of January 2026.
    #[serde(default = "default_time")]
    pub occurred_at: u64,
    /// None.
    #[serde(default)]
    pub attributes: Vec<(String, String)>,
    /// JSON. What the plugin sees is its text, byte for byte.
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

/// A request, as a draft or as an answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestCase {
    /// E.g. `POST`.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Name and value, in order.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// A text body, to the byte. At most one of the three is given.
    pub text: Option<String>,
    /// A text body that is JSON: in an answer it is compared as text without white space around it.
    pub json: Option<Box<RawValue>>,
    /// A binary body, as an array of bytes.
    pub binary: Option<Vec<u8>>,
}

/// Exactly one member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Expect {
    /// A filter's answer.
    Accept(bool),
    /// A mapper's answer: JSON, compared as text without the white space around it.
    Data(Box<RawValue>),
    /// A transformer's answer.
    Request(RequestCase),
    /// `true`: a transformer's answer `none`.
    Cancelled(bool),
    /// The call failed.
    Failure(FailureCase),
}

/// How a call failed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailureCase {
    /// The whole code.
    pub code: String,
    /// A part of the message.
    #[serde(default)]
    pub message_contains: String,
}

/// What a plugin answered with.
#[derive(Debug)]
#[expect(missing_docs, reason = "the words of the contract")]
pub enum Answer {
    Accept(bool),
    Data(String),
    Request(Option<Request>),
}

/// Reads a file of cases.
///
/// # Panics
/// If it can't be read, is not an array of cases, or has two of one name.
pub fn read(path: impl AsRef<Path>) -> Vec<Case> {
    let path = path.as_ref();
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    for (index, case) in cases.iter().enumerate() {
        assert!(cases[..index].iter().all(|other| other.name != case.name), "two cases: {}", case.name);
    }
    cases
}

/// Runs the cases of a file and compares.
///
/// # Panics
/// If any differs; all that do are told.
pub fn check(path: impl AsRef<Path>, run: impl Fn(&Case) -> Result<Answer, Failure>) {
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

    /// The draft, or the one that goes without saying.
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

    /// Compares an answer with what was expected.
    ///
    /// # Errors
    /// Both, as text to read, if they differ.
    pub fn difference(&self, actual: &Result<Answer, Failure>) -> Result<(), String> {
        let same = match (&self.expect, actual) {
            (Expect::Accept(expected), Ok(Answer::Accept(actual))) => expected == actual,
            (Expect::Data(expected), Ok(Answer::Data(actual))) => expected.get() == actual.trim(),
            (Expect::Request(expected), Ok(Answer::Request(Some(actual)))) => expected.request() == *actual,
            (Expect::Cancelled(true), Ok(Answer::Request(None))) => true,
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
