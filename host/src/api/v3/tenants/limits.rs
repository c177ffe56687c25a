//! The limits of a tenant, and how much it uses of them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::json::{self, Object};
use crate::api::pointer::Pointer;
use crate::api::problem::Problem;
use crate::api::v3::openapi::schemas;
use crate::domain::{Limit, TenantId, TenantOptions};
use crate::ingest::Ingest;
use crate::services::TenantService;
use crate::storage::StorageError;

macro_rules! members {
    ($($(#[$doc:meta])* $name:ident = $limit:ident;)+) => {
        /// The limits of a tenant. Null: there is no limit.
        #[derive(Debug, Serialize, ToSchema)]
        #[schema(as = TenantLimits)]
        pub(super) struct LimitsView {
            $($(#[$doc])* #[schema(value_type = Option<schemas::LimitValue>)] $name: Option<u64>,)+
        }

        impl LimitsView {
            /// The values that `of` gives.
            pub(super) fn of(of: impl Fn(Limit) -> Option<u64>) -> Self {
                Self { $($name: of(Limit::$limit)),+ }
            }
        }

        /// How much a tenant uses of its limits. Null: that is not counted.
        #[derive(Debug, Serialize, ToSchema)]
        #[schema(as = TenantUsage)]
        pub(super) struct UsageView {
            $($(#[$doc])* #[schema(value_type = Option<schemas::LimitValue>)] $name: Option<u64>,)+
        }

        impl UsageView {
            fn of(of: impl Fn(Limit) -> Option<u64>) -> Self {
                Self { $($name: of(Limit::$limit)),+ }
            }
        }

        /// The limits of a tenant to change. Null: a limit is as the settings say.
        #[derive(Debug, Deserialize, ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(as = TenantLimitsPatch)]
        pub(super) struct LimitsPatch {
            $(
                $(#[$doc])*
                #[serde(default, deserialize_with = "json::nullable")]
                #[schema(value_type = Option<schemas::LimitValue>)]
                $name: Option<Option<u64>>,
            )+
        }

        impl LimitsPatch {
            fn given(self) -> Vec<(Limit, Option<u64>)> {
                let all = [$((Limit::$limit, self.$name)),+];
                all.into_iter().filter_map(|(limit, given)| Some((limit, given?))).collect()
            }
        }
    };
}

members! {
    /// Events that are accepted in a second.
    events_per_s = EventsPerSecond;
    /// Hooks.
    hooks = Hooks;
    /// API keys.
    keys = Keys;
    /// Projects.
    projects = Projects;
    /// Bytes of plugins, with all versions.
    plugin_bytes = PluginBytes;
    /// Bytes of hooks with their settings, in memory.
    settings_bytes = SettingsBytes;
    /// About how many bytes stored events take.
    storage_bytes = StorageBytes;
    /// Fuel that plugins use for deliveries in a minute.
    fuel_per_min = FuelPerMinute;
    /// Changes of configuration in a day, on one node.
    changes_per_day = ChangesPerDay;
    /// Requests to receivers at the same time, on one node.
    max_in_flight = InFlight;
}

/// The limits to change; all of them if it is null.
///
/// # Errors
/// Fails if a value is out of bounds.
pub(super) fn read(patch: Option<Object<LimitsPatch>>) -> Result<Vec<(Limit, Option<u64>)>, Problem> {
    let Some(Object(patch)) = patch else {
        return Ok(Limit::ALL.iter().map(|limit| (*limit, None)).collect());
    };
    let check = |(limit, value): (Limit, Option<u64>)| {
        let here = || Pointer::to("limits").member(limit.as_str());
        let value = value.map(|value| limit.check(value)).transpose();
        value.map(|value| (limit, value)).map_err(|rule| Problem::invalid(here(), rule))
    };
    patch.given().into_iter().map(check).collect()
}

/// The names of the limits that are a tenant's own.
pub(super) fn own(options: &TenantOptions) -> Vec<&'static str> {
    let is_own = |limit: &&Limit| options.limits.as_deref().is_some_and(|own| own.get(**limit).is_some());
    Limit::ALL.iter().filter(is_own).map(|limit| limit.as_str()).collect()
}

/// How much `tenant` uses of its limits.
///
/// # Errors
/// If storage fails.
pub(super) async fn usage(
    tenants: &TenantService,
    ingest: &Ingest,
    tenant: TenantId,
) -> Result<UsageView, StorageError> {
    let stored = ingest.admission().stored_bytes(tenant).await?;
    Ok(UsageView::of(|limit| match limit {
        Limit::StorageBytes => Some(stored),
        Limit::EventsPerSecond => Some(ingest.admission().events_per_second(tenant)),
        limit => tenants.usage(tenant, limit),
    }))
}
