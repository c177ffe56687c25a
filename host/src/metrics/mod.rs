//! Counts what happens, where it happens: statics of relaxed atomics, which `app::exporter` reads when somebody scrapes.
//!
//! A label has one of few values that are known beforehand. Hooks, URLs, event types and events are never labels. The decision
//! "Figures are statics" says why there is no registry.

mod counter;
pub mod deliveries;
pub mod events;
mod histogram;
pub mod http_client;
pub mod http_server;
mod label;
pub mod logs;
pub mod plugins;
pub mod stalls;
pub mod storage;
pub mod tenants;

pub use counter::{Counter, Counters};
pub use histogram::{Histogram, Snapshot};
pub use label::Label;
