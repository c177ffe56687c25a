//! The input of `plugin run`: a plugin, an event and settings.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::cli::arguments::Run;
use crate::cli::exit::BadInput;
use crate::clock::{Clock as _, SystemClock};
use crate::delivery::plain_draft;
use crate::directory::STANDARD_PLUGINS;
use crate::domain::ids::IdGenerator;
use crate::domain::{Event, EventId, EventKey, PluginName, Request, TenantId, UnixMillis};

/// The standard plugin that runs JavaScript.
const JAVASCRIPT: &str = "javascript";

/// The content of a plugin file.
pub(super) enum Code {
    /// A WebAssembly binary.
    Wasm(Bytes),
    /// A script for the standard plugin `javascript`.
    Script(String),
}

impl Code {
    /// The WebAssembly binary to run.
    pub(super) fn wasm(&self) -> Result<Bytes> {
        match self {
            Self::Wasm(bytes) => Ok(bytes.clone()),
            Self::Script(_) => match STANDARD_PLUGINS.iter().find(|plugin| plugin.name == JAVASCRIPT) {
                Some(plugin) => Ok(Bytes::from_static(plugin.wasm)),
                None => bail!("this build has no standard plugin `{JAVASCRIPT}`"),
            },
        }
    }
}

/// The input of one run.
pub(in crate::cli) struct Input {
    pub(super) file: PathBuf,
    pub(super) code: Code,
    pub(super) name: PluginName,
    pub(super) settings: Arc<str>,
    pub(super) event: Arc<Event>,
    pub(super) draft: Request,
}

impl Input {
    /// Reads the files on the command line.
    ///
    /// # Errors
    /// Fails if a file cannot be read, or if its content is invalid.
    pub(in crate::cli) fn read(arguments: Run) -> Result<Self> {
        let code = read_code(&arguments.file)?;
        let settings = read_settings(arguments.settings.as_deref(), &code)?;
        let event = Arc::new(read_event(&arguments.event, arguments.event_type.as_deref())?);
        let draft = plain_draft(&event);
        let name = if matches!(code, Code::Script(_)) { JAVASCRIPT } else { "plugin" };
        Ok(Self { code, name: name.parse()?, settings, event, draft, file: arguments.file })
    }
}

impl Input {
    /// The input of a trial call: an event with an empty object, and these settings.
    ///
    /// # Errors
    /// Does not fail: the event is valid.
    pub(super) fn plain(settings: Arc<str>) -> Result<Self> {
        let now = SystemClock.now();
        let key = EventKey::generate(&IdGenerator::new(0, 0), now);
        let event = Arc::new(Event {
            key,
            id: EventId::of_key(key),
            tenant: TenantId(0),
            project: None,
            ordering_key: None,
            trace: None,
            event_type: "hookwright.test".parse()?,
            occurred_at: now,
            data: "{}".into(),
        });
        let draft = plain_draft(&event);
        let code = Code::Wasm(Bytes::new());
        Ok(Self { code, name: "plugin".parse()?, settings, event, draft, file: PathBuf::new() })
    }
}

/// Reads a plugin file. The extensions `.js` and `.mjs` are scripts, all others WebAssembly.
pub(super) fn read_code(file: &Path) -> Result<Code, BadInput> {
    let bytes =
        std::fs::read(file).map_err(|error| BadInput(format!("cannot read {}: {error}", file.display())))?;
    if !file.extension().is_some_and(|ending| ending == "js" || ending == "mjs") {
        return Ok(Code::Wasm(bytes.into()));
    }
    let script = String::from_utf8(bytes);
    script.map(Code::Script).map_err(|_| BadInput(format!("{} is not UTF-8", file.display())))
}

fn read_settings(given: Option<&str>, code: &Code) -> Result<Arc<str>, BadInput> {
    let text = match given.map(|text| (text, text.strip_prefix('@'))) {
        None => "{}".to_owned(),
        Some((_, Some(file))) => read_text(Path::new(file))?,
        Some((text, None)) => text.to_owned(),
    };
    let mut settings: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| BadInput(format!("the settings are not a JSON object: {error}")))?;
    let Code::Script(script) = code else { return Ok(text.into()) };
    settings.insert("script".to_owned(), Value::from(script.as_str()));
    Ok(Value::Object(settings).to_string().into())
}

