//! Delivery attempts and their outcomes.
//!
//! A failure of a receiver or a plugin is data: an [`Outcome`] that is recorded with the attempt. Only failures of the
//! engine are errors.

mod last_attempt;
mod record_limit;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{AttemptId, DeliveryId, Digest, HeaderList, Invalid, PluginRef, Role, ShortText, UnixMillis};
pub use last_attempt::LastAttempt;

/// One attempt of a delivery.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// Number within the delivery, from 1.
    pub number: u32,
    /// When it started.
    pub started_at: UnixMillis,
    /// How long it took, including the pipeline.
    pub duration: Duration,
    /// The steps that ran, in order. Empty if the request of an earlier attempt was sent again.
    pub steps: Vec<StepReport>,
    /// The request, if one was sent.
    pub request: Option<SentRequest>,
    /// How it ended.
    pub outcome: Outcome,
    /// Whether texts were cut or omitted to limit the size of the record. The response's body has its own flag.
    pub cut: bool,
}

/// Request line and headers of an attempt, as sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentRequest {
    /// The method.
    pub method: ShortText,
    /// The URL.
    pub url: String,
    /// Its headers.
    pub headers: HeaderList,
    /// Size of the body, in bytes.
    pub body_bytes: u64,
    /// Until when the beginning of the body is kept; `None` if it is not.
    pub body_kept_until: Option<UnixMillis>,
    /// Where in the body the delivery's event is, if the hook asks for requests with several events.
    pub batch: Option<BatchPlace>,
}

/// The place of an event in a request with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlace {
    /// How many events the request has.
    pub events: u32,
    /// Which one of them it is, from 1.
    pub position: u32,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The receiver responded.
    Response(Response),
    /// No response within the hook's timeout.
    TimedOut {
        /// The hook's timeout.
        after: Duration,
    },
    /// The request got no response.
    Unreachable {
        /// The kind of failure.
        kind: UnreachableKind,
        /// Description of the failure.
        message: String,
    },
    /// A plugin failed, so nothing was sent.
    Faulted {
        /// The index of the step, counted from 0.
        step: usize,
        /// The failure.
        fault: Fault,
    },
    /// The pipeline dropped the delivery.
    Dropped {
        /// The index of the step that dropped it, counted from 0.
        step: usize,
    },
}

impl Outcome {
    /// Its name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Response(_) => "response",
            Self::TimedOut { .. } => "timed-out",
            Self::Unreachable { .. } => "unreachable",
            Self::Faulted { .. } => "faulted",
            Self::Dropped { .. } => "dropped",
        }
    }

    /// Why there was no response, or how the plugin failed, for people. `None` for a response and for a delivery that was
    /// dropped.
    #[must_use]
    pub fn failure(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::TimedOut { after } => {
                Some(format!("no complete response within {} ms", after.as_millis()).into())
            }
            Self::Unreachable { message, .. } => Some(message.into()),
            Self::Faulted { fault, .. } => Some((&fault.message).into()),
            Self::Response(_) | Self::Dropped { .. } => None,
        }
    }
}

/// A receiver's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Its headers. Bytes that are not UTF-8 are replaced by U+FFFD.
    pub headers: HeaderList,
    /// The first 16 KiB of the body.
    pub body: Vec<u8>,
    /// Whether the body continued after that, or may have.
    pub body_truncated: bool,
    /// Why the body did not end, if so. The status is valid nevertheless, because it precedes the body.
    pub body_failure: Option<BodyFailure>,
}

/// Why the body of a response did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyFailure {
    /// The kind of failure.
    pub kind: BodyFailureKind,
    /// Description of the failure.
    pub message: String,
}

