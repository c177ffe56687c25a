//! What the engine's API answers, as far as it is shown.

use serde::{Deserialize, Serialize};

use crate::domain::DeliveryId;

/// A change of a delivery, the data of an event of the stream.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Change {
    pub(super) change: String,
    pub(super) at: String,
    pub(super) delivery: Delivery,
    pub(super) attempt: Option<Attempt>,
}

/// A delivery, in the stream and in lists.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) hook: String,
    pub(super) event: String,
    pub(super) event_id: Option<String>,
    #[serde(rename = "type")]
    pub(super) event_type: String,
    pub(super) trigger: String,
    pub(super) state: String,
    pub(super) attempt_count: u32,
    pub(super) next_attempt_at: Option<String>,
    pub(super) created_at: String,
}

impl Delivery {
    /// Its id as a number, which sorts by time. One of an engine with other ids is the first.
    pub(super) fn number(&self) -> DeliveryId {
        self.id.parse().unwrap_or(DeliveryId(0))
    }
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Attempt {
    pub(super) id: String,
    pub(super) number: u32,
    pub(super) started_at: String,
    pub(super) duration_ms: u64,
    pub(super) outcome: String,
    pub(super) status: Option<u16>,
    pub(super) error: Option<String>,
    pub(super) step: Option<usize>,
    pub(super) fault: Option<Fault>,
}

/// How a plugin failed.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize)]
pub(super) struct Fault {
    pub(super) kind: String,
    pub(super) message: String,
}

/// A page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    pub(super) data: Vec<T>,
    pub(super) next: Option<String>,
}

/// The data of `end` and `lagged`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Notice {
    pub(super) reason: String,
    pub(super) missed: u64,
}
