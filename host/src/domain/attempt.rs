//! Attempts and what came of them.
//!
//! A receiver's failure and a plugin's failure are data: they are an [`Outcome`], recorded on the
//! attempt. Only the engine's own failures are errors.

mod kept;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{AttemptId, DeliveryId, Digest, HeaderList, Invalid, PluginRef, Role, ShortText, UnixMillis};

/// One try to bring a delivery to its end.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Of which delivery.
    pub delivery: DeliveryId,
    /// Counts from 1 within the delivery.
    pub number: u32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took, with the pipeline.
    pub duration: Duration,
    /// The plugins that ran, in order; empty where an earlier attempt's request was sent again.
    pub steps: Vec<StepReport>,
    /// What was sent, if it came to that.
    pub request: Option<SentRequest>,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether texts of this record were cut or left out, so that it takes no more than it may. The answer's body has a mark
    /// of its own.
    pub cut: bool,
}

/// The request line and headers of an attempt, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// The method.
    pub method: ShortText,
    /// The URL.
    pub url: String,
    /// Its headers.
    pub headers: HeaderList,
    /// How many bytes of body were sent.
    pub body_bytes: u64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver answered.
    Response(Response),
    /// No answer within the hook's timeout.
    TimedOut {
        /// The hook's timeout.
        after: Duration,
    },
    /// The request never got an answer.
    Unreachable {
        /// In what way.
        kind: UnreachableKind,
        /// What went wrong, in words.
        message: String,
    },
    /// A plugin failed, so that there was nothing to send.
    Faulted {
        /// The index of the step, counted from 0.
        step: usize,
        /// How.
        fault: Fault,
    },
    /// The pipeline wants nothing sent.
    Dropped {
        /// The index of the step that said so, counted from 0.
        step: usize,
    },
}

/// A receiver's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Its headers. Values that are not UTF-8 are shown with replacement characters.
    pub headers: HeaderList,
    /// The first 16 KiB of the body.
    pub body: Vec<u8>,
    /// Whether the body went on after that, or may have.
    pub body_truncated: bool,
    /// Why the body never came to its end, if it did not. The status stands all the same: it was sent before.
    pub body_failure: Option<BodyFailure>,
}

/// Why the body of an answer never came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFailure {
    /// In what way.
    pub kind: BodyFailureKind,
    /// What happened, in words.
    pub message: String,
}

impl Response {
    /// How much of a body is kept, in bytes.
    pub const MAX_KEPT_BODY: usize = 16 * 1024;

    /// Any 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header with this name, in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$case_doc])* $case),+ }

        impl $name {
            /// The words of all there are, in this order.
            pub const WORDS: &'static [&'static str] = &[$($text),+];

            /// The word that stands for it outside.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$case => $text),+ }
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                match text {
                    $($text => Ok(Self::$case),)+
                    _ => Err(Invalid::new(format!("one of: {}", Self::WORDS.join(", ")))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(super) use words;

words! {
    /// Why a request never got an answer.
    UnreachableKind {
        /// The host name did not resolve.
        Dns = "dns",
        /// The egress policy refuses the address.
        Refused = "egress-refused",
        /// No connection could be made.
        Connect = "connect",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The connection broke, or what came was not HTTP.
        Protocol = "protocol",
        /// The request before the request was not answered with 200.
        Preflight = "preflight",
    }
}

words! {
    /// In what way the body of an answer failed.
    BodyFailureKind {
        /// It did not end within the hook's timeout.
        Timeout = "timeout",
        /// The connection broke, or what came was not HTTP.
        Protocol = "protocol",
    }
}

words! {
    /// How a plugin failed.
    FaultKind {
        /// The code trapped: `unreachable`, an index out of bounds, a stack overflow, a panic.
        Trap = "trap",
        /// It used up its fuel.
        OutOfFuel = "out-of-fuel",
        /// It ran past its bound on processor time, or past the one on the wall clock behind it.
        Deadline = "deadline",
        /// It asked for more memory or table space than it may have.
        OutOfMemory = "out-of-memory",
        /// It answered with more than it may.
        OutputTooLarge = "output-too-large",
        /// It answered with something that cannot be used: data that is not JSON, a request that cannot be sent.
        InvalidOutput = "invalid-output",
        /// It said itself that it failed.
        Failure = "failure",
        /// It is not there, or cannot be compiled.
        Unavailable = "unavailable",
    }
}

/// How a plugin failed, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// In what way.
    pub kind: FaultKind,
    /// What happened, in words.
    pub message: String,
    /// The plugin's own code, for [`FaultKind::Failure`].
    pub code: Option<String>,
    /// Whether the plugin said that the same call may succeed later; for [`FaultKind::Failure`].
    pub retryable: bool,
    /// The guest's call stack, innermost first, for a trap.
    pub backtrace: Vec<String>,
}

impl Fault {
    /// A fault with nothing but its kind and words.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retryable: false, backtrace: Vec::new() }
    }
}

/// What running one step cost, and what it said.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The reference in the hook's pipeline.
    pub plugin: PluginRef,
    /// The version and digest that it stood for, if there was one.
    pub resolved: Option<ResolvedPlugin>,
    /// The roles that ran, in order.
    pub roles: Vec<Role>,
    /// Fuel used: counts instructions, deterministic for one engine version.
    pub fuel: u64,
    /// Fuel that the calls of the roles were granted, together. 0 in attempts that were recorded before it was.
    pub fuel_granted: u64,
    /// What it took, without waiting for its turn.
    pub duration: Duration,
    /// The most linear memory it had at any time.
    pub memory_bytes: u64,
    /// What it logged.
    pub logs: Vec<LogLine>,
    /// How it failed, if it did.
    pub fault: Option<Fault>,
}

/// Which plugin a reference stood for when the step ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPlugin {
    /// The plugin's name.
    pub name: super::PluginName,
    /// The version.
    pub version: u32,
    /// The bytes.
    pub digest: Digest,
}

words! {
    /// How loud a line of log is.
    LogLevel {
        /// For whoever debugs the plugin.
        Debug = "debug",
        /// For information.
        Info = "info",
        /// Something is odd.
        Warn = "warn",
        /// Something failed.
        Error = "error",
    }
}

/// One line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How loud.
    pub level: LogLevel,
    /// What.
    pub message: String,
}
