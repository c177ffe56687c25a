//! Runs tenants' code: the only part of the engine that names wasmtime.

pub mod types;

pub use types::*;
