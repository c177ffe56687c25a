//! A receiver of webhooks, to run and to copy from.
//!
//! [`verify`] is the part that every receiver needs: the signature check of [Standard Webhooks 1.0].
//! [`seen`] drops duplicates, since any delivery may arrive twice. [`server`] puts both behind HTTP.
//!
//! [Standard Webhooks 1.0]: https://www.standardwebhooks.com

pub mod seen;
pub mod server;
pub mod verify;

pub use server::{Arrival, Receiver, Verdict};
pub use verify::{Refused, Verifier};
