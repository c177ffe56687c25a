//! A receiver of webhooks, to run and to copy from.
//!
//! [`verify`] is the part that every receiver needs: the signature check of [Standard Webhooks 1.0].
//! [`seen`] drops what comes twice, as any delivery may. [`server`] puts both behind HTTP.
//! `hookwright demo` runs this same code.
//!
//! [Standard Webhooks 1.0]: https://www.standardwebhooks.com

pub mod seen;
pub mod server;
pub mod verify;

pub use server::{Arrival, Receiver, Verdict};
pub use verify::{Refused, Verifier};
