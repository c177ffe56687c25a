//! Hookwright: a webhook delivery engine whose payload logic is WebAssembly of its tenants.
//!
//! `ARCHITECTURE.md` next to this crate's manifest describes the modules and their dependencies.

pub mod admin_key;
mod allocator;
pub mod api;
pub mod app;
pub mod cli;
pub mod clients;
pub mod clock;
pub mod clock_watch;
pub mod config;
pub mod cores;
pub mod delivery;
pub mod directory;
pub mod domain;
pub mod ingest;
mod log_limiter;
pub mod metrics;
mod open_files;
pub mod presence;
pub mod private_file;
pub mod random;
pub mod sandbox;
pub mod server;
pub mod services;
pub mod sources;
pub mod storage;
pub mod supervisor;
pub mod telemetry;
pub mod tenant_limiter;
pub mod traces;
pub mod vault;
