//! A hook's pipeline, and the request that it shapes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::{Digest, HeaderList, Invalid, PluginName, ShortText};

/// Which plugin a step runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PluginRef {
    /// `name`: the newest version at the time of the delivery.
    Latest(PluginName),
    /// `name@3`: this version.
    Version(PluginName, u32),
    /// `sha256:…`: these bytes, which the tenant uploaded under any name.
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
        let version =
            version.ok_or_else(|| Invalid::new("a plugin's version is a whole number from 1: `name@3`"))?;
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

/// One plugin of a pipeline, with its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which plugin.
    pub plugin: PluginRef,
    /// A JSON object, as text: what the plugin's `config.get` answers.
    pub settings: Arc<str>,
}

/// The ordered plugins of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pipeline(pub Vec<Step>);

impl Pipeline {
    /// The greatest number of steps.
    pub const MAX_STEPS: usize = 16;
    /// The greatest size of one step's settings, in bytes of JSON text.
    pub const MAX_SETTINGS_LEN: usize = 256 * 1024;

    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An HTTP request as plugins see and write it.
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
    /// None at all.
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

/// What a pipeline said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this.
    Keep(Request),
    /// The step with this index, counted from 0, wants nothing sent.
    Drop {
        /// Which step.
        step: usize,
    },
}
