//! What happens while `hookwright listen` runs, in one sequence.

use serde_json::Value;

use super::wire::{Change, Delivery};

/// See the module's head.
#[derive(Debug)]
pub(super) enum Update {
    /// Deliveries from before the start, newest first.
    Earlier(Vec<Delivery>),
    /// The stream is open, and nothing was missed.
    Connected,
    /// The stream ended or broke. It is opened again.
    Disconnected { why: String },
    /// More deliveries were made during a break than are listed.
    Gap { listed: usize },
    /// A delivery changed; whether it is seen for the first time.
    Changed { change: Change, is_new: bool },
    /// A delivery was forwarded, or could not be.
    Forwarded(Forwarded),
    /// The answer to a request for all about a delivery.
    Details { id: String, answer: Result<Box<Details>, String> },
    /// The answer to a request to retry a delivery.
    Retried { id: String, answer: Result<(), String> },
}

/// What became of forwarding a delivery.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Forwarded {
    pub(super) delivery: Delivery,
    pub(super) outcome: Outcome,
}

/// See [`Forwarded`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The local receiver answered. `body` is the beginning of its response.
    Response { status: u16, duration_ms: u64, body: String },
    /// The hook's pipeline dropped the event: there is no request.
    Dropped,
    /// A plugin failed: there is no request.
    Faulted(String),
    /// The local receiver or the engine could not be asked.
    Failed(String),
}

/// All that the API tells about a delivery.
#[derive(Debug, Clone)]
pub(super) struct Details {
    /// As `GET /deliveries/{id}` has it.
    pub(super) delivery: Value,
    /// The bodies that were sent and kept, by attempt.
    pub(super) bodies: Vec<(String, Value)>,
    /// The data of the event; absent if the key may not read events.
    pub(super) data: Option<String>,
}
