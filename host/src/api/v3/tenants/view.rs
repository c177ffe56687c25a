//! How a tenant is shown.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Number;
use utoipa::ToSchema;

use super::limits::{self, LimitsView, UsageView};
use crate::api::auth::Caller;
use crate::api::problem::Problem;
use crate::api::time::Time;
use crate::api::v3::hooks::rate_number;
use crate::api::v3::openapi::schemas;
use crate::directory::Directory;
use crate::domain::Tenant;

/// A tenant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Tenant)]
pub(in crate::api::v3) struct TenantView {
    #[schema(value_type = schemas::TenantId)]
    id: String,
    #[schema(value_type = schemas::TenantName)]
    name: String,
    #[schema(value_type = Option<schemas::ClientId>)]
    client_id: Option<i64>,
    /// Since when the deliveries of all its hooks are held; null if they are not.
    paused_since: Option<Time>,
    /// Since when its keys are refused, nothing is accepted for it, and its deliveries are held; null if it is not
    /// suspended.
    suspended_since: Option<Time>,
    /// The most requests in a second to the receivers of all its hooks together; null if there is no limit.
    #[schema(value_type = Option<schemas::MaxPerSecond>)]
    max_per_second: Option<Number>,
    /// Its limits: its own, and those of the settings.
    limits: LimitsView,
    /// The names of the limits that are its own.
    own_limits: Vec<&'static str>,
    /// How much it uses of its limits. Only in the response for one tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = UsageView, required = false)]
    usage: Option<UsageView>,
    /// For how long its events are kept; null if that is as the settings say.
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_events_s: Option<u64>,
    /// For how long attempts are kept; null if that is as the settings say.
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_attempts_s: Option<u64>,
    /// For how long bodies of requests are kept; null if that is as the settings say.
    #[schema(value_type = Option<schemas::RetentionSeconds>)]
    retain_bodies_s: Option<u64>,
    created_at: Time,
}

impl TenantView {
    /// With how much it uses of its limits.
    pub(super) fn with_usage(self, usage: UsageView) -> Self {
        Self { usage: Some(usage), ..self }
    }

    pub(super) fn of(tenant: &Tenant, directory: &Directory) -> Self {
        let options = &tenant.options;
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
        Self {
            id: tenant.id.to_string(),
            name: tenant.name.clone(),
            client_id: tenant.client_id,
            paused_since: options.paused_since.map(Time),
            suspended_since: options.suspended_since.map(Time),
            max_per_second: options.max_per_second.and_then(rate_number),
            limits: LimitsView::of(|limit| directory.limit(tenant.id, limit)),
            own_limits: limits::own(options),
            usage: None,
            retain_events_s: seconds(options.retention.events),
            retain_attempts_s: seconds(options.retention.attempts),
            retain_bodies_s: seconds(options.retention.bodies),
            created_at: Time(tenant.created_at),
        }
    }
}

/// Finds a tenant that the caller may see, by id or name.
///
/// # Errors
/// Fails if there is none.
pub(in crate::api::v3) fn find_tenant(
    directory: &Directory,
    caller: &Caller,
    name: &str,
) -> Result<Arc<Tenant>, Problem> {
    let tenant = directory.tenant_named(name).filter(|tenant| caller.may_see(tenant.id));
    tenant.ok_or_else(|| Problem::not_found("tenant", name))
}
