//! Which nodes there are, and what they do: for people to read.

use async_trait::async_trait;

use super::error::StorageError;
use crate::domain::{NodeNumber, UnixMillis};

/// What a node does, as it says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NodeActivity {
    /// Deliveries that it has in memory: queued, or in flight.
    pub deliveries_in_memory: u64,
    /// Deliveries between the start of an attempt and its record.
    pub deliveries_in_flight: u64,
    /// Hooks whose due deliveries are its own; `None` if that is not known.
    pub owned_hooks: Option<u64>,
    /// Events that it accepted each second, over the last seconds.
    pub accepted_per_second: f64,
}

/// What a node says of itself from time to time.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReport {
    /// Where its API listens.
    pub address: String,
    /// When it started.
    pub started_at: UnixMillis,
    /// When it says so.
    pub now: UnixMillis,
    /// What it does.
    pub activity: NodeActivity,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It shows that it is alive.
    Alive,
    /// It is shutting down.
    Draining,
    /// It has not shown for some seconds that it is alive. Others take over its work soon.
    Silent,
    /// It has nothing to do any more: it was shut down, or others took over its work.
    Ended,
}

impl NodeState {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Draining => "draining",
            Self::Silent => "silent",
            Self::Ended => "ended",
        }
    }
}

/// A node, as its database knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStatus {
    /// Its number.
    pub node: NodeNumber,
    /// How it is.
    pub state: NodeState,
    /// The version of its engine, if it is known.
    pub version: Option<String>,
    /// Where its API listens.
    pub address: String,
    /// When it started, if that is known.
    pub started_at: Option<UnixMillis>,
    /// When it last showed that it is alive, if that is known.
    pub last_beat_at: Option<UnixMillis>,
    /// How long ago that was, in milliseconds.
    pub silent_ms: Option<u64>,
    /// What it does, if it says so.
    pub activity: Option<NodeActivity>,
}

/// The nodes on a database.
#[async_trait]
pub trait NodeStore: Send + Sync {
    /// All nodes; those that have ended come last.
    async fn nodes(&self) -> Result<Vec<NodeStatus>, StorageError>;
    /// Stores what this node says of itself.
    async fn report(&self, report: NodeReport) -> Result<(), StorageError>;
    /// What the operator should mend although everything still works.
    fn warnings(&self) -> Vec<String>;
}
