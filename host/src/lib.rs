//! Hookwright: a webhook delivery engine whose payload logic is tenants' WebAssembly.
//!
//! `ARCHITECTURE.md` beside this crate's manifest tells the whole; dependencies point down only:
//! `main → app → { api, ingest, delivery } → directory → { sandbox, storage } → domain`.

pub mod clock;
pub mod config;
pub mod directory;
pub mod domain;
pub mod sandbox;
pub mod server;
pub mod storage;
pub mod telemetry;
