//! What the engine talks about: events, hooks, deliveries, plugins.
//!
//! Pure data and pure rules. Nothing here does I/O, reads a clock or derives a wire format: every
//! surface owns its wire types and converts at its edge, and every rule which depends on time
//! takes `now`.

pub mod access;
pub mod attempt;
pub mod delivery;
pub mod egress;
pub mod event;
pub mod header;
pub mod hook;
pub mod ids;
pub mod mask;
pub mod pipeline;
pub mod plugin;
pub mod secret;
pub mod subscription;
pub mod surface;
pub mod tenant;
pub mod time;

pub use access::{DomainToken, Login};
pub use attempt::{Attempt, BodyFailure, Fault, FaultKind, Outcome, Response, SentRequest, StepReport};
pub use delivery::{Delivery, DeliveryState, Trigger};
pub use egress::EgressRule;
pub use event::{Event, EventId, EventType};
pub use header::{Header, HeaderList, ShortText, header_list};
pub use hook::{Authorization, Hook, RetrySchedule, Signing};
pub use ids::{AttemptId, DeliveryId, EventKey, HookId, KeyId, TenantId};
pub use pipeline::{Pipeline, PluginRef, Request, RequestBody, Step, Verdict};
pub use plugin::{Digest, PluginName, PluginVersion, Role, Roles};
pub use secret::{SecretText, SigningSecret};
pub use subscription::{Subscription, TypePattern};
pub use surface::{Origin, Surface};
pub use tenant::{ApiKey, Project, Scope, Scopes, Tenant};
pub use time::UnixMillis;

/// A value which does not meet the rules of its type; says which rule, in words for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Shorthand for `Invalid(message.into())`.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