impl Response {
    /// Maximum size of a recorded body, in bytes.
    pub const MAX_RECORDED_BODY: usize = 16 * 1024;

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the first value of the header with this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

macro_rules! named_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$case_doc:meta])* $case:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$case_doc])* $case),+ }

        impl $name {
            /// All names, in order of declaration.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The name in APIs and storage.
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
                    _ => Err(Invalid::new(format!("expected one of {}", Self::NAMES.join(", ")))),
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
pub(super) use named_enum;

named_enum! {
    /// Why a request got no response.
    UnreachableKind {
        /// The host name did not resolve.
        Dns = "dns",
        /// The egress policy refused the address.
        Refused = "egress-refused",
        /// The connection failed.
        Connect = "connect",
        /// The TLS handshake failed.
        Tls = "tls",
        /// The connection was closed, or the response was not valid HTTP.
        Protocol = "protocol",
        /// The preflight request did not get the status 200.
        Preflight = "preflight",
        /// The hook's OAuth 2.0 token endpoint issued no access token.
        Token = "token",
    }
}

named_enum! {
    /// How the body of a response failed.
    BodyFailureKind {
        /// It did not end within the hook's timeout.
        Timeout = "timeout",
        /// The connection was closed, or the data was not valid HTTP.
        Protocol = "protocol",
    }
}

named_enum! {
    /// How a plugin failed.
    FaultKind {
        /// The code trapped: `unreachable`, an index out of bounds, a stack overflow, a panic.
        Trap = "trap",
        /// It used up its fuel.
        OutOfFuel = "out-of-fuel",
        /// It exceeded its CPU time limit.
        Deadline = "deadline",
        /// It exceeded its limit of memory or table elements.
        OutOfMemory = "out-of-memory",
        /// It returned or passed too much data.
        OutputTooLarge = "output-too-large",
        /// It returned something unusable: data that is not JSON, a request that cannot be sent.
        InvalidOutput = "invalid-output",
        /// It reported a failure.
        Failure = "failure",
        /// It does not exist, or cannot be compiled.
        Unavailable = "unavailable",
    }
}

/// A plugin's failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of failure.
    pub kind: FaultKind,
    /// Description of the failure.
    pub message: String,
    /// The plugin's own code, for [`FaultKind::Failure`].
    pub code: Option<String>,
    /// Whether the plugin reported that the same call may succeed later, for [`FaultKind::Failure`].
    pub retryable: bool,
    /// The guest's call stack, innermost first, for a trap.
    pub backtrace: Vec<String>,
}

impl Fault {
    /// Creates a fault with only a kind and a message.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retryable: false, backtrace: Vec::new() }
    }
}

/// Cost and log of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// The reference in the hook's pipeline.
    pub plugin: PluginRef,
    /// The version and digest that it resolved to, if any.
    pub resolved: Option<ResolvedPlugin>,
    /// The roles that ran, in order.
    pub roles: Vec<Role>,
    /// Fuel used. It counts instructions and is deterministic for one engine version.
    pub fuel: u64,
    /// Fuel granted to the calls of all roles. 0 in attempts of engine versions that did not record it.
    pub fuel_granted: u64,
    /// How long it took, without waiting for a thread.
    pub duration: Duration,
    /// Peak size of its linear memory, in bytes.
    pub memory_bytes: u64,
    /// What it returned, and the limits on that and on its memory. Only dry runs show it; it is not stored.
    pub output: StepOutput,
    /// Its log.
    pub logs: Vec<LogLine>,
    /// Its failure, if it failed.
    pub fault: Option<Fault>,
}

/// What a step returned, and its limits besides fuel: those of its last call. All 0 if they are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepOutput {
    /// The size of the data or the request that it returned, in bytes.
    pub bytes: u64,
    /// The most that it may pass to the host in one call, in bytes.
    pub granted: u64,
    /// The most linear memory that it may have, in bytes.
    pub memory_granted: u64,
}

/// The plugin that a reference resolved to when the step ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedPlugin {
    /// The plugin's name.
    pub name: super::PluginName,
    /// The version.
    pub version: u32,
    /// The digest of its bytes.
    pub digest: Digest,
}

named_enum! {
    /// Severity of a log line.
    LogLevel {
    /// Details for debugging the plugin.
    Debug = "debug",
    /// Information.
    Info = "info",
    /// A possible problem.
    Warn = "warn",
    /// An error.
        Error = "error",
    }
}

/// One line of a plugin's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// The severity.
    pub level: LogLevel,
    /// The message.
    pub message: String,
}
