//! The end-to-end tests with the database on PostgreSQL, and those about several nodes on one database.
//!
//! The server is a temporary one that is started from the installed binaries, or the one that the variable
//! `HOOKWRIGHT_TEST_POSTGRES` names. If there is neither, no test is built.

#[cfg(not(postgres_is_missing))]
#[path = "../engine/api/mod.rs"]
mod api;
#[cfg(not(postgres_is_missing))]
mod backup;
#[cfg(not(postgres_is_missing))]
mod cluster;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/console/mod.rs"]
mod console;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/delivery/mod.rs"]
mod delivery;
#[cfg(not(postgres_is_missing))]
mod demo;
#[cfg(not(postgres_is_missing))]
mod faults;
#[cfg(not(postgres_is_missing))]
mod hook_states;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/listen/mod.rs"]
mod listen;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/listeners/mod.rs"]
mod listeners;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/metrics/mod.rs"]
mod metrics;
#[cfg(not(postgres_is_missing))]
mod migrate;
#[cfg(not(postgres_is_missing))]
mod nodes;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/receivers/mod.rs"]
mod receivers;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/sandbox/mod.rs"]
mod sandbox;
#[cfg(not(postgres_is_missing))]
#[path = "../engine/start.rs"]
mod start;
#[cfg(not(postgres_is_missing))]
mod tenants;

#[cfg(not(postgres_is_missing))]
use start::{engine, hook};

/// The program under test.
#[cfg(not(postgres_is_missing))]
const BINARY: hookwright_tests::Program =
    hookwright_tests::Program::on_postgres(env!("CARGO_BIN_EXE_hookwright-under-test"));

#[cfg(postgres_is_missing)]
#[test]
#[ignore = "there is no PostgreSQL: install it (Debian: apt-get install postgresql), or set HOOKWRIGHT_TEST_POSTGRES to the \
            URL of a server, such as postgres://user@host:5432"]
fn all_end_to_end_tests_on_postgres() {}
