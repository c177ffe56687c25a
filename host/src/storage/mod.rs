//! What must survive a restart, behind narrow traits: one implementation for each database, one conformance suite for all.
//!
//! An event whose acceptance returned is on disk. Callers submit work; the implementation commits what has gathered in one
//! transaction, and answers after the commit. Storage knows nothing of delivering: it keeps states, leases and times that
//! others decide on.

mod audit;
pub mod backup;
mod byte_room;
mod columns;
mod configuration;
#[cfg(test)]
pub mod conformance;
mod contract;
mod dedup;
mod delivery_notes;
mod delivery_query;
mod directory;
mod driver;
mod error;
mod event_search;
mod figures;
mod findings;
mod hook_states;
mod hook_stats;
mod jobs;
mod kept_bodies;
mod keys;
mod membership;
mod node_status;
pub mod postgres;
pub mod records;
mod retention;
mod retry_policy;
mod rowless;
mod schema_status;
mod sealing;
pub mod sqlite;
mod tenant_deletions;
mod tenant_usage;
pub mod transfer;

pub use audit::{AuditQuery, AuditStore, ListedEntries};
pub use configuration::*;
pub use contract::*;
pub use delivery_notes::{DeliveryNote, DeliveryNoteStore, NoteFilter};
pub use delivery_query::{DeliveryQuery, ListOrder, Listed};
pub use directory::*;
pub use error::{DriverError, StorageError};
pub use event_search::{DeliveryCounts, EventQuery, EventSummary, ListedEvents, MAX_DELIVERIES, Redelivered};
pub use figures::{FigureStore, StorageFigures};
pub use findings::{Finding, Verdict};
pub use hook_states::{HealthChanges, HookStateStore, Missed, MissedQuery, ProbeClaim};
pub use hook_stats::HookStatsStore;
pub use jobs::{
    JobStep, JobStore, MAX_ENDED_JOBS, MAX_REMOVED_JOBS, NewReplay, ReplayQuery, Replayable, ReplayableEvent,
    StepChanges, StepEnd, WantedJob,
};
pub use kept_bodies::KeptBodyStore;
pub use keys::{KeyStore, UsedKeys};
pub use membership::{FENCE_AFTER, Membership, Term};
pub use node_status::*;
pub use records::*;
pub use retention::{Deleted, Purged, RetentionStore, StoredEvent, Trim, Trimmed};
pub use retry_policy::RetryPolicy;
pub use schema_status::{PendingMigration, SchemaStatus};
pub use sealing::Rekeyed;
pub use sqlite::{Space, disk_space};
pub use tenant_deletions::{DeletionStep, TenantDeletionStore};
pub use tenant_usage::{OverdueBytes, TenantUsageStore};
