//! A hook's pipeline, and the request that it writes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Digest, HeaderList, Invalid, PluginName, ShortText};

/// A reference to a plugin.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginRef {
    /// `name`: the newest version at the time of the delivery.
    Latest(PluginName),
    /// `name@3`: this version.
    Version(PluginName, u32),
    /// `sha256:…`: the plugin with this digest, whatever its name.
    Digest(Digest),
}

impl FromStr for PluginRef {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.starts_with("sha256:") {
            return text.parse().map(Self::Digest);
        }
        let Some((name, version)) = text.split_once('@') else {
            return text.parse().map(Self::Latest);
        };
        let version = version.parse().ok().filter(|version| *version > 0);
        let version = version.ok_or_else(|| {
            Invalid::new("a plugin's version must be a whole number from 1, as in `name@3`")
        })?;
        Ok(Self::Version(name.parse()?, version))
    }
}

impl fmt::Display for PluginRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(name) => name.fmt(f),
            Self::Version(name, version) => write!(f, "{name}@{version}"),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A plugin of a pipeline with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The plugin.
    pub plugin: PluginRef,
    /// The settings: text of a JSON object, which `config.get` returns.
    pub settings: Arc<str>,
}

/// One of the pipelines of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PipelinePlace {
    /// The one that runs for each event.
    Event,
    /// The one that writes a request with several events.
    Batch,
}

/// The plugins of a hook, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline(pub Vec<Step>);

impl Pipeline {
    /// Maximum number of steps.
    pub const MAX_STEPS: usize = 16;
    /// Maximum size of a step's settings, in bytes of JSON text.
    pub const MAX_SETTINGS_LEN: usize = 256 * 1024;

    /// Whether it has no steps.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An HTTP request that plugins read and write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, such as `POST`.
    pub method: ShortText,
    /// An absolute `http` or `https` URL.
    pub url: String,
    /// Its headers.
    pub headers: HeaderList,
    /// The body.
    pub body: RequestBody,
}

/// A request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestBody {
    /// No body.
    None,
    /// Text, sent as UTF-8.
    Text(Arc<str>),
    /// Bytes.
    Binary(Vec<u8>),
}

impl RequestBody {
    /// The bytes that are sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Result of a pipeline without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this request.
    Keep(Request),
    /// Send nothing.
    Drop {
        /// The index of the step that dropped the delivery, counted from 0.
        step: usize,
    },
}
