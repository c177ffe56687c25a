//! Storage in one SQLite file, for one process at a time.
//!
//! - The [`writer`] task commits events, records, claims and requested rows in groups, one transaction each.
//! - A delivery in memory is part of its event's row until there is more to write: see [`rowless`].
//! - All other writes use the same [`connection`], in order of arrival.
//! - The write-ahead log is written in few large pieces: see [`wal`].
//! - Lists read from a small pool of connections that cannot write. What deliveries need has a pool of its own, so that
//!   lists do not delay it.
//!
//! The log is synced at every commit (`synchronous=FULL`): what was answered is on disk.

mod access;
mod audit;
mod backup;
mod claims;
mod clock_steps;
mod connection;
mod data_dir;
mod database;
mod deliveries;
mod delivery_notes;
mod delivery_rows;
mod directory_changes;
mod directory_log;
mod engine_state;
mod erasing;
mod errors;
mod event_search;
mod events;
mod figures;
mod health;
mod hook_states;
mod hook_stats;
mod hooks;
mod id_buckets;
mod integrity;
mod jobs;
mod kept_bodies;
mod keys;
mod known_events;
mod known_names;
mod listing;
mod materialize;
mod messages;
mod node_status;
mod noting;
mod open;
mod ordering;
mod plugins;
mod purge;
mod purging;
mod read_only;
mod recent;
mod recording;
mod rendered_rows;
mod restore;
mod retention;
mod row_check;
mod rowless;
mod rows;
mod schema;
mod script;
mod sealing;
mod snapshot;
mod source;
mod space;
mod statements;
mod stores;
mod tenant_deletions;
mod tenant_usage;
mod tenants;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod wal;
mod write_plan;
mod writer;

pub use backup::{DatabaseCopy, back_up};
pub use data_dir::{DATABASE_FILE, IfLost, LOCK_FILE};
pub use database::SqliteDatabase;
pub use errors::is_outage;
pub use health::{Space, space as disk_space};
pub use integrity::check;
pub use node_status::node_of;
pub use open::{Prepared, prepare, rekey};
pub use restore::{RestoredKey, restore};
pub use schema::status_of;
pub use source::Source;
#[cfg(test)]
pub use testing::{SqliteOptions, open};
