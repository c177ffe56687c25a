//! Storage in one PostgreSQL database, for up to 1,023 nodes at the same time.
//!
//! - An event is committed with others in one round trip: see [`acceptor`]. Its row names its deliveries.
//! - The node that accepted an event delivers it. Until there is more to say, a delivery has no row: see [`rowless`].
//! - Records are inserted once, in batches: see [`recording`]. Only what is due later is in a table of rows that change.
//! - A database that does not answer is given up after some seconds: see [`pool`] and [`connect_failure`].
//! - A node that does not answer loses its work to another: see [`nodes`] and [`heartbeat`].
//! - What must be atomic across several statements is a function in the database, so that it is one round trip and works
//!   through a pooler that keeps a connection for one transaction only.

mod accepting;
mod acceptor;
mod access;
mod audit;
mod changes;
mod claim_bounds;
mod claims;
mod clock_steps;
mod connect;
mod connect_failure;
mod database;
mod days;
mod deliveries;
mod delivery_notes;
mod directory_changes;
mod directory_log;
mod engine_state;
mod errors;
mod event_search;
mod events;
mod figures;
mod heartbeat;
mod hook_states;
mod hook_stats;
mod hooks;
mod integrity;
mod interval;
mod jobs;
mod kept_bodies;
mod kept_connections;
mod keys;
mod lease_ending;
mod listing;
mod lost_leases;
mod names_walk;
mod node_name;
mod node_status;
mod nodes;
mod open;
mod partitions;
mod plugins;
mod pool;
mod recording;
mod rekey;
mod retention;
mod row_check;
mod rowless;
mod rowless_of_others;
mod rows;
mod schema;
mod sealing;
mod session;
mod stores;
mod target;
pub mod temporary;
mod tenant_deletions;
mod tenant_usage;
mod tenants;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use database::PostgresDatabase;
pub use errors::{is_outage, meaning};
pub use integrity::check;
pub use node_name::NodeName;
pub use node_status::nodes_of;
pub use open::{PostgresOptions, open};
pub use rekey::{rekey, running_nodes};
pub use schema::status_of;
pub use target::{Found, Target};
#[cfg(test)]
pub use testing::TestDatabase;
