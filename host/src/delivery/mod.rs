//! Delivers: each delivery is attempted until its receiver accepts it or its retry schedule ends.
//!
//! ```text
//! ingest ──reserve, commit, push──▶ dispatcher ──▶ workers ─┬─▶ pipelines (sandbox)
//!             feeder ──claim from disk──▶ │                 ├─▶ request, signing
//!                ▲                        │                 ├─▶ client (checks egress when it connects)
//!                └── retries, overflow, ──┘                 └─▶ decision ──▶ recorder ──▶ storage.record
//!                    ended leases
//! ```
//!
//! [`Ingest`](crate::ingest::Ingest) stores events with their deliveries, which are leased if there is room for them in
//! memory. The [`feeder`] leases the others when they are due. A [`worker`] decides how a lease ends, and the recorder writes
//! the attempt and the next state in one transaction. If a lease expires, the process died or lost the delivery: it is due
//! again, so delivery is *at least* once.
//!
//! A receiver's failure and a plugin's failure are data: an [`Outcome`](crate::domain::Outcome). One pure function decides
//! what is done about it: [`decision::decide`].

mod attempt;
mod attempt_spans;
mod batch_attempt;
mod batch_parts;
mod batch_pipeline;
mod batch_request;
pub mod client;
pub mod decision;
mod dispatcher;
pub mod egress;
mod erased;
mod fair_queue;
pub mod feeder;
pub mod handshake;
mod header_values;
mod hook_health;
mod hook_lines;
mod hook_stats;
mod kept;
mod lease_end;
mod limits;
mod live;
mod masked_headers;
pub mod members;
mod notices;
pub mod oauth;
mod outgoing;
mod pipelines;
mod plugin_figures;
mod preflight;
mod reason;
mod recorder;
mod request;
mod request_size;
pub mod signing;
mod stored_request;
mod telling;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
pub mod trace_export;
mod trace_headers;
mod work;
pub mod worker;
mod workers;

pub use dispatcher::{AttemptPermit, Dispatcher, Recalled, StartAttempt};
pub use erased::ErasedEvents;
pub use fair_queue::{NotRecalled, Observation, QueueFigures, Waiting};
pub use hook_health::{Fuel, HealthRules, HealthStorage, HookHealthMonitor};
pub use hook_lines::{log_left_out, report_left_out};
pub use hook_stats::HookStats;
pub use limits::DispatcherLimits;
pub use live::{
    AttemptSummary, ChangeKind, DeliveryChange, LiveChanges, MAX_WATCHERS_OF_TENANT, TooManyWatchers, Watch,
};
pub use masked_headers::MaskedHeaders;
pub use notices::{Notice, NoticeKind, NoticeReceiver, Notices};
pub use pipelines::{NotRun, Pipelines};
pub use recorder::Recorder;
pub use request::{differences, plain_draft, signed_headers};
pub use work::Work;
pub use workers::Workers;
