//! Failures of the engine, and reasons to refuse an upload.

use serde::{Deserialize, Serialize};

use crate::domain::{Fault, FaultKind};

use super::limits::{Count, Size, shortened};

/// A failure of the sandbox itself, not of a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// wasmtime failed.
    #[error("the WebAssembly engine failed: {0}")]
    Engine(String),
    /// The cache of compiled code cannot be used.
    #[error("cannot use the compiled code cache at {path}")]
    Cache {
        /// The directory of the cache.
        path: std::path::PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A plugin's bytes could not be read.
    #[error("cannot read the bytes of a plugin: {0}")]
    Source(String),
    /// The maximum number of pipelines is waiting.
    #[error("the sandbox is overloaded: too many pipelines are waiting")]
    Overloaded,
    /// The sandbox has been shut down.
    #[error("the sandbox is shutting down")]
    ShutDown,
    /// Code of the host panicked.
    #[error("the sandbox panicked: {0}")]
    Panicked(String),
    /// The compiler process could not be started, was killed, or gave an invalid response.
    #[error("the compiler process failed")]
    Compiler(#[source] std::io::Error),
    /// A thread could not be started.
    #[error("cannot start a sandbox thread")]
    Threads(#[source] std::io::Error),
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

/// Why the compiler process refuses an upload. [`UploadError`] has the messages.
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
    /// Cuts the message to at most `max` bytes.
    pub(super) fn shortened(self, max: usize) -> Self {
        let cut = |message: String| shortened(&message, max);
        match self {
            Self::NoComponentType { exports } => Self::NoComponentType { exports: cut(exports) },
            Self::Wrap(message) => Self::Wrap(cut(message)),
            Self::Invalid(message) => Self::Invalid(cut(message)),
            Self::TooComplex(message) => Self::TooComplex(cut(message)),
            Self::Import(message) => Self::Import(cut(message)),
            Self::NoRole(message) => Self::NoRole(cut(message)),
            Self::Compile(message) => Self::Compile(cut(message)),
        }
    }
}

impl UploadError {
    /// Whether the same upload would be refused again, independent of the machine's load.
    pub(super) fn is_permanent(&self) -> bool {
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
            Refusal::Wrap(message) => Self::Wrap(message),
            Refusal::Invalid(message) => Self::Invalid(message),
            Refusal::TooComplex(message) => Self::TooComplex(message),
            Refusal::Import(message) => Self::Import(message),
            Refusal::NoRole(message) => Self::NoRole(message),
            Refusal::Compile(message) => Self::Compile(message),
        }
    }
}

/// Why an upload is refused: what was found, and what to do instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The upload is empty.
    #[error("the upload is empty: send the bytes of a `.wasm` file")]
    Empty,
    /// The upload is too large.
    #[error("the upload has {} bytes; the limit is {}: build it with optimizations and without debug information", Count(*size as u64), Size(*max))]
    TooLarge {
        /// Its size, in bytes.
        size: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// The upload is native code.
    #[error(
        "the upload is compiled code (a `.cwasm` file): upload the WebAssembly file that it was compiled from"
    )]
    Precompiled,
    /// The upload is WebAssembly text.
    #[error(
        "the upload is in WebAssembly's text format: convert it to the binary format with `wasm-tools parse`"
    )]
    Text,
    /// The upload is not WebAssembly.
    #[error(
        "the upload is not WebAssembly (it begins with {beginning}): upload a component, or a core module built with wit-bindgen"
    )]
    NotWasm {
        /// The first bytes, printable.
        beginning: String,
    },
    /// The upload is a core module that does not describe its component type.
    #[error(
        "the upload is a core module without a component type; it exports {exports}: build it with the Rust SDK or wit-bindgen, or add the type with `wasm-tools component embed --world transformer-plugin wit/v1 plugin.wasm` (or filter-plugin, or mapper-plugin)"
    )]
    NoComponentType {
        /// Names of its exports.
        exports: String,
    },
    /// Wrapping a core module in a component failed.
    #[error("the core module cannot be wrapped in a component: {0}")]
    Wrap(String),
    /// The upload is invalid, or uses features that are disabled.
    #[error("the upload is invalid WebAssembly, or uses features that the engine does not support: {0}")]
    Invalid(String),
    /// It exceeds a limit of the compiler.
    #[error("the plugin is too complex: {0}")]
    TooComplex(String),
    /// It imports an interface that the engine does not provide.
    #[error("{0}")]
    Import(String),
    /// It exports no role.
    #[error("{0}")]
    NoRole(String),
    /// An export has the name of a role but another type.
    #[error(
        "the plugin's types do not match hookwright:plugin@1.0.0: {0}; generate the bindings from `wit/v1`"
    )]
    WrongType(String),
    /// Compilation failed.
    #[error("the plugin cannot be compiled: {0}")]
    Compile(String),
    /// Creating an instance failed.
    #[error("the plugin cannot be instantiated: it {}", fault.message)]
    Start {
        /// The failure.
        fault: Fault,
    },
    /// The engine failed. The same upload may be accepted later.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}
