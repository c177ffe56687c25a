//! End-to-end tests: the real binary, real sockets, the HTTP API.
//!
//! All modules but `sqlite` also run with the database on PostgreSQL, in the target `engine_on_postgres`. A new module is
//! declared there, too.

mod api;
mod console;
mod delivery;
mod listen;
mod listeners;
mod metrics;
mod receivers;
mod sandbox;
mod sqlite;
mod start;

use hookwright_tests::Program;

use start::{engine, hook};

/// The program under test.
const BINARY: Program = Program::on_sqlite(env!("CARGO_BIN_EXE_hookwright-under-test"));
