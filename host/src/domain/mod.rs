//! Domain types: events, hooks, deliveries, plugins, tenants.
//!
//! This module contains only data and pure rules. It does no I/O, reads no clock and derives no wire format: each API
//! has its own wire types and converts them, and each rule that depends on time takes `now`.

pub mod access;
pub mod attempt;
pub mod audit;
pub mod batch_options;
pub mod delivery;
pub mod delivery_filter;
pub mod egress;
pub mod egress_route;
pub mod event;
pub mod flow;
mod flow_map;
pub mod hash;
pub mod header;
pub mod hook;
pub mod hook_health;
pub mod hook_options;
pub mod hook_stats;
pub mod hook_tls;
pub mod ids;
pub mod job;
pub mod kept_body;
pub mod lease;
pub mod mask;
pub mod members;
pub mod node;
pub mod oauth;
pub mod ordering;
pub mod pipeline;
pub mod plugin;
pub mod receiver_options;
pub mod secret;
pub mod signing_key;
pub mod subscription;
pub mod surface;
pub mod target_url;
pub mod tenant;
pub mod tenant_deletion;
pub mod tenant_limits;
pub mod tenant_usage;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod time;
pub mod trace_context;
pub mod x509;

pub use access::{DomainToken, Login, OperatorKey, OperatorRole};
pub use attempt::{
    Attempt, BatchPlace, BodyFailure, Fault, FaultKind, LastAttempt, Outcome, Response, SentRequest,
    StepOutput, StepReport,
};
pub use audit::{Actor, ActorKind, AuditAction, AuditEntry, AuditFilter, AuditObject};
pub use batch_options::{BatchFormat, BatchOptions};
pub use delivery::{Delivery, DeliveryState, Trigger};
pub use delivery_filter::DeliveryFilter;
pub use egress::EgressRule;
pub use event::{Event, EventId, EventType};
pub use flow::{Flow, Flows, Rate};
pub use flow_map::FlowMap;
pub use header::{Header, HeaderList, ShortText, header_list};
pub use hook::{Authorization, Hook, RetrySchedule, Signing};
pub use hook_health::{HookHealth, OpenCircuit};
pub use hook_options::{Disabled, DisabledWhy, HookOptions};
pub use ids::{AttemptId, AuditId, DeliveryId, EventKey, HookId, JobId, KeyId, OperatorKeyId, TenantId};
pub use job::{Job, JobProgress, JobRate, JobState, JobWork, Replay};
pub use lease::{Lease, LeaseId};
pub use members::{Member, Members, Owned, View};
pub use node::NodeNumber;
pub use ordering::{HookOrdering, OrderingGroup, OrderingKey, OrderingScope};
pub use pipeline::{Pipeline, PipelinePlace, PluginRef, Request, RequestBody, Step, Verdict};
pub use plugin::{Digest, PluginName, PluginVersion, Role, Roles};
pub use secret::{SecretText, SigningSecret};
pub use subscription::{Subscription, TypePattern};
pub use surface::{Origin, Surface};
pub use tenant::{ApiKey, Project, Scope, Scopes, Tenant, TenantOptions};
pub use tenant_deletion::{RemovedRows, TenantDeletion};
pub use tenant_limits::{Limit, Retention, TenantLimits};
pub use tenant_usage::{Day, DayUsage};
pub use time::UnixMillis;
pub use trace_context::{SpanId, TraceContext, TraceId};

/// A value that violates a rule of its type. The message names the rule, for the sender of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Creates an error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
