//! What the operator limits for one tenant, and how long its data is kept. What is not set for the tenant is as the settings
//! say for all.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::Invalid;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $setting:literal, $bounds:expr;)+) => {
        /// What a tenant is limited in.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Limit { $($(#[$doc])* $name),+ }

        impl Limit {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// The setting with the limit of tenants that have none of their own.
            #[must_use]
            pub fn setting(self) -> &'static str {
                match self { $(Self::$name => $setting),+ }
            }

            /// The values that it may have.
            #[must_use]
            pub const fn bounds(self) -> RangeInclusive<u64> {
                match self { $(Self::$name => $bounds),+ }
            }
        }

        const COUNT: usize = [$(Limit::$name),+].len();
    };
}

limits! {
    /// Events that are accepted in a second.
    EventsPerSecond = "events_per_s", "max_events_per_second_per_tenant", 1..=1_000_000;
    /// Hooks.
    Hooks = "hooks", "max_hooks_per_tenant", 0..=1_000_000;
    /// API keys.
    Keys = "keys", "max_keys_per_tenant", 0..=100_000;
    /// Projects.
    Projects = "projects", "max_projects_per_tenant", 0..=1_000_000;
    /// Bytes of plugins, with all versions.
    PluginBytes = "plugin_bytes", "max_plugin_bytes_per_tenant", 0..=1 << 40;
    /// Bytes of hooks with their settings.
    SettingsBytes = "settings_bytes", "max_config_bytes_per_tenant", 0..=1 << 30;
    /// Bytes of events that are kept.
    StorageBytes = "storage_bytes", "max_storage_bytes_per_tenant", 1..=1 << 50;
    /// Fuel of plugins in a minute.
    FuelPerMinute = "fuel_per_min", "max_plugin_fuel_per_minute_per_tenant", 1_000_000..=1 << 50;
    /// Changes of configuration in a day.
    ChangesPerDay = "changes_per_day", "max_changes_per_day_per_tenant", 1..=100_000_000;
    /// Requests to receivers at the same time.
    InFlight = "max_in_flight", "max_in_flight_per_tenant", 1..=65_536;
}

impl Limit {
    /// Checks a value.
    ///
    /// # Errors
    /// If it is out of [`Self::bounds`].
    pub fn check(self, value: u64) -> Result<u64, Invalid> {
        let bounds = self.bounds();
        if bounds.contains(&value) {
            return Ok(value);
        }
        let (least, most) = bounds.into_inner();
        Err(Invalid::new(format!("the limit `{}` must be from {least} to {most}", self.as_str())))
    }
}

/// Values of limits. A limit without a value is not limited here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantLimits([Option<u64>; COUNT]);

impl TenantLimits {
    /// The value of a limit.
    #[must_use]
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.0[limit as usize]
    }

    /// Sets the value of a limit, or removes it.
    pub fn set(&mut self, limit: Limit, value: Option<u64>) {
        self.0[limit as usize] = value;
    }

    /// For options: none if no limit has a value.
    #[must_use]
    pub fn into_option(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

impl FromIterator<(Limit, u64)> for TenantLimits {
    fn from_iter<I: IntoIterator<Item = (Limit, u64)>>(values: I) -> Self {
        let mut limits = Self::default();
        values.into_iter().for_each(|(limit, value)| limits.set(limit, Some(value)));
        limits
    }
}

/// How long data of a tenant is kept, where it differs from the settings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Events, with all that belongs to them.
    pub events: Option<Duration>,
    /// Attempts.
    pub attempts: Option<Duration>,
    /// Bodies of requests.
    pub bodies: Option<Duration>,
}

impl Retention {
    /// The shortest time.
    pub const MIN: Duration = Duration::from_secs(1);
    /// The longest time: a hundred years.
    pub const MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

    /// Checks a number of seconds.
    ///
    /// # Errors
    /// If it is not from one second to a hundred years.
    pub fn seconds(seconds: u64) -> Result<Duration, Invalid> {
        let time = Duration::from_secs(seconds);
        if (Self::MIN..=Self::MAX).contains(&time) {
            return Ok(time);
        }
        let (least, most) = (Self::MIN.as_secs(), Self::MAX.as_secs());
        Err(Invalid::new(format!("data is kept for {least} to {most} seconds")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_a_name_of_its_own_and_bounds() {
        let mut limits = TenantLimits::default();
        for (number, limit) in Limit::ALL.iter().enumerate() {
            assert_eq!(*limit as usize, number);
            let (least, most) = limit.bounds().into_inner();
            assert!(limit.check(least).is_ok() && limit.check(most).is_ok(), "{limit:?}");
            assert!(limit.check(most + 1).is_err(), "{limit:?}");
            assert!(least == 0 || limit.check(least - 1).is_err(), "{limit:?}");
            assert_eq!(limits.get(*limit), None);
            limits.set(*limit, Some(most));
            assert_eq!(limits.get(*limit), Some(most));
        }
        assert!(TenantLimits::default().into_option().is_none() && limits.into_option().is_some());
    }

    #[test]
    fn data_is_kept_for_a_second_to_a_hundred_years() {
        for (seconds, taken) in [(0, false), (1, true), (3_153_600_000, true), (3_153_600_001, false)] {
            assert_eq!(Retention::seconds(seconds).is_ok(), taken, "{seconds}");
        }
    }
}
