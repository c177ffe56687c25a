//! The engine on a PostgreSQL database that syncs each commit to disk, on the same cores.
//!
//! Rates depend on what else the machine does. What is counted depends on it less: processor time of the nodes and of all
//! processes of the server, statements (each is a round trip), and bytes of the write-ahead log.

mod growth;
mod rows;
mod server;

pub use growth::growth;
pub use rows::throughput;