fn read_text(file: &Path) -> Result<String, BadInput> {
    let read = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|error| BadInput(format!("cannot read {}: {error}", file.display())))
}

/// An event in the format of the API.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventFile {
    r#type: String,
    data: Box<RawValue>,
    id: Option<String>,
    occurred_at: Option<Timestamp>,
}

fn read_event(file: &Path, event_type: Option<&str>) -> Result<Event, BadInput> {
    let text = read_text(file)?;
    let bad = |what: String| BadInput(format!("the event in {} {what}", file.display()));
    let event = match event_type {
        Some(event_type) => {
            let data = serde_json::from_str(&text)
                .map_err(|error| bad(format!("has data that is not JSON: {error}")))?;
            EventFile { r#type: event_type.to_owned(), data, id: None, occurred_at: None }
        }
        None => serde_json::from_str(&text).map_err(|error| {
            bad(format!(
                "is not {{\"type\": …, \"data\": …}}: {error}; use --type if the file contains only the data"
            ))
        })?,
    };
    let now = SystemClock.now();
    let key = EventKey::generate(&IdGenerator::new(0, 0), now);
    let id = match event.id {
        Some(id) => EventId::from_sender(&id).map_err(|rule| bad(format!("has an invalid `id`: {rule}")))?,
        None => EventId::of_key(key),
    };
    let event_type = event.r#type.parse().map_err(|rule| bad(format!("has an invalid type: {rule}")))?;
    let occurred_at = event.occurred_at.map_or(now, |time| UnixMillis(time.as_millisecond()));
    let data = Box::<str>::from(event.data).into();
    let (tenant, ordering_key) = (TenantId(0), None);
    Ok(Event { key, id, tenant, project: None, event_type, occurred_at, ordering_key, trace: None, data })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;

    fn file(content: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        file
    }

    fn event(content: &str, event_type: Option<&str>) -> Result<Event, String> {
        let file = file(content);
        let path = file.path().display().to_string();
        read_event(file.path(), event_type).map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn the_file_contains_the_event_or_only_its_data() {
        let whole = event(
            r#"{"type":"order.paid","data":{"total": 1.0},"id":"o-1","occurred_at":"2026-11-22T10:00:00Z"}"#,
            None,
        )
        .unwrap();
        assert_eq!((whole.event_type.as_str(), whole.id.as_str()), ("order.paid", "o-1"));
        assert_eq!((&*whole.data, whole.occurred_at), (r#"{"total": 1.0}"#, UnixMillis(1_795_341_600_000)));
        let data = event(r#"{"type":"a"}"#, Some("order.paid")).unwrap();
        assert_eq!((data.event_type.as_str(), &*data.data), ("order.paid", r#"{"type":"a"}"#));
    }

    #[test]
    fn errors_name_the_file_of_the_event() {
        for (content, event_type, expected) in [
            ("{", Some("a"), "the event in FILE has data that is not JSON: EOF"),
            (
                "{\"total\": 1}",
                None,
                "the event in FILE is not {\"type\": …, \"data\": …}: unknown field `total`",
            ),
            (
                "{\"type\": \"a\"}",
                None,
                "the event in FILE is not {\"type\": …, \"data\": …}: missing field `data`",
            ),
            (
                "{}",
                Some("a b"),
                "the event in FILE has an invalid type: an event type must have 1 to 256 bytes",
            ),
        ] {
            let message = event(content, event_type).unwrap_err();
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn settings_are_an_object_with_the_script() {
        let wasm = Code::Wasm(Bytes::new());
        let script = Code::Script("return 1".to_owned());
        let from_file = file(r#"{"a": 1}"#);
        let at = format!("@{}", from_file.path().display());
        for (given, code, expected) in [
            (None, &wasm, "{}"),
            (Some(r#"{"b":  1.0}"#), &wasm, r#"{"b":  1.0}"#),
            (Some(at.as_str()), &wasm, r#"{"a": 1}"#),
            (Some(at.as_str()), &script, r#"{"a":1,"script":"return 1"}"#),
        ] {
            assert_eq!(&*read_settings(given, code).unwrap(), expected);
        }
        for given in ["[]", "{", "1"] {
            assert!(read_settings(Some(given), &wasm).is_err(), "{given}");
        }
    }
}
