//! Our own failures, and what is wrong with an upload.

use serde::{Deserialize, Serialize};

use crate::domain::{Fault, FaultKind};

use super::limits::{Count, Size, shortened};

/// The sandbox failed, not a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Wasmtime would not do as it was told.
    #[error("the WebAssembly engine failed: {0}")]
    Engine(String),
    /// The cache of compiled code cannot be used.
    #[error("the cache of compiled code at {path} cannot be used")]
    Cache {
        /// Its directory.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A plugin's bytes could not be read.
    #[error("a plugin's bytes cannot be read: {0}")]
    Source(String),
    /// More pipelines are waiting than may.
    #[error("too many pipelines are waiting for the sandbox")]
    Overloaded,
    /// The sandbox has been shut down.
    #[error("the sandbox is shutting down")]
    ShutDown,
    /// A panic in the host's own code.
    #[error("the sandbox panicked: {0}")]
    Panicked(String),
    /// The process that compiles could not be started, or was ended by somebody else.
    #[error("a plugin cannot be compiled")]
    Compiler(#[source] std::io::Error),
    /// A thread could not be started.
    #[error("the sandbox's threads cannot be started")]
    Threads(#[source] std::io::Error),
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

/// Why the process that looks into uploads refuses one. Each has its words in [`UploadError`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refusal {
    NoComponentType { exports: String },
    Wrap(String),
    Invalid(String),
    TooComplex(String),
    Import(String),
    NoRole(String),
    Compile(String),
}

impl Refusal {
    /// The same with at most `max` bytes of words.
    pub(super) fn shortened(self, max: usize) -> Self {
        let cut = |words: String| shortened(&words, max);
        match self {
            Self::NoComponentType { exports } => Self::NoComponentType { exports: cut(exports) },
            Self::Wrap(words) => Self::Wrap(cut(words)),
            Self::Invalid(words) => Self::Invalid(cut(words)),
            Self::TooComplex(words) => Self::TooComplex(cut(words)),
            Self::Import(words) => Self::Import(cut(words)),
            Self::NoRole(words) => Self::NoRole(cut(words)),
            Self::Compile(words) => Self::Compile(cut(words)),
        }
    }
}

impl UploadError {
    /// Whether the same upload would be refused again, however busy the machine is.
    pub(super) fn is_certain(&self) -> bool {
        match self {
            Self::Start { fault } => fault.kind != FaultKind::Deadline,
            Self::Sandbox(_) => false,
            _ => true,
        }
    }
}

impl From<Refusal> for UploadError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoComponentType { exports } => Self::NoComponentType { exports },
            Refusal::Wrap(words) => Self::Wrap(words),
            Refusal::Invalid(words) => Self::Invalid(words),
            Refusal::TooComplex(words) => Self::TooComplex(words),
            Refusal::Import(words) => Self::Import(words),
            Refusal::NoRole(words) => Self::NoRole(words),
            Refusal::Compile(words) => Self::Compile(words),
        }
    }
}

/// Why an upload is not taken: what was found, and what to do instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// No bytes.
    #[error("the upload is empty: send the bytes of a `.wasm` file")]
    Empty,
    /// Too many bytes.
    #[error("the upload has {} bytes; a plugin may have {}: build it with optimisations and without debug information", Count(*size as u64), Size(*max))]
    TooLarge {
        /// How many.
        size: usize,
        /// How many there may be.
        max: usize,
    },
    /// Code for a processor.
    #[error(
        "this is compiled code (a `.cwasm`), which is never run: upload the WebAssembly that it was made from"
    )]
    Precompiled,
    /// WAT.
    #[error("this is WebAssembly's text format: turn it into a binary first, with `wasm-tools parse`")]
    Text,
    /// Something else.
    #[error(
        "this is not WebAssembly (it begins with {beginning}): upload a component, or a core module built with wit-bindgen"
    )]
    NotWasm {
        /// The first bytes, in words.
        beginning: String,
    },
    /// Not even a wrapper can tell what it exports.
    #[error(
        "this is a core module without a component type, which exports {exports}: Rust's SDK and wit-bindgen write it into what they build; into what others build, `wasm-tools component embed --world transformer-plugin wit/v1 plugin.wasm` does (or filter-plugin, or mapper-plugin)"
    )]
    NoComponentType {
        /// What it exports, in words.
        exports: String,
    },
    /// A core module could not be made into a component.
    #[error("this core module cannot be made into a component: {0}")]
    Wrap(String),
    /// It breaks WebAssembly's rules, or uses features that are off.
    #[error("this WebAssembly is not valid here: {0}")]
    Invalid(String),
    /// It is more than the compiler is asked to chew.
    #[error("this plugin is too complex: {0}")]
    TooComplex(String),
    /// It imports what is not offered.
    #[error("{0}")]
    Import(String),
    /// It exports none of the roles.
    #[error("{0}")]
    NoRole(String),
    /// It exports a role's name with other types.
    #[error(
        "its exports don't have the types of hookwright:plugin@1.0.0: {0}; generate the bindings from `wit/v1`"
    )]
    WrongType(String),
    /// It cannot be compiled.
    #[error("this plugin cannot be compiled: {0}")]
    Compile(String),
    /// It does not even start.
    #[error("the plugin fails when it is started: it {}", fault.message)]
    Start {
        /// How.
        fault: Fault,
    },
    /// Our own failure: the same upload may be taken later.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}
